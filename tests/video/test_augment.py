"""Augmentation: one draw for a whole clip, crops inside the frame, and flips that never make a label wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace, load
from secondlook.video.augment import Augment, augment, colour_jitter, left_right_pairs, multi_scale_box

SPEC = ClipSpec(frames=2, short_side=32, height=24, width=24, mean=(0, 0, 0), std=(1, 1, 1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ramp(frames=2, height=32, width=48):
    """Brightness rises to the right, so that a mirrored clip can be told; all frames are the same."""
    line = np.linspace(20, 220, width).astype(np.uint8)
    return np.broadcast_to(line[None, None, :, None], (frames, height, width, 3)).copy()


def mirrored(x_CTHW):
    return bool(x_CTHW[0, 0, 0, 0] > x_CTHW[0, 0, 0, -1])


@pytest.mark.parametrize("crop", ["none", "random", "multi_scale"])
@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (20, 60), (24, 24)])
@pytest.mark.parametrize("spec", [SPEC, ClipSpec(2, short_side=32, height=16, width=30), ClipSpec(2, fit="squash")])
def test_every_frame_gets_the_same_and_the_size_is_right(crop, shape, spec):
    frames_THWC = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8).repeat(2, axis=0)
    settings_ = Augment(crop, flip=0.5, directional=False, jitter=0.4)
    for seed in range(8):
        x_CTHW, label = augment(frames_THWC, 3, spec, settings_, generator(seed))
        assert x_CTHW.shape == (3, 2, spec.height, spec.width)
        assert x_CTHW.dtype == torch.float32
        assert label == 3
        torch.testing.assert_close(x_CTHW[:, 0], x_CTHW[:, 1])


def test_a_clip_repeats_with_its_generator():
    settings_ = Augment("multi_scale", flip=0.5, directional=False, jitter=0.3)
    first, second, other = (augment(ramp(), 0, SPEC, settings_, generator(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(8, 300), st.integers(8, 300), st.integers(4, 64), st.integers(4, 64),
    st.sampled_from(["crop", "squash"]), st.integers(0, 10**6),
)  # fmt: skip
def test_multi_scale_boxes_stay_inside(height, width, tall, wide, fit, seed):
    spec = ClipSpec(2, height=tall, width=wide, fit=fit)
    top, left, box_tall, box_wide = multi_scale_box(height, width, spec, generator(seed))
    assert 0 <= top <= top + box_tall <= height
    assert 0 <= left <= left + box_wide <= width
    assert min(box_tall, box_wide) >= 1


@pytest.mark.spec("late-temporal-bert", "F22")
def test_multi_scale_crop_of_the_specification():
    """256 x 340, square input: sides from 256, 224, 192, 168, neighbouring scales only, 13 positions."""
    sides = [256, 224, 192, 168]
    allowed_offsets = {
        (2, 2),
        (0, 0),
        (0, 4),
        (4, 0),
        (4, 4),
        (0, 2),
        (2, 0),
        (2, 4),
        (4, 2),
        (1, 1),
        (1, 3),
        (3, 1),
        (3, 3),
    }
    one = generator()
    drawn = Counter(multi_scale_box(256, 340, SPEC, one) for _ in range(6000))
    pairs, places = Counter(), Counter()
    for (top, left, tall, wide), times in drawn.items():
        assert abs(sides.index(tall) - sides.index(wide)) <= 1
        fitting = {(d, a) for d, a in allowed_offsets if (d * (256 - tall) // 4, a * (340 - wide) // 4) == (top, left)}
        assert fitting
        pairs[tall, wide] += times
        if tall < 256 and len(fitting) == 1:
            places[fitting.pop()] += times
    assert len(pairs) == 10
    assert max(pairs.values()) < 1.4 * min(pairs.values())
    assert set(places) == allowed_offsets
    assert max(places.values()) < 1.5 * min(places.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5))
def test_directional_labels_are_never_mirrored(seed, label):
    labels = LabelSpace.from_names(["push left", "push right", "up", "down", "roll", "stop"], directional=True)
    for swap in (False, True):
        chosen = Augment.for_labels(labels, flip=1.0, swap_left_right=swap)
        x_CTHW, new = augment(ramp(), label, SPEC, chosen, generator(seed))
        if swap and label < 2:
            assert mirrored(x_CTHW)
            assert new == 1 - label
        else:
            assert not mirrored(x_CTHW)
            assert new == label


def test_other_labels_are_mirrored_as_often_as_asked():
    chosen = Augment.for_labels(LabelSpace.from_names(["jump", "run"]), flip=0.5)
    one = generator()
    share = np.mean([mirrored(augment(ramp(), 0, SPEC, chosen, one)[0]) for _ in range(400)])
    assert 0.42 < share < 0.58
    never = Augment.for_labels(LabelSpace.from_names(["jump", "run"]), flip=0.0)
    assert not any(mirrored(augment(ramp(), 0, SPEC, never, one)[0]) for _ in range(20))


def test_a_flip_of_directional_labels_must_say_how():
    with pytest.raises(BadValue, match="directional"):
        Augment(flip=0.5)
    assert Augment(flip=0.5, flip_pairs=((0, 1), (2, 2))).mirrors_to(0) == 1
    assert Augment(flip=0.5, flip_pairs=((0, 1), (2, 2))).mirrors_to(2) == 2
    assert Augment(flip=0.5, flip_pairs=((0, 1), (2, 2))).mirrors_to(3) is None


def test_left_and_right_labels_are_found():
    names = [
        "Pushing [something] from left to right", "Pushing [something] from right to left", "Moving up", "PushLeft",
        "PushRight", "turn-left", "upright", "left hand",
    ]  # fmt: skip
    assert left_right_pairs(LabelSpace.from_names(names)) == ((0, 1), (3, 4))


@pytest.mark.real_data
def test_left_and_right_labels_of_something_something(shared_data):
    space = load(shared_data / "annotations" / "something_something" / "fine_grained_classes.csv")
    pairs = {(space.names[i], space.names[j]) for i, j in left_right_pairs(space)}
    assert pairs == {
        (f"{verb} [something] from left to right", f"{verb} [something] from right to left")
        for verb in ("Pulling", "Pushing")
    } | {
        ("Turning the camera left while filming [something]", "Turning the camera right while filming [something]"),
    }  # fmt: skip


def slow_jitter(frame_THWC, brightness, contrast, saturation):
    x = np.clip(frame_THWC / 255 * brightness, 0, 1)
    weights = np.array([0.299, 0.587, 0.114])
    mean = (x * weights).sum(-1).mean()
    x = np.clip(mean + contrast * (x - mean), 0, 1)
    luma = (x * weights).sum(-1, keepdims=True)
    return np.clip(luma + saturation * (x - luma), 0, 1)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (1.3, 0.7, 1.2), (0.6, 1.4, 0.0)])
def test_colour_jitter(factors):
    frames_THWC = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    x_TCHW = colour_jitter(torch.from_numpy(frames_THWC).permute(0, 3, 1, 2), *factors)
    np.testing.assert_allclose(x_TCHW.permute(0, 2, 3, 1).numpy(), slow_jitter(frames_THWC, *factors), atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"crop": "five"}, {"flip": 1.5}, {"jitter": -1}, {"flip_pairs": ((0, 1), (1, 2))}],
)
def test_bad_settings(wrong):
    with pytest.raises(BadValue):
        Augment(**wrong)


def test_wrong_number_of_frames():
    with pytest.raises(BadValue, match="takes 2 frames"):
        augment(ramp(frames=3), 0, SPEC, Augment(), generator())


def test_zoomed_reads_where_the_formula_says():
    """The slow twin: each pixel is read by hand at `u / s + 2 d`, bilinear, borders repeated."""
    from secondlook.video.augment import SHIFT, STRETCH, ZOOM, zoomed

    frames_TCHW = torch.randint(0, 256, (2, 3, 6, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    size, stretch, down, across = 0.8, -0.5, 0.6, -1.0
    wide = 1 + ZOOM * size
    tall = wide * (1 + STRETCH * stretch)
    found_TCHW = zoomed(frames_TCHW, size, stretch, down, across)
    x_CHW = frames_TCHW[0].double()
    for row in range(6):
        for column in range(8):
            v = (2 * (row + 0.5) / 6 - 1) / tall + 2 * SHIFT * down
            u = (2 * (column + 0.5) / 8 - 1) / wide + 2 * SHIFT * across
            y = min(max((v + 1) / 2 * 6 - 0.5, 0), 5)
            x = min(max((u + 1) / 2 * 8 - 0.5, 0), 7)
            top, left = min(int(y), 4), min(int(x), 6)
            b, a = y - top, x - left
            want_C = (1 - b) * ((1 - a) * x_CHW[:, top, left] + a * x_CHW[:, top, left + 1]) + b * (
                (1 - a) * x_CHW[:, top + 1, left] + a * x_CHW[:, top + 1, left + 1]
            )
            assert (found_TCHW[0, :, row, column].double() - want_C).abs().max() <= 0.51
    assert found_TCHW.dtype == torch.uint8


def test_zoomed_by_nothing_changes_nothing():
    from secondlook.video.augment import zoomed

    frames_TCHW = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    assert torch.equal(zoomed(frames_TCHW, 0, 0, 0, 0), frames_TCHW)


def test_zoom_is_the_same_for_all_frames_of_a_clip():
    spec = ClipSpec(frames=3, height=8, width=8, fit="squash")
    frames_THWC = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8), 3, axis=0)
    x_CTHW, _ = augment(frames_THWC, 0, spec, Augment(crop="zoom"), torch.Generator().manual_seed(1))
    assert torch.equal(x_CTHW[:, 0], x_CTHW[:, 1])
    other_CTHW, _ = augment(frames_THWC, 0, spec, Augment(crop="zoom"), torch.Generator().manual_seed(2))
    assert not torch.equal(x_CTHW, other_CTHW)
