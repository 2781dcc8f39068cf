"""From frames to the network's input: NumPy twins, and the box in the source frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, UnknownName
from secondlook.video import transform
from secondlook.video.clip import Size
from secondlook.video.transform import crop_box, crop_names, input_clip, to_input, working_size

SPEC = ClipSpec(frames=3, short_side=24, height=16, width=20)
LUMA = ClipSpec(3, short_side=24, height=16, width=20, modality="luma_difference", mean=(0.4, 0.0), std=(0.2, 0.1))


def slow_resize(frame_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bilinear resize, one output pixel at a time: a triangle as wide as the pixel that it makes."""

    def along(line: np.ndarray, size: int) -> np.ndarray:
        scale = len(line) / size
        reach = max(scale, 1.0)
        out = []
        for i in range(size):
            centre = (i + 0.5) * scale
            weights = np.array([max(0.0, 1 - abs(j + 0.5 - centre) / reach) for j in range(len(line))])
            out.append((line * weights).sum() / weights.sum())
        return np.array(out)

    rows = np.stack([along(row, width) for row in frame_HW.astype(float)])
    return np.stack([along(column, height) for column in rows.T]).T


def slow_normalise(frames_THWC: np.ndarray, spec: ClipSpec) -> np.ndarray:
    """`x_CTHW`, pixel values written out."""
    value = frames_THWC / 255.0
    if spec.modality == "luma_difference":
        luma = 0.299 * value[..., 0] + 0.587 * value[..., 1] + 0.114 * value[..., 2]
        change = np.zeros_like(luma)
        for t in range(1, len(luma)):
            change[t] = luma[t] - luma[t - 1]
        value = np.stack([luma, change], axis=-1)
    return np.stack([(value[..., c] - spec.mean[c]) / spec.std[c] for c in range(value.shape[-1])])


def noise(frames=3, height=24, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", [SPEC, LUMA])
@pytest.mark.parametrize(
    ("crop", "top", "left"),
    [("center", 4, 10), ("left", 4, 0), ("right", 4, 20), ("top", 0, 10), ("bottom_right", 8, 20)],
)
def test_crop_and_normalise(spec, crop, top, left):
    frames_THWC = noise()
    x_CTHW = to_input(frames_THWC, spec, crop)
    assert x_CTHW.dtype == torch.float32
    expected = slow_normalise(frames_THWC[:, top : top + 16, left : left + 20], spec)
    np.testing.assert_allclose(x_CTHW.numpy(), expected, atol=1e-5)
    mirrored = to_input(frames_THWC, spec, crop + "_mirrored")
    np.testing.assert_allclose(mirrored.numpy(), expected[..., ::-1], atol=1e-5)
    np.testing.assert_array_equal(to_input(torch.from_numpy(frames_THWC), spec, crop), x_CTHW)


@pytest.mark.parametrize("size", [(48, 80), (12, 20), (37, 24)])
def test_resize_where_frames_are_not_at_working_size(size):
    frames_THWC = noise(height=size[0], width=size[1])
    height, width = working_size(SPEC).of(*size)
    resized = np.stack(
        [np.stack([slow_resize(frame[..., c], height, width) for c in range(3)], axis=-1) for frame in frames_THWC]
    )
    top, left = (height - 16) // 2, (width - 20) // 2
    expected = slow_normalise(resized[:, top : top + 16, left : left + 20], SPEC)
    difference = np.abs(to_input(frames_THWC, SPEC).numpy() - expected)
    assert difference.max() < 1.6 / 255 / min(SPEC.std)  # the library rounds to whole values after each axis


@pytest.mark.spec("label-reassessment", "I2")
def test_preprocessing_of_the_specification(encode, tmp_path):
    """Short side 256, centre crop 224, ImageNet mean and std; T x C x H x W is a permutation of our x_CTHW; no flip."""
    spec = ClipSpec(frames=8, short_side=256, height=224, width=224)
    path = encode(tmp_path / "v.mp4", frames=10, height=128, width=172, crf="5")
    seen = input_clip(path, spec)
    frames_THWC = seen.clip.frames_THWC
    assert frames_THWC.shape == (8, 256, 344, 3)
    x_TCHW = seen.x_CTHW.permute(1, 0, 2, 3)
    assert x_TCHW.shape == (8, 3, 224, 224)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (frames_THWC[:, 16:240, 60:284] / 255 - mean) / std
    np.testing.assert_allclose(x_TCHW.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    assert seen.box == transform.Box(8.0, 30.0, 112.0, 112.0)


def test_squash_takes_the_whole_frame():
    spec = ClipSpec(frames=3, height=16, width=20, fit="squash")
    assert working_size(spec) == Size(height=16, width=20)
    assert crop_names(spec, 10) == ("center",)
    assert crop_box(spec, 100, 300) == transform.Box(0, 0, 100, 300)
    assert to_input(noise(height=16, width=20), spec).shape == (3, 3, 16, 20)


def test_names_of_crops():
    assert crop_names(SPEC, 1) == ("center",)
    assert crop_names(SPEC, 3) == ("left", "center", "right")
    ten = crop_names(SPEC, 10)
    assert len(set(ten)) == 10
    assert sum(name.endswith("_mirrored") for name in ten) == 5
    assert crop_names(SPEC, 5, directional=True) == ten[:5]
    with pytest.raises(BadValue, match="mirrored"):
        crop_names(SPEC, 10, directional=True)
    with pytest.raises(BadValue, match="must be one of 1, 3, 5, 10"):
        crop_names(SPEC, 4)
    with pytest.raises(UnknownName):
        to_input(noise(), SPEC, "middle")
    with pytest.raises(BadValue, match="takes 3 frames"):
        to_input(noise(frames=4), SPEC)


@pytest.mark.parametrize("crops", [1, 3, 5, 10])
def test_three_crops_go_along_the_long_side(crops):
    for shape in ((24, 60), (60, 24)):
        boxes = [crop_box(SPEC, *shape, crop) for crop in crop_names(SPEC, crops)]
        if crops == 3:
            starts = [b.left if shape[1] > shape[0] else b.top for b in boxes]
            assert starts == sorted(starts)
            assert starts[0] == 0
            assert len({b.top if shape[1] > shape[0] else b.left for b in boxes}) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.integers(4, 300), st.integers(4, 300), st.integers(8, 60), st.integers(8, 60), st.integers(8, 60),
    st.sampled_from(["center", "left", "right", "top", "bottom", "top_left", "bottom_right_mirrored"]),
)  # fmt: skip
def test_the_box_lies_in_the_source_and_has_the_input_s_shape(height, width, short_side, tall, wide, crop):
    spec = ClipSpec(frames=1, short_side=short_side, height=tall, width=wide)
    box = crop_box(spec, height, width, crop)
    assert box.top >= 0
    assert box.left >= 0
    assert box.top + box.height <= height + 1e-6
    assert box.left + box.width <= width + 1e-6
    assert to_input(np.zeros((1, height, width, 3), np.uint8), spec, crop).shape == (3, 1, tall, wide)


def test_the_box_is_where_the_input_comes_from():
    """A white patch in the source lands where the box says."""
    spec = ClipSpec(frames=1, short_side=32, height=24, width=24, mean=(0, 0, 0), std=(1, 1, 1))
    source = np.zeros((1, 96, 144, 3), np.uint8)
    source[:, 30:42, 78:93] = 255
    for crop in ("center", "right", "bottom_right"):
        box = crop_box(spec, 96, 144, crop)
        x_HW = to_input(source, spec, crop)[0, 0]
        rows, columns = np.nonzero(x_HW.numpy() > 0.5)
        top = box.top + rows.min() * box.height / 24
        left = box.left + columns.min() * box.width / 24
        assert abs(top - 30) <= 3
        assert abs(left - 78) <= 3


def test_a_memory_map_is_copied(tmp_path):
    frames_THWC = np.memmap(tmp_path / "m", np.uint8, "w+", shape=(3, 24, 40, 3))
    frames_THWC.flush()
    x_CTHW = to_input(np.memmap(tmp_path / "m", np.uint8, "r", shape=(3, 24, 40, 3)), SPEC)
    assert x_CTHW.add_(1).shape == (3, 3, 16, 20)


def test_input_clip_says_why_a_video_cannot_be_used(bad_files, kinds):
    with pytest.raises(BadValue, match=r"cannot be used \(empty: the file has zero bytes\)"):
        input_clip(bad_files / "zero.mp4", SPEC)
    late = input_clip(kinds["h264_gop_5"], SPEC, view=1, views=2, crop="left")
    early = input_clip(kinds["h264_gop_5"], SPEC, view=0, views=2)
    assert (late.clip.frame_index_T > early.clip.frame_index_T).all()
    assert late.box.left == 0
    assert late.crop == "left"
