"""Means, intervals, differences and tests of a study, against slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from secondlook.study import schema
from secondlook.study.compare import (
    NOT_AGAINST,
    OPEN,
    OPPOSITE,
    SUPPORTED,
    UNTESTABLE,
    lines,
    per_class_difference,
    verdicts,
)
from secondlook.study.measure import Measured, Resampling, pooled_mcnemar, seed_p_values
from tests.study.conftest import STUDY


def measured(
    rates: dict[str, list[float]], videos: int = 400, split: str = "", seed: int = 0, group: int = 1
) -> Measured:
    """Rows that are right at random, each with its rate a seed; `group` videos a group share their luck."""
    rng = np.random.default_rng(seed)
    given = np.arange(videos, dtype=np.int32) % 4
    found = {}
    for row, per_seed in rates.items():
        right = [np.repeat(rng.uniform(size=videos // group) < rate, group) for rate in per_seed]
        found[row] = {s: {"top1": h, "top3": h | (rng.uniform(size=videos) < 0.5)} for s, h in enumerate(right)}
    return Measured("set", split, ("a", "b", "c", "d"), given, np.arange(videos) // group, found, 0)


@pytest.mark.spec("late-temporal-bert", "F85")
def test_accuracy_is_told_for_each_split_and_as_their_mean() -> None:
    parts = [measured({"plain": [0.4, 0.5]}, split=s, seed=i, videos=200 * (i + 1)) for i, s in enumerate("123")]
    study = schema.read(STUDY)
    line = lines(study, parts, Resampling(parts))[0]
    for metric in ("top1", "top3"):
        by_hand = [100 * np.mean([part.hits["plain"][s][metric].mean() for s in (0, 1)]) for part in parts]
        assert [line.by_split[s][metric] for s in "123"] == pytest.approx(by_hand)
        assert line.accuracy[metric].value == pytest.approx(np.mean(by_hand)), "splits count alike, whatever their size"
    assert (line.splits, line.seeds, line.videos) == (3, 2, 1200)


def test_the_interval_over_videos_and_seeds_is_that_of_a_plain_bootstrap() -> None:
    part = measured({"plain": [0.3, 0.5, 0.6]}, videos=120, group=4)
    estimate = Resampling([part], resamples=4000).estimate("plain", "top1")
    hits = part.matrix("plain", "top1").reshape(3, 30, 4)
    rng = np.random.default_rng(5)
    slow = []
    for _ in range(4000):
        groups = rng.integers(0, 30, 30)
        slow.append(np.mean([hits[s, groups].mean() for s in rng.integers(0, 3, 3)]))
    assert [estimate.low, estimate.high] == pytest.approx(100 * np.quantile(slow, [0.025, 0.975]), abs=1.2)
    assert estimate.low < estimate.clips_low < estimate.value < estimate.clips_high < estimate.high
    assert estimate.seeds_sd == pytest.approx(100 * np.std(part.matrix("plain", "top1").mean(1), ddof=1))


def test_differences_are_paired() -> None:
    part = measured({"plain": [0.5]}, videos=100)
    right = part.hits["plain"][0]["top1"]
    part.hits["good"] = {0: {"top1": right | (np.arange(100) < 10), "top3": right}}  # type: ignore[index]
    resampling = Resampling([part])
    paired = resampling.difference("good", "plain", "top1")
    alone = resampling.estimate("good", "top1")
    assert paired.value == pytest.approx(100 * (part.rate("good", "top1") - part.rate("plain", "top1")))
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    assert paired.low >= 0


def test_mcnemar_is_pooled_over_seeds_and_told_for_each() -> None:
    part = measured({"plain": [0.4, 0.5], "good": [0.6, 0.5]}, videos=80)
    test = pooled_mcnemar([part], "good", "plain")
    a, b = part.matrix("good", "top1"), part.matrix("plain", "top1")
    assert (test.only_a, test.only_b) == (int((a & ~b).sum()), int((~a & b).sum()))
    counts = int((a[0] & ~b[0]).sum()), int((~a[0] & b[0]).sum())
    first = seed_p_values([part], "good", "plain")[0]
    if sum(counts) < 25:
        assert first == pytest.approx(binomtest(counts[0], sum(counts)).pvalue)
    else:
        from scipy.stats import chi2

        assert first == pytest.approx(chi2.sf((abs(counts[0] - counts[1]) - 1) ** 2 / sum(counts), 1))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "96")
def test_differences_a_class_are_sorted_and_sum_to_the_whole() -> None:
    part = measured({"plain": [0.4], "good": [0.7]})
    names, points = per_class_difference([part], "good", "plain")
    assert list(points) == sorted(points, reverse=True)
    for name, value in zip(names, points, strict=True):
        of_class = part.given_N == part.classes.index(name)
        by_hand = part.matrix("good", "top1")[0, of_class].mean() - part.matrix("plain", "top1")[0, of_class].mean()
        assert value == pytest.approx(100 * by_hand)
    assert points.mean() == pytest.approx(100 * (part.rate("good", "top1") - part.rate("plain", "top1")))


@pytest.mark.spec("late-temporal-bert", "F91")
@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"plain": [0.4, 0.42], "good": [0.7, 0.72]}, [SUPPORTED, OPPOSITE, UNTESTABLE]),
        ({"plain": [0.5, 0.5], "good": [0.5, 0.5]}, [OPEN, OPEN, UNTESTABLE]),
        ({"plain": [0.5, 0.5]}, [UNTESTABLE, UNTESTABLE, UNTESTABLE]),
    ],
)
def test_claims_are_held_against_the_interval(rates: dict[str, list[float]], expected: list[str]) -> None:
    parts = [measured(rates, seed=3)]
    told = verdicts(schema.read(STUDY), "set", parts, Resampling(parts))
    assert [v.verdict for v in told] == expected
    assert all(v.why for v in told if v.verdict == UNTESTABLE)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"plain": [0.5, 0.5], "good": [0.5, 0.5]}, NOT_AGAINST),
        ({"plain": [0.5, 0.5], "good": [0.7, 0.7]}, SUPPORTED),
        ({"plain": [0.7, 0.7], "good": [0.5, 0.5]}, OPPOSITE),
    ],
)
def test_at_least_as_good_is_supported_by_a_close_interval_only(rates: dict[str, list[float]], expected: str) -> None:
    text = STUDY.replace("than: plain}", "than: plain, at_least: true}")
    parts = [measured(rates, seed=3)]
    assert verdicts(schema.read(text), "set", parts, Resampling(parts))[0].verdict == expected
    same = measured({"plain": [0.5]})
    same.hits["good"] = same.hits["plain"]  # type: ignore[index]
    assert verdicts(schema.read(text), "set", [same], Resampling([same]))[0].verdict == SUPPORTED
