"""Heat against brightness, borders, cuts and masks: made maps whose numbers a hand can compute."""

import numpy as np
import pytest

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.explain._bias import (
    bias,
    black_border,
    correlation,
    histogram_difference,
    scene_cuts,
    shots,
)
from secondlook.explain._project import heat_map
from secondlook.explain._to_input import brightness, frames_at_input, to_input
from secondlook.video.clip import Clip
from secondlook.video.transform import Box, InputClip, crop_box
from secondlook.video.transform import to_input as network_input

RNG = np.random.default_rng(0)


def frames_of(luma_Thw):
    """Grey frames, `T x 3 x h x w`."""
    return np.repeat((luma_Thw * 255).astype(np.uint8)[:, None], 3, axis=1)


@pytest.mark.spec("layerwise-relevance", "R7")
def test_brightness_is_the_pearson_correlation_of_numpy():
    heat, luma = RNG.normal(size=(3, 8, 10)), RNG.random((3, 8, 10))
    assert bias(heat, luma)["brightness"] == pytest.approx(np.corrcoef(heat.ravel(), luma.ravel())[0, 1])
    assert bias(luma, luma)["brightness"] == pytest.approx(1)
    assert bias(1 - luma, luma)["brightness"] == pytest.approx(-1)
    assert np.isnan(correlation(np.ones(5), np.arange(5)))


@pytest.mark.spec("layerwise-relevance", "R7")
def test_border_share_by_counting():
    """20 x 10: the border is 2 rows at top and bottom and 1 column at each side: 4 * 10 + 16 * 2 = 72 of 200 places."""
    even = bias(np.ones((2, 20, 10)), np.full((2, 20, 10), 0.5))
    assert even["border_share"] == pytest.approx(72 / 200)
    assert even["border_ratio"] == pytest.approx(1)
    heat = np.zeros((2, 20, 10))
    heat[:, 1, 5] = 3
    heat[:, 10, 5] = 1
    heat[:, 11, 5] = -9  # speaks against: does not count
    found = bias(heat, np.full((2, 20, 10), 0.5))
    assert found["border_share"] == pytest.approx(0.75)
    assert found["border_ratio"] == pytest.approx(0.75 * 200 / 72)
    assert np.isnan(found["black_border_share"])
    assert np.isnan(bias(np.zeros((2, 20, 10)), np.ones((2, 20, 10)))["border_share"])


@pytest.mark.spec("layerwise-relevance", "R7")
def test_black_borders_are_found_and_weighed():
    luma = np.full((2, 10, 8), 0.5)
    luma[:, :2] = luma[:, -1:] = 16 / 255
    luma[:, 5, 4] = 0  # black inside is no border
    border = black_border(luma)
    assert border[:2].all()
    assert border[-1].all()
    assert border.sum() == 3 * 8
    heat = np.zeros((2, 10, 8))
    heat[:, 0, 0] = heat[:, 4, 4] = 1
    found = bias(heat, luma)
    assert found["black_border_share"] == pytest.approx(0.5)
    assert found["black_border_ratio"] == pytest.approx(0.5 / 0.3)
    assert not black_border(np.zeros((2, 4, 4))).any()
    flash = luma.copy()
    flash[1, :2] = 0.5  # lit in one frame: no border
    assert not black_border(flash)[:2].any()


@pytest.mark.spec("layerwise-relevance", "R7")
def test_relevance_after_cuts_and_a_shot():
    luma = np.concatenate([np.full((2, 6, 6), 0.1), np.full((3, 6, 6), 0.9), np.full((1, 6, 6), 0.4)])
    frames = frames_of(luma)
    np.testing.assert_allclose(histogram_difference(frames), [0, 1, 0, 0, 1])
    assert scene_cuts(frames) == [2, 5]
    heat = np.zeros((6, 6, 6))
    heat[0], heat[2], heat[5] = 1, 2, 1
    found = bias(heat, luma, frames_TChw=frames)
    assert found["after_cut_share"] == pytest.approx(3 / 4)
    assert found["after_cut_ratio"] == pytest.approx((3 / 4) / (4 / 6))
    listed = shots(heat, [2, 5])
    assert [s["share"] for s in listed] == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    assert [s["frames"] for s in listed] == [2, 3, 1]
    assert found["shot_ratio"] == pytest.approx((1 / 4) / (1 / 6))
    assert np.isnan(bias(heat[:2], luma[:2], frames_TChw=frames[:2])["after_cut_share"])


def test_a_moving_thing_is_no_cut_and_the_histogram_is_the_slow_one():
    frames = RNG.integers(0, 256, (2, 3, 9, 7)).astype(np.uint8)
    assert scene_cuts(np.stack([frames[0], np.roll(frames[0], 3, axis=-1)])) == []
    counts = []
    for frame in frames:
        boxes = {}
        for pixel in frame.reshape(3, -1).T:
            boxes[tuple(pixel // 64)] = boxes.get(tuple(pixel // 64), 0) + 1 / 63
        counts.append(boxes)
    slow = sum(abs(counts[0].get(k, 0) - counts[1].get(k, 0)) for k in counts[0] | counts[1]) / 2
    assert histogram_difference(frames)[0] == pytest.approx(slow)


@pytest.mark.spec("layerwise-relevance", "R7")
def test_inside_against_outside_a_mask():
    heat, mask = np.ones((1, 4, 4)), np.zeros((1, 4, 4))
    mask[0, :2, :2] = 1
    assert bias(heat, heat / 2, mask_Thw=mask)["inside_share"] == pytest.approx(1 / 4)
    assert bias(heat, heat / 2, mask_Thw=mask)["inside_ratio"] == pytest.approx(1)
    heat[0, :2, :2] = 3
    assert bias(heat, heat / 2, mask_Thw=mask)["inside_share"] == pytest.approx(12 / 24)
    assert bias(heat, heat / 2, mask_Thw=mask)["inside_ratio"] == pytest.approx(2)
    assert np.isnan(bias(heat, heat / 2)["inside_share"])
    with pytest.raises(BadValue, match="mask must have"):
        bias(heat, heat, mask_Thw=mask[0])


def input_of(spec, height, width, crop="center"):
    frames = RNG.integers(0, 256, (spec.frames, height, width, 3)).astype(np.uint8)
    index = np.arange(spec.frames)
    clip = Clip(frames, index, index / 5, frame_count=spec.frames, source_height=height, source_width=width, fps=5.0)
    return InputClip(network_input(frames, spec, crop), clip, crop_box(spec, height, width, crop), crop)


@pytest.mark.parametrize("crop", ["center", "center_mirrored", "right"])
def test_there_and_back_again(crop):
    """Heat on the input's own grid goes to the source frames and comes back; at one scale it is the same."""
    spec = ClipSpec(frames=2, short_side=12, height=8, width=8)
    clip = input_of(spec, 12, 20, crop)
    heat = RNG.random((2, 8, 8))
    back = to_input(heat_map(heat, clip, method="hand", label=0).heat_THW, clip)
    np.testing.assert_allclose(back, heat / heat.max(), atol=1e-6)


def test_means_over_larger_pixels_by_a_slow_loop():
    spec = ClipSpec(frames=1, short_side=6, height=4, width=4)
    clip = input_of(spec, 18, 24)  # 3 source pixels a pixel of the input
    values = RNG.random((1, 18, 24))
    box = clip.box
    slow = np.zeros((1, 4, 4))
    for i in range(4):
        for j in range(4):
            top, left = int(box.top + 3 * i), int(box.left + 3 * j)
            slow[0, i, j] = values[0, top : top + 3, left : left + 3].mean()
    np.testing.assert_allclose(to_input(values, clip), slow, rtol=1e-5)


def test_a_finer_input_than_its_source_and_edges_between_pixels():
    spec = ClipSpec(frames=1, short_side=30, height=28, width=28)
    clip = input_of(spec, 7, 9)
    np.testing.assert_allclose(to_input(np.ones((1, 7, 9)), clip), 1, rtol=1e-5)
    part = InputClip(clip.x_CTHW, clip.clip, Box(1.7, 2.2, 3.1, 4.0), "center")
    seen = np.zeros((1, 7, 9))
    seen[:, 2:5, 2:6] = 1  # pixels whose centre lies in the box, as `project` would fill them
    np.testing.assert_allclose(to_input(seen, part), 1, rtol=1e-5)
    with pytest.raises(BadValue, match="1 x 7 x 9"):
        to_input(np.ones((1, 7, 8)), clip)


def test_brightness_is_what_the_input_shows():
    spec = ClipSpec(frames=2, short_side=12, height=8, width=8, mean=(0, 0, 0), std=(1, 1, 1))
    for crop in ("left", "center_mirrored"):
        clip = input_of(spec, 12, 20, crop)
        luma = np.tensordot([0.299, 0.587, 0.114], clip.x_CTHW.numpy(), axes=1)
        np.testing.assert_allclose(brightness(clip, spec), luma, atol=1e-5)
        assert frames_at_input(clip, spec).shape == (2, 3, 8, 8)
