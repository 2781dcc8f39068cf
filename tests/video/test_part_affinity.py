"""Targets of confidence maps and affinity fields against loops over pixels; people parsed out of them again."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.video import part_affinity as pa
from secondlook.video.skeleton import BODY_25, COCO_17

HEIGHT, WIDTH = 110, 150
_BODY = np.array([
    (50, 10), (50, 22), (40, 22), (36, 36), (34, 50), (60, 22), (64, 36), (66, 50), (50, 52), (44, 53), (43, 70),
    (42, 86), (56, 53), (57, 70), (58, 86), (47, 7), (53, 7), (43, 9), (57, 9), (63, 91), (66, 87), (56, 92), (37, 91),
    (34, 87), (44, 92),
], np.float32)  # fmt: skip


def person(across: float = 0.0, down: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """25 joints of somebody who stands upright."""
    place = (_BODY - [50, 50]) * scale + [50 + across, 50 + down]
    return np.concatenate([place, np.ones((25, 1))], 1).astype(np.float32)


def people(*persons):
    return np.stack(persons)


@pytest.mark.spec("late-temporal-bert", "F9")
def test_confidence_maps_are_gaussians_of_the_nearest_person():
    two = people(person(), person(across=37, down=4))
    maps_JHW = pa.confidence_maps(two, HEIGHT, WIDTH, sigma=2.5)
    assert maps_JHW.shape == (25, HEIGHT, WIDTH)
    for joint, y, x in ((0, 12, 51), (7, 50, 66), (7, 54, 103), (13, 60, 90), (24, 92, 44)):
        near = min(np.hypot(x - p[joint, 0], y - p[joint, 1]) for p in two)
        assert maps_JHW[joint, y, x] == pytest.approx(np.exp(-(near**2) / 2.5**2), abs=1e-5)
    assert maps_JHW[7, 50, 66] == maps_JHW[7, 54, 103] == 1.0
    assert maps_JHW.max() == 1.0
    alone = pa.confidence_maps(two[:1], HEIGHT, WIDTH, sigma=2.5)[7]
    assert alone[50, 69] == alone[50, 63] == alone[53, 66] == alone[47, 66] < alone[50, 68] < 1
    two[0, 7, 2] = 0  # not seen
    assert pa.confidence_maps(two, HEIGHT, WIDTH)[7, 50, 66] < 1e-6
    with pytest.raises(BadValue):
        pa.confidence_maps(two, HEIGHT, WIDTH, sigma=0)


def fields_by_hand(two, limbs, height, width, limb_width):
    """Equations B.2, B.3 and B.5, a pixel at a time."""
    out = np.zeros((len(limbs), 2, height, width))
    for c, (a, b) in enumerate(limbs):
        for y in range(height):
            for x in range(width):
                vectors = []
                for joints in two:
                    offset = (joints[b] - joints[a])[:2].astype(float)
                    length = np.hypot(*offset)
                    v = offset / length
                    p = np.array([x, y]) - joints[a, :2]
                    if 0 <= v @ p <= length and abs(v[0] * p[1] - v[1] * p[0]) <= limb_width:
                        vectors.append(v)
                if vectors:
                    out[c, :, y, x] = np.mean(vectors, 0)
    return out


@pytest.mark.spec("late-temporal-bert", "F10")
def test_affinity_fields_point_along_the_limb_and_are_averaged_where_people_overlap():
    two = people(person(scale=0.5, across=-20, down=-20), person(scale=0.5, across=-14.3, down=-20.4))
    limbs = BODY_25.limbs[3:5]
    fields = pa.affinity_fields(two, limbs, 60, 70, limb_width=2.1)
    by_hand = fields_by_hand(two, limbs, 60, 70, 2.1)
    assert (np.abs(fields - by_hand).max((1, 3)) > 1e-5).mean() < 0.02  # pixels on the very rim
    alone = pa.affinity_fields(two[:1], limbs, 60, 70, limb_width=2.1)
    long = np.hypot(alone[:, 0], alone[:, 1])
    np.testing.assert_allclose(long[long > 0], 1, atol=1e-5)
    start, end = two[0, limbs[0][0], :2], two[0, limbs[0][1], :2]
    middle = np.rint((start + end) / 2).astype(int)
    np.testing.assert_allclose(alone[0, :, middle[1], middle[0]], (end - start) / np.hypot(*(end - start)), atol=1e-5)
    assert (alone[:, :, :, 55:] == 0).all()
    crossing = people(*(np.array([[10, 10, 1], [x, 30, 1]], np.float32) for x in (20, 0)))
    overlap = pa.affinity_fields(crossing, [(0, 1)], 40, 40, limb_width=1)[0, :, 10, 10]
    np.testing.assert_allclose(overlap, [0, 20 / np.hypot(10, 20)], atol=1e-5)  # the mean of both, across cancels
    nowhere = np.array([[[5, 5, 1], [5, 5, 1]], [[5, 5, 1], [9, 9, 0]]], np.float32)
    assert (pa.affinity_fields(nowhere, [(0, 1)], 12, 12) == 0).all()


@pytest.mark.spec("late-temporal-bert", "F11")
def test_a_true_limb_scores_about_one_and_a_limb_across_people_less():
    two = people(person(), person(across=45, down=3))
    fields = pa.affinity_fields(two, BODY_25.limbs, HEIGHT, WIDTH, limb_width=2)
    whole = []
    for limb, (a, b) in enumerate(BODY_25.limbs):
        true = [pa.limb_score(fields[limb], p[a, :2], p[b, :2]) for p in two]
        across = [pa.limb_score(fields[limb], p[a, :2], q[b, :2]) for p, q in permutations(two)]
        assert min(true) > 0.75  # a sample at either end may be rounded to just beside the limb
        whole += true
        assert max(across) < 0.6
        assert pa.limb_score(fields[limb], two[0, b, :2], two[0, a, :2]) < -0.75
    assert pa.limb_score(fields[0], two[0, 1, :2], two[0, 1, :2]) == 0
    assert np.mean(whole) > 0.93


def nearest(found, true):
    """Found people in the order of the true ones nearest to them."""
    order = min(
        permutations(range(len(found))),
        key=lambda o: sum(np.abs(found[i] - t)[:, :2].sum() for i, t in zip(o, true, strict=True)),
    )
    return found[list(order)]


@pytest.mark.spec("late-temporal-bert", "F12")
@pytest.mark.parametrize(("across", "down"), [(45.0, 3.0), (25.3, 1.6), (-14.2, 8.4)])
def test_two_people_with_all_their_joints_are_told_apart(across, down):
    assert (len(BODY_25.joints), len(BODY_25.limbs)) == (25, 26)
    two = people(person(), person(across, down, 0.95))
    rng = np.random.default_rng(0)
    maps = pa.confidence_maps(two, HEIGHT, WIDTH, 2.0)
    fields = pa.affinity_fields(two, BODY_25.limbs, HEIGHT, WIDTH, 1.5)
    noisy = (m + rng.normal(scale=0.02, size=m.shape).astype(np.float32) for m in (maps, fields))
    for given in ((maps, fields), tuple(noisy)):
        found = pa.parse(*given, BODY_25)
        assert found.shape == (2, 25, 3)
        found = nearest(found, two)
        assert (found[..., 2] > 0).all()
        assert np.abs(found[..., :2] - two[..., :2]).max() < 1.0


@pytest.mark.spec("late-temporal-bert", "F12")
def test_links_that_contradict_are_dropped():
    def link(a, i, b, j, score):
        return pa.Link((a, i), (b, j), score)

    # Joint 1 of the first person links to two joints 2: the better one holds, and the other, free one stays alone.
    assert pa.assemble([link(1, 0, 2, 0, 0.9), link(1, 0, 2, 1, 0.5)]) == [{1: 0, 2: 0}]
    # A link between two people who both have a joint 1 would join them into one with two.
    both = [link(1, 0, 2, 0, 0.9), link(1, 1, 2, 1, 0.8), link(2, 0, 3, 0, 0.7), link(3, 0, 2, 1, 0.6)]
    assert pa.assemble(both) == [{1: 0, 2: 0, 3: 0}, {1: 1, 2: 1}]
    # Parts that share no joint are joined; a link inside one person changes nothing.
    parts = [link(1, 0, 2, 0, 0.9), link(3, 0, 4, 0, 0.8), link(2, 0, 3, 0, 0.7), link(1, 0, 4, 0, 0.6)]
    assert pa.assemble(parts) == [{1: 0, 2: 0, 3: 0, 4: 0}]
    # The order in which links are given does not matter, their scores do.
    assert pa.assemble(reversed(both)) == pa.assemble(both)
    assert pa.assemble([link(1, 0, 1, 1, 0.9)]) == []


def test_matching_is_one_to_one_and_the_best_in_sum():
    scores = np.array([[0.9, 0.8, 0.0], [0.85, 0.1, 0.0]])
    assert pa.match(scores) == [(0, 1, 0.8), (1, 0, 0.85)]  # not greedily 0.9 and 0.1
    assert pa.match(np.full((2, 2), -0.5)) == []
    assert pa.match(np.zeros((0,))) == []


def test_peaks_lie_between_pixels_and_a_plateau_is_one():
    one = np.array([[[12.3, 8.8, 1.0]]], np.float32)
    (peak,) = pa.peaks(pa.confidence_maps(one, 20, 30, 2.5)[0])
    np.testing.assert_allclose(peak[:2], [12.3, 8.8], atol=0.1)
    flat = np.zeros((10, 10), np.float32)
    flat[4:6, 4:6] = 0.5
    assert len(pa.peaks(flat)) == 1
    assert pa.peaks(np.zeros((5, 5), np.float32)).shape == (0, 3)
    corner = np.zeros((5, 5), np.float32)
    corner[0, 4] = 1
    np.testing.assert_array_equal(pa.peaks(corner), [[4, 0, 1]])


def test_nobody_and_wrong_maps():
    empty = np.zeros((25, 8, 8), np.float32), np.zeros((26, 2, 8, 8), np.float32)
    assert pa.parse(*empty, BODY_25).shape == (0, 25, 3)
    with pytest.raises(BadValue, match="coco17"):
        pa.parse(*empty, COCO_17)
