"""Drawn data: pairs of labels, masks and pixels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from secondlook.datasets import drawn
from secondlook.datasets._drawn_clip import DrawnSettings, drawn_clip, painted, scene_of
from secondlook.datasets._drawn_events import roll, rotate
from secondlook.datasets._drawn_paint import Canvas, paint, plant_cue
from secondlook.datasets._drawn_plan import OBJECT, Body, Hand, Skin
from secondlook.datasets._drawn_shapes import PATTERNS, SHAPES
from secondlook.datasets._drawn_stage import Stage
from secondlook.datasets._drawn_templates import plan
from secondlook.datasets._drawn_truth import holding

SIZE, FRAMES = 48, 16
SCENE = scene_of(DrawnSettings(), 0)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.spec("late-temporal-bert", "F18")
@pytest.mark.parametrize("pair", drawn.REVERSAL_PAIRS, ids=lambda pair: pair[0])
def test_one_of_a_reversal_pair_played_backwards_is_the_other(pair):
    for seed in range(3):
        one, other = (plan(label, SCENE, rng(seed), FRAMES) for label in pair)
        frames, masks = paint(one, SCENE, SIZE)
        twin_frames, twin_masks = paint(other, SCENE, SIZE)
        np.testing.assert_array_equal(frames[::-1], twin_frames)
        np.testing.assert_array_equal(masks[::-1], twin_masks)
        assert not np.array_equal(frames, twin_frames)
        assert pair[0] in holding(one.facts)
        assert pair[1] not in holding(one.facts)
        assert pair[1] in holding(other.facts)
        assert (other.first, other.last) == (FRAMES - 1 - one.last, FRAMES - 1 - one.first)


@pytest.mark.spec("late-temporal-bert", "F18")
@pytest.mark.parametrize("action", [roll, rotate])
def test_speed_pairs_go_the_same_way_at_another_speed(action):
    for seed in range(5):
        slow, quick = (action(Stage(SCENE, rng(seed), 24), quick=speed) for speed in (False, True))
        slow_body, quick_body = (next(x for x in p.layers if isinstance(x, Body)) for p in (slow, quick))
        assert (slow_body.shape, slow_body.skin, slow_body.half) == (quick_body.shape, quick_body.skin, quick_body.half)
        np.testing.assert_allclose(slow_body.at_T2[[0, -1]], quick_body.at_T2[[0, -1]], atol=1e-6)
        speed = [
            np.abs(np.diff(body.angle_T)).sum() / (p.last - p.first)
            for body, p in ((slow_body, slow), (quick_body, quick))
        ]
        assert speed[1] > 2 * speed[0]
        assert [name for name in holding(slow.facts) if name.endswith("slowly")]
        assert [name for name in holding(quick.facts) if name.endswith("quickly")]


@pytest.mark.spec("late-temporal-bert", "F18")
def test_appearance_pairs_move_alike_and_look_different():
    ((object_label, photo_label),) = drawn.APPEARANCE_PAIRS
    for seed in range(3):
        one, other = (plan(label, SCENE, rng(seed), FRAMES) for label in (object_label, photo_label))
        bodies = [next(x for x in p.layers if isinstance(x, Body)) for p in (one, other)]
        for track in ("at_T2", "angle_T", "stretch_T2"):
            np.testing.assert_array_equal(getattr(bodies[0], track), getattr(bodies[1], track))
        assert (one.first, one.last) == (other.first, other.last)
        assert bodies[0].skin != bodies[1].skin


def test_mean_frames_of_a_reversal_pair_are_the_same():
    """What a model without a sense of time sees of the two is one and the same."""
    one, other = (plan(label, SCENE, rng(), FRAMES) for label in drawn.REVERSAL_PAIRS[0])
    means = [paint(p, SCENE, SIZE)[0].astype(np.int64).sum(axis=0) for p in (one, other)]
    np.testing.assert_array_equal(*means)


def centre(mask_HW):
    rows, columns = np.nonzero(mask_HW == OBJECT)
    return columns.mean(), rows.mean()


@pytest.mark.parametrize(
    ("label", "axis", "sign"),
    [
        ("Moving something up", 1, -1),
        ("Moving something down", 1, 1),
        ("Moving something from left to right", 0, 1),
        ("Moving something from right to left", 0, -1),
        ("Dropping something onto something", 1, 1),
        ("Turning the camera right while filming something", 0, -1),
        ("Turning the camera left while filming something", 0, 1),
    ],
)
def test_the_masks_move_as_the_label_says(label, axis, sign):
    for seed in range(4):
        _, masks = paint(plan(label, SCENE, rng(seed), FRAMES), SCENE, SIZE)
        way = centre(masks[-1])[axis] - centre(masks[0])[axis]
        assert way * sign > SIZE / 8


def test_a_taken_out_thing_appears_and_a_pushed_off_one_disappears():
    for seed in range(4):
        _, out = paint(plan("Taking something out of something", SCENE, rng(seed), FRAMES), SCENE, SIZE)
        assert (out[-1] == OBJECT).sum() > 2 * (out[0] == OBJECT).sum()
        _, off = paint(plan("Pushing something so that it falls off the table", SCENE, rng(seed), FRAMES), SCENE, SIZE)
        assert (off[0] == OBJECT).sum() > 50
        assert (off[-1] == OBJECT).sum() == 0


@pytest.mark.parametrize("label", drawn.LABELS.names)
def test_masks_fit_the_frames_and_change_while_it_happens(label):
    planned = plan(label, SCENE, rng(1), FRAMES)
    frames, masks = paint(planned, SCENE, SIZE)
    assert frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert masks.shape == (FRAMES, SIZE, SIZE)
    assert (frames.dtype, masks.dtype) == (np.uint8, np.uint8)
    assert set(np.unique(masks)) <= {0, 1, 2, 3}
    if "Rotating" in label or "squeez" in label.lower():
        return  # what turns or is squeezed on the spot changes its outline less than the shake of the camera does
    changed = (np.diff(masks.astype(np.int8), axis=0) != 0).mean(axis=(1, 2))
    outside = np.concatenate([changed[: planned.first], changed[planned.last :]])
    assert changed[planned.first : planned.last].max() > outside.max() + 0.01


def test_things_are_large_enough_to_be_seen():
    settings = DrawnSettings(size=SIZE, frames=FRAMES)
    shares = []
    for number in range(0, 66, 2):
        clip = drawn_clip(settings, number, SCENE)
        _, masks = painted(clip, SCENE, settings)
        shares.append((masks == OBJECT).mean(axis=(1, 2)).max())
    assert min(shares) > 0.015
    assert np.median(shares) > 0.03


def test_a_ball_pixel_by_pixel():
    """The slow, obvious way: for every pixel, the distance of its middle to the centre of the ball."""
    frames, size = 2, 32
    at_T2 = np.array([[0.4, 0.5], [0.97, 0.1]], np.float32)
    camera_T2 = np.array([[0.02, -0.01], [0.0, 0.03]], np.float32)
    body = Body("ball", (0.15, 0.15), Skin((1, 0, 0), (0, 0, 1), "plain"), OBJECT, at_T2,
                np.zeros(frames, np.float32), np.ones((frames, 2), np.float32))  # fmt: skip
    planned = plan("Moving something up", SCENE, rng(), frames + 10)
    flat = type(planned)((body,), planned.facts, 0, 1, camera_T2, np.ones(frames, np.float32), np.zeros((frames, 2)))
    painted_frames, masks = paint(flat, SCENE, size)
    for t, row, column in product(range(frames), range(size), range(size)):
        x, y = camera_T2[t] + (np.array([column, row]) + 0.5) / size
        outside = float(np.hypot(x - at_T2[t, 0], y - at_T2[t, 1])) - 0.15
        if abs(outside) > 1e-4:
            assert (masks[t, row, column] == OBJECT) == (outside < 0), (t, row, column)
        if outside < -1 / size:
            assert painted_frames[t, row, column, 0] > 4 * painted_frames[t, row, column, 1]


def test_windows_hold_all_that_they_should():
    """The window along an arm covers what a window over the whole frame would show of it."""
    size = 40
    for seed in range(30):
        random = rng(seed)
        at_T2 = random.uniform(-0.3, 1.3, (3, 2)).astype(np.float32)
        angle = random.uniform(0, 2 * np.pi)
        back_T2 = np.tile([np.cos(angle), np.sin(angle)], (3, 1)).astype(np.float32)
        canvas = Canvas(np.zeros((3 * size * size, 3), np.float32), np.zeros(3 * size * size, np.uint8),
                        np.zeros((3, 2), np.float32), size)  # fmt: skip
        seen = np.zeros(3 * size * size, bool)
        seen[canvas.along(at_T2, back_T2, 0.1).pixel_Thw.ravel()] = True
        for t, row, column in product(range(3), range(0, size, 3), range(0, size, 3)):
            way = (np.array([column, row]) + 0.5) / size - at_T2[t]
            behind = float(way @ back_T2[t])
            if (
                behind >= 0
                and abs(float(way @ back_T2[t][::-1] * 0) + way[0] * back_T2[t, 1] - way[1] * back_T2[t, 0]) < 0.1
            ):
                assert seen[t * size * size + row * size + column], (seed, t, row, column)


def test_the_planted_mark_is_its_own_mask_and_nothing_else_changes():
    settings = DrawnSettings(size=SIZE, frames=FRAMES, cue="Moving something up", cue_share=1, cue_elsewhere=1)
    clip = drawn_clip(settings, 0, SCENE)
    assert clip.cue
    frames, masks = painted(clip, SCENE, settings)
    bare = DrawnSettings(size=SIZE, frames=FRAMES)
    plain_frames, plain_masks = painted(drawn_clip(bare, 0, SCENE), SCENE, bare)
    cue = masks == 4
    assert 0.005 < cue.mean() < 0.03
    assert cue.any(axis=(1, 2)).all()
    assert not (plain_masks == 4).any()
    np.testing.assert_array_equal(frames[~cue], plain_frames[~cue])
    np.testing.assert_array_equal(masks[~cue], plain_masks[~cue])
    assert (frames[cue] != plain_frames[cue]).any(axis=-1).mean() > 0.95
    small_frames, small_masks = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8)
    plant_cue(small_frames, small_masks)
    assert (small_frames.any(axis=-1) == (small_masks == 4)).all()


def test_sensor_noise_is_small_and_new_in_every_frame():
    settings = DrawnSettings(size=SIZE, frames=FRAMES)
    clip = drawn_clip(settings, 2, SCENE)
    noise = painted(clip, SCENE, settings)[0].astype(int) - paint(clip.plan, SCENE, SIZE)[0]
    assert 1 < noise.std() < 3
    assert (noise[0] != noise[1]).any()


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_outlines_are_negative_inside_and_positive_outside(shape):
    half = (0.12, 0.1)
    u, v = np.meshgrid(np.linspace(-0.3, 0.3, 61), np.linspace(-0.3, 0.3, 61))
    distance = SHAPES[shape](u, v, *half)
    assert distance[30, 30] < 0
    assert (distance[(np.abs(u) > half[0] + 0.02) | (np.abs(v) > half[1] + 0.02)] > 0).all()
    assert (distance < 0).sum() > 50


@pytest.mark.parametrize("pattern", sorted(set(PATTERNS) - {"plain"}))
def test_patterns_mix_both_colours(pattern):
    u, v = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
    share = PATTERNS[pattern](u, v, 1.5)
    assert share.min() == 0
    assert share.max() > 0.5
    assert share.max() <= 1


def test_a_hand_reaches_to_the_border():
    hand = Hand(np.array([[0.5, 0.5]] * FRAMES, np.float32), np.zeros(FRAMES, np.float32), np.ones(FRAMES, np.float32))
    planned = plan("Moving something up", SCENE, rng(), FRAMES)
    only = type(planned)(
        tuple(type(x)(hand) for x in planned.layers if not isinstance(x, Body)),
        planned.facts, 0, 1, np.zeros((FRAMES, 2), np.float32), planned.light_T, planned.wall_T2,
    )  # fmt: skip
    _, masks = paint(only, SCENE, SIZE)
    assert (masks[:, SIZE // 2, : SIZE // 2] == 3).all(), "the arm comes in from the left"
    assert (masks[:, :, SIZE - 8 :] == 0).all()
