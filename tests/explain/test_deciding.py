"""When in the clip the heat lies, and how often the best frame is outside the action."""

from __future__ import annotations

import numpy as np
import pytest

from secondlook.explain._deciding import deciding, timing


def heat_of(make_heat, mass_T):
    heat_THW = np.zeros((len(mass_T), 2, 3))
    heat_THW[:, 1, 1] = mass_T
    return make_heat(heat_THW)


def slow_tenths(mass_T):
    """Each frame cut into ten crumbs; crumb i of 10 T falls into tenth `i // T`."""
    found = np.zeros(10)
    for i, crumb in enumerate(np.repeat(np.asarray(mass_T, float), 10)):
        found[i // len(mass_T)] += crumb
    return found / found.sum()


@pytest.mark.parametrize("frames", [1, 4, 8, 10, 16, 30])
def test_heat_by_tenth_is_counted_by_crumbs(make_heat, frames):
    mass_T = np.random.default_rng(frames).random(frames)
    found = timing(heat_of(make_heat, mass_T))
    np.testing.assert_allclose(found.share_D, slow_tenths(mass_T), atol=1e-6)
    np.testing.assert_allclose(found.peak_D, slow_tenths(mass_T == mass_T.max()), atol=1e-6)
    assert found.peak == pytest.approx((mass_T.argmax() + 0.5) / frames)
    assert found.peak_s == pytest.approx(mass_T.argmax() / 10)
    assert np.isnan(found.outside)


def test_outside_the_action_with_chance_beside_it(make_heat):
    heat = heat_of(make_heat, [0, 0, 1, 3, 0, 0, 0, 0])  # the best frame is shown at 0.3 s
    for interval_s, outside, by_chance in (((0.3, 0.5), 0, 5 / 8), ((0.4, 0.9), 1, 4 / 8), ((0, 0.2999), 0, 4 / 8)):
        found = timing(heat, interval_s)
        assert (found.outside, found.outside_by_chance) == (outside, by_chance)


def test_only_heat_for_the_class_counts_and_none_is_none(make_heat):
    found = timing(heat_of(make_heat, [1, -5, 0, 0, 0]))
    assert found.peak_s == 0
    np.testing.assert_allclose(found.share_D, [0.5, 0.5, *[0] * 8])
    none = timing(heat_of(make_heat, [-1, 0]), (0, 0.1))
    assert not none.share_D.any()
    assert not none.peak_D.any()
    assert np.isnan(none.outside)


def test_classes_are_means_of_their_clips(make_heat):
    rng = np.random.default_rng(0)
    intervals = [None, (0.0, 0.2), (0.3, 0.4), None, (0.1, 0.5), (0.0, 0.1)]
    timings = [timing(heat_of(make_heat, rng.random(6)), i) for i in intervals]
    label_N = np.array([2, 0, 2, 2, 0, 0])
    found = deciding(timings, label_N)
    assert [(d.label, d.clips, d.known) for d in found] == [(-1, 6, 4), (0, 3, 3), (2, 3, 1)]
    for d in found:
        own = [t for t, k in zip(timings, label_N, strict=True) if d.label in (-1, k)]
        np.testing.assert_allclose(d.share_D, np.mean([t.share_D for t in own], axis=0))
        assert d.share_D.sum() == pytest.approx(1)
        assert d.peaks_D.sum() == pytest.approx(1)
        assert d.outside == pytest.approx(np.nanmean([t.outside for t in own]))
        assert d.outside_by_chance == pytest.approx(np.nanmean([t.outside_by_chance for t in own]))
        assert d.median_peak == np.median([t.peak for t in own])
    assert deciding([], np.zeros(0, int)) == []
