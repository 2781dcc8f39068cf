"""The multinomial bootstrap against drawing videos one by one, against scipy, and against what is known."""

import numpy as np
import pytest
import scipy.stats

from secondlook.errors import BadValue
from secondlook.evaluate.bootstrap import groups_or_none, resample


def slow_bootstrap(outcomes, group_N, resamples, seed):
    """Draws whole units one by one; rates a resample."""
    rng = np.random.default_rng(seed)
    units = {}
    for i in range(len(next(iter(outcomes.values()))[0])):
        key = group_N[i] if group_N is not None and group_N[i] else ("alone", i)
        units.setdefault(key, []).append(i)
    units = list(units.values())
    rates = {name: [] for name in outcomes}
    for _ in range(resamples):
        rows = [i for u in rng.integers(len(units), size=len(units)) for i in units[u]]
        for name, (hit_N, counts_N) in outcomes.items():
            counted = [i for i in rows if counts_N[i]]
            rates[name].append(sum(bool(hit_N[i]) for i in counted) / len(counted) if counted else np.nan)
    return {name: np.array(r) for name, r in rates.items()}


def drawn(seed=0, count=120):
    rng = np.random.default_rng(seed)
    a_N = rng.random(count) < 0.6
    b_N = a_N ^ (rng.random(count) < 0.15)
    some_N = rng.random(count) < 0.7
    every_N = np.ones(count, dtype=bool)
    return {"a": (a_N, every_N), "b": (b_N, every_N), "a of some": (a_N, some_N)}


@pytest.mark.parametrize("grouped", [False, True])
def test_resamples_are_distributed_as_those_of_the_slow_twin(grouped):
    outcomes = drawn()
    group_N = np.array([f"g{i // 7}" if i < 100 else "" for i in range(120)], dtype=object) if grouped else None
    found = resample(outcomes, group_N=group_N, resamples=4000, seed=1)
    slow = slow_bootstrap(outcomes, group_N, 1000, seed=2)
    assert found.units == (15 + 20 if grouped else 120)
    assert found.unit == ("group" if grouped else "video")
    for name in outcomes:
        assert scipy.stats.ks_2samp(found.rate_R[name], slow[name]).pvalue > 1e-3
    fast_gap, slow_gap = (r["a"] - r["b"] for r in (found.rate_R, slow))
    assert scipy.stats.ks_2samp(fast_gap, slow_gap).pvalue > 1e-3  # paired: else its spread would be far wider
    assert fast_gap.std() < 0.7 * np.hypot(found.rate_R["a"].std(), found.rate_R["b"].std())


def test_interval_agrees_with_scipy():
    outcomes = drawn(3, 400)
    hit_N = outcomes["a"][0]
    ours = resample(outcomes, resamples=20_000, seed=0).score("a")
    theirs = scipy.stats.bootstrap(
        (hit_N.astype(float),), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours["low"] == pytest.approx(theirs.low, abs=0.006)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.006)


def test_groups_of_like_videos_widen_the_interval():
    right_N = np.repeat(np.arange(40) % 2 == 0, 10)
    outcomes = {"a": (right_N, np.ones(400, dtype=bool))}
    groups_N = np.repeat([f"g{i}" for i in range(40)], 10).astype(object)
    videos, groups = (resample(outcomes, group_N=g).score("a") for g in (None, groups_N))
    assert groups["high"] - groups["low"] > 2.5 * (videos["high"] - videos["low"])


def test_coverage_is_close_to_its_name():
    """The 90 % interval of 200 draws of 150 videos covers the true share about 90 % of the time."""
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        hit_N = rng.random(150) < 0.7
        s = resample({"a": (hit_N, np.ones(150, dtype=bool))}, resamples=300, confidence=0.9, seed=seed).score("a")
        covered += s["low"] <= 0.7 <= s["high"]
    assert 160 <= covered <= 195


def test_repeats_with_its_seed_and_counts_exactly():
    outcomes = drawn()
    one, two, other = (resample(outcomes, seed=s) for s in (5, 5, 6))
    assert one.score("a of some") == two.score("a of some")
    assert one.score("a")["low"] != other.score("a")["low"] or one.score("b")["low"] != other.score("b")["low"]
    hit_N, some_N = outcomes["a of some"]
    found = one.score("a of some")
    assert (found["count"], found["n"]) == ((hit_N & some_N).sum(), some_N.sum())
    assert found["low"] <= found["rate"] <= found["high"]
    assert one.difference("a", "a") == {"points": 0.0, "low": 0.0, "high": 0.0}


def test_more_resamples_than_fit_at_once(monkeypatch):
    monkeypatch.setattr("secondlook.evaluate.bootstrap._DRAWS", 10)
    rates_R = resample(drawn(), resamples=137).rate_R["a"]
    assert len(rates_R) == 137
    assert np.isfinite(rates_R).all()


def test_nothing_to_count_gives_none():
    none_N = np.zeros(5, dtype=bool)
    found = resample({"a": (~none_N, none_N), "b": (~none_N, ~none_N)}, resamples=10)
    assert found.score("a") == {"count": 0, "n": 0, "rate": None, "low": None, "high": None}
    assert found.difference("a", "b") == {"points": None, "low": None, "high": None}


@pytest.mark.parametrize("options", [{"resamples": 0}, {"confidence": 0.0}, {"confidence": 95}])
def test_nonsense_is_refused(options):
    with pytest.raises(BadValue):
        resample(drawn(), **options)


def test_no_groups_means_videos():
    assert groups_or_none(np.array(["", ""], dtype=object)) is None
    assert groups_or_none(np.array(["", "x"], dtype=object)) is not None
