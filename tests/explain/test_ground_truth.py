import json

import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.explain._ground_truth import BASELINES, MEASURES, as_json, average, baseline_heat, ground_truth

MASKS = np.array([[[3, 0], [0, 4]], [[1, 2], [0, 0]]], dtype=np.uint8)
"""Frame 0: hand upper left, cue lower right. Frame 1: objects in the upper row."""


def test_every_measure_by_hand_on_two_by_two_by_two(make_heat):
    heat = make_heat([[[0.5, 0.1], [0.0, 0.2]], [[0.4, 0.0], [1.0, 0.3]]])
    found = ground_truth(heat, MASKS, (0.05, 0.2))
    assert found["on_target"] == pytest.approx((0.5 + 0.4 + 0.0) / 2.5)
    assert found["on_cue"] == pytest.approx(0.2 / 2.5)
    assert found["pointing_frame"] == 0.5  # frame 0: 0.5 is on the hand; frame 1: 1.0 is beside the objects
    assert found["pointing_clip"] == 0
    # in falling order: 1.0 miss, 0.5 hit, 0.4 hit, 0.3 miss, ...: best after three, 2 hits of 3 hot and 1 cold target
    assert found["iou_best"] == pytest.approx(2 / 4)
    assert found["in_action"] == pytest.approx(1.7 / 2.5)
    # the same of a map that is the same everywhere: shares of pixels and of frames
    assert found["on_target_uniform"] == pytest.approx(3 / 8)
    assert found["on_cue_uniform"] == pytest.approx(1 / 8)
    assert found["pointing_frame_uniform"] == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert found["pointing_clip_uniform"] == pytest.approx(3 / 8)
    assert found["iou_best_uniform"] == pytest.approx(3 / 8)
    assert found["in_action_uniform"] == pytest.approx(1 / 2)
    # in a 2 x 2 frame every pixel is as far from the middle: the centre prior is the uniform one
    for measure in MEASURES:
        assert found[f"{measure}_centre"] == pytest.approx(found[f"{measure}_uniform"])
    assert set(found) == {m + b for m in MEASURES for b in ("", *(f"_{b}" for b in BASELINES))}


def test_the_frames_at_the_edges_of_the_action_are_inside(make_heat):
    """Frames at 0, 0.1, 0.2 s; an interval written with six digits, rounded inwards."""
    heat = make_heat([[[1]], [[2]], [[3]]])
    assert ground_truth(heat, np.ones((3, 1, 1), np.uint8), (0.100004, 0.199996))["in_action"] == pytest.approx(5 / 6)


def test_only_heat_for_the_class_counts(make_heat):
    masks = MASKS[:1]
    assert ground_truth(make_heat([[[1, -5], [0, -5]]]), masks)["on_target"] == 1


def test_perfect_heat_is_perfect_and_beats_both_baselines(make_heat):
    masks = np.zeros((4, 16, 16), np.uint8)
    masks[:, 2:6, 9:13] = 3
    found = ground_truth(make_heat(masks == 3), masks, (0.0, 0.3))
    for measure in ("on_target", "pointing_frame", "pointing_clip", "iou_best", "in_action"):
        assert found[measure] == 1
    for measure in ("on_target", "pointing_frame", "pointing_clip", "iou_best"):
        for baseline in BASELINES:
            assert found[f"{measure}_{baseline}"] < 0.5


def test_the_centre_prior_is_good_at_what_lies_in_the_middle(make_heat):
    masks = np.zeros((1, 9, 9), np.uint8)
    masks[:, 3:6, 3:6] = 1
    found = ground_truth(make_heat(np.ones((1, 9, 9))), masks)
    assert found["pointing_clip_centre"] == 1
    assert found["on_target_centre"] > found["on_target_uniform"]
    bell = baseline_heat("centre", (2, 5, 9))
    assert bell.shape == (2, 5, 9)
    assert bell.max() == bell[0, 2, 4] == 1


def slow_iou(heat, target):
    """Every value as a threshold, sets of pixels counted one by one."""
    best = 0.0
    for threshold in np.unique(heat[heat > 0]):
        hot = heat >= threshold
        best = max(best, (hot & target).sum() / (hot | target).sum())
    return best


@pytest.mark.parametrize("seed", range(6))
def test_best_iou_equals_the_slow_way(make_heat, seed):
    rng = np.random.default_rng(seed)
    heat = np.round(rng.random((3, 6, 7)) - 0.3, seed % 3)  # rounded: ties
    masks = rng.integers(0, 5, (3, 6, 7)).astype(np.uint8)
    found = ground_truth(make_heat(heat), masks)["iou_best"]
    assert found == pytest.approx(slow_iou(heat.astype(np.float32), np.isin(masks, (1, 2, 3))))


def test_masks_are_taken_by_the_frame_of_the_video(make_heat):
    """The clip sampled frames 5, 1, 1: their masks, in that order."""
    masks = np.zeros((6, 1, 2), np.uint8)
    masks[5, 0, 0] = masks[1, 0, 1] = 1
    heat = make_heat([[[1, 0]], [[0, 1]], [[0, 1]]], index=[5, 1, 1])
    assert ground_truth(heat, masks)["on_target"] == 1


def test_what_has_no_meaning_is_nan(make_heat):
    nothing = ground_truth(make_heat(np.ones((2, 2, 2))), np.zeros((2, 2, 2), np.uint8))
    assert all(np.isnan(v) for v in nothing.values())
    cold = ground_truth(make_heat(np.zeros((2, 2, 2))), MASKS, (0, 1))
    assert np.isnan(cold["on_target"])
    assert np.isnan(cold["in_action"])
    assert np.isnan(cold["in_action_uniform"])
    assert cold["pointing_frame"] == cold["pointing_clip"] == cold["iou_best"] == 0
    assert json.loads(json.dumps(as_json(cold), allow_nan=False))["on_target"] is None


def test_masks_of_another_video_are_refused(make_heat):
    with pytest.raises(BadValue, match="T x 2 x 2"):
        ground_truth(make_heat(np.ones((2, 2, 2))), np.zeros((2, 3, 2), np.uint8))
    with pytest.raises(BadValue, match="reaches frame 7"):
        ground_truth(make_heat(np.ones((2, 2, 2)), index=[0, 7]), MASKS)


def test_average_with_intervals():
    rng = np.random.default_rng(0)
    values = rng.normal(0.6, 0.1, 400)
    rows = [{"a": v, "b": np.nan, "c": 0.5 if i < 10 else np.nan} for i, v in enumerate(values)]
    found = average(rows, np.random.default_rng(1))
    assert set(found) == {"a", "c"}
    assert found["a"]["mean"] == pytest.approx(values.mean())
    assert found["a"]["clips"] == 400
    # percentile bootstrap of a mean against the normal interval
    half = 1.96 * values.std() / 20
    assert found["a"]["low"] == pytest.approx(values.mean() - half, abs=half / 5)
    assert found["a"]["high"] == pytest.approx(values.mean() + half, abs=half / 5)
    assert found["c"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "clips": 10}
    assert average(rows, np.random.default_rng(1)) == found
    assert average([], rng) == {}


def test_heat_on_what_was_drawn_scores_full_marks(tmp_path):
    """Drawn clips and these measures mean the same by mask values, frames and seconds: the truth itself is perfect."""
    from secondlook.cards import HeatMap
    from secondlook.datasets.drawn import DrawnSettings, draw, read, truth
    from secondlook.video.decode import decode

    draw(tmp_path / "drawn", DrawnSettings(clips=4, size=32, frames=12), workers=1)
    for row in read(tmp_path / "drawn").rows:
        masks, clip = truth(tmp_path / "drawn", row["video_id"]), decode(tmp_path / "drawn" / row["path"])
        action = row["action_start_s"], row["action_end_s"]
        first, last = (round(s * clip.fps) for s in action)
        own = (
            np.isin(masks, (1, 2, 3)) & (np.arange(12)[:, None, None] >= first) & (np.arange(12) <= last)[:, None, None]
        )
        heat = HeatMap(own.astype(np.float32), clip.frame_index_T, clip.frame_time_s_T, "truth", 0)
        found = ground_truth(heat, masks, action)
        assert found["on_target"] == found["in_action"] == found["pointing_clip"] == 1
