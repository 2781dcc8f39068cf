"""Heat maps on one small grid, the mean of each class, and its distance from the mean of all."""

from __future__ import annotations

import numpy as np
import pytest

from secondlook.errors import BadValue
from secondlook.explain._focus import class_focus, distance, focus_of, place


def slow_focus(heat_THW, grid):
    """Every pixel cut into as many equal crumbs as make all edges meet, and crumbs counted into cells."""
    found = np.zeros(grid)
    heat_THW = np.maximum(heat_THW, 0)
    for axis, cells in enumerate(grid):
        heat_THW = np.repeat(heat_THW, cells, axis=axis)
    for at, value in np.ndenumerate(heat_THW):
        cell = tuple(i * cells // size for i, size, cells in zip(at, heat_THW.shape, grid, strict=True))
        found[cell] += value
    return found / found.sum()


@pytest.mark.parametrize("shape", [(8, 9, 10), (3, 5, 7), (1, 2, 9), (5, 11, 3)])
@pytest.mark.parametrize("grid", [(4, 8, 8), (1, 3, 2), (2, 2, 2)])
def test_a_focus_is_the_heat_of_each_cell_counted_by_crumbs(make_heat, shape, grid):
    heat_THW = np.random.default_rng(0).normal(size=shape)
    focus_thw = focus_of(make_heat(heat_THW), grid)
    np.testing.assert_allclose(focus_thw, slow_focus(heat_THW, grid), atol=1e-6)
    assert focus_thw.sum() == pytest.approx(1)


def test_scale_size_and_signs_do_not_matter(make_heat):
    heat_THW = np.random.default_rng(1).random((4, 8, 8)).astype(np.float32)
    focus_thw = focus_of(make_heat(heat_THW))
    for other in (0.1 * heat_THW, heat_THW.repeat(3, axis=0), heat_THW.repeat(2, axis=2).repeat(5, axis=1)):
        np.testing.assert_allclose(focus_of(make_heat(other)), focus_thw, atol=1e-6)
    assert not focus_of(make_heat(-heat_THW)).any()
    with pytest.raises(BadValue, match="at least one part"):
        focus_of(make_heat(heat_THW), (4, 0, 8))


def test_distance_is_the_share_that_would_have_to_move():
    rng = np.random.default_rng(2)
    foci = rng.dirichlet(np.ones(12), size=(6,)).reshape(6, 2, 2, 3)
    for one in foci:
        for other in foci:
            moved = sum(max(p - q, 0) for p, q in zip(one.ravel(), other.ravel(), strict=True))
            assert distance(one, other) == pytest.approx(moved)
            assert distance(one, other) == distance(other, one)
    assert distance(np.array([1.0, 0]), np.array([0.0, 1])) == 1


@pytest.mark.spec("layerwise-relevance", "R8")
def test_the_class_that_looks_elsewhere_is_found_and_the_others_are_not():
    rng = np.random.default_rng(3)
    focus_Nthw = rng.dirichlet(np.ones(16), size=120).reshape(120, 1, 4, 4)
    label_N = np.repeat([0, 2, 5, 7], 30)
    focus_Nthw[label_N == 5, :, 0, 0] += 1
    focus_Nthw /= focus_Nthw.sum(axis=(1, 2, 3), keepdims=True)
    found = class_focus(focus_Nthw, label_N, np.random.default_rng(0))
    assert [c.label for c in found] == [0, 2, 5, 7]
    assert max(found, key=lambda c: c.distance).label == 5
    assert found[2].looks_elsewhere
    means = [np.mean([f for f, k in zip(focus_Nthw, label_N, strict=True) if k == c.label], axis=0) for c in found]
    for c, mean_thw in zip(found, means, strict=True):
        np.testing.assert_allclose(c.mean_thw, mean_thw)
        assert c.distance == pytest.approx(np.abs(mean_thw - np.mean(means, axis=0)).sum() / 2)
        assert c.clips == 30


def test_classes_without_a_difference_are_seldom_beyond_chance():
    """By construction a class is beyond the 95th percentile of chance in about one case of twenty."""
    rng, beyond = np.random.default_rng(4), 0
    for seed in range(10):
        focus_Nthw = rng.dirichlet(np.ones(16), size=80).reshape(80, 1, 4, 4)
        found = class_focus(focus_Nthw, np.repeat(np.arange(8), 10), np.random.default_rng(seed))
        beyond += sum(c.looks_elsewhere for c in found)
    assert beyond <= 12


def test_seeded_and_independent_of_order():
    rng = np.random.default_rng(5)
    focus_Nthw, label_N = rng.dirichlet(np.ones(8), size=20).reshape(20, 2, 2, 2), rng.integers(3, size=20)
    one = class_focus(focus_Nthw, label_N, np.random.default_rng(0))
    again = class_focus(focus_Nthw, label_N, np.random.default_rng(0))
    assert [(c.distance, c.chance) for c in one] == [(c.distance, c.chance) for c in again]
    order = rng.permutation(20)
    other = class_focus(focus_Nthw[order], label_N[order], np.random.default_rng(0))
    assert [c.distance for c in other] == pytest.approx([c.distance for c in one])
    assert class_focus(focus_Nthw[:0], label_N[:0], rng) == []
    with pytest.raises(BadValue, match="a label for each"):
        class_focus(focus_Nthw, label_N[:3], rng)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "upper left"), (7, 7, "lower right"), (4, 0, "middle left"), (0, 4, "upper middle"), (4, 4, "centre")],
)
def test_a_place_in_words(row, column, words):
    focus_hw = np.zeros((8, 8))
    focus_hw[row, column] = 1
    assert place(focus_hw) == words
