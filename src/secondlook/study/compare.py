"""What a study's run says: each row with intervals, its difference from the baseline, and verdicts on the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.study.measure import Estimate, Measured, Resampling, pooled_mcnemar, seed_p_values
from secondlook.study.schema import Claim, Study

SUPPORTED, OPEN, UNTESTABLE = "supported", "not supported", "not testable"
OPPOSITE, NOT_AGAINST = "not supported: the opposite holds", "not contradicted"


@dataclass(frozen=True)
class Line:
    """One row on one set."""

    row: str
    label: str
    seeds: int
    splits: int
    videos: int
    accuracy: dict[str, Estimate]
    """Metric -> percent."""
    by_split: dict[str, dict[str, float]]
    """Split -> metric -> percent, mean over seeds."""
    difference: Estimate | None
    """Top-1 minus the baseline's, in points; None for the baseline itself, or where it was not run."""
    only_row: int
    """Videos that this row alone gets right, summed over seeds; `only_baseline`: that the baseline alone does."""
    only_baseline: int
    p: float | None
    """McNemar, pooled over seeds."""
    test: str
    p_by_seed: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim on one set."""

    claim: Claim
    set: str
    verdict: str
    difference: Estimate | None = None
    why: str = ""


def lines(study: Study, parts: Sequence[Measured], resampling: Resampling) -> list[Line]:
    """One line for each row that was measured in every split of a set, in the order of the study."""
    metrics = [m for m in study.metrics if m != "real_top1"]
    metrics += [m for m in ("real_top1", "true_top1") if _knows(parts, m)]
    there = _in_every(parts)
    found = []
    for row in study.rows:
        if row.name not in there:
            continue
        difference, test, p_values = None, None, []
        if study.baseline in there and row.name != study.baseline:
            difference = resampling.difference(row.name, study.baseline, "top1")
            test = pooled_mcnemar(parts, row.name, study.baseline)
            p_values = seed_p_values(parts, row.name, study.baseline)
        found.append(
            Line(
                row.name,
                row.title,
                min(len(p.hits[row.name]) for p in parts),
                len(parts),
                sum(p.videos for p in parts),
                {m: resampling.estimate(row.name, m) for m in metrics},
                {p.split or "all": {m: 100 * p.rate(row.name, m) for m in metrics} for p in parts},
                difference,
                test.only_a if test else 0,
                test.only_b if test else 0,
                test.p if test else None,
                test.test if test else "",
                tuple(p_values),
            )
        )
    return found


def verdicts(study: Study, name: str, parts: Sequence[Measured], resampling: Resampling) -> list[Verdict]:
    """Holds every claim of a study against what was measured on a set.

    A claim is supported where the interval of the difference (over videos and seeds) lies above 0. A claim that a row
    is at least as good is supported where it lies above -`TOLERANCE` points, and not contradicted where it reaches 0.
    """
    there = _in_every(parts)
    found = []
    for claim in study.claims:
        if claim.untestable:
            found.append(Verdict(claim, name, UNTESTABLE, None, claim.untestable))
            continue
        if lacking := [row for row in (claim.better, claim.than) if row not in there]:
            found.append(Verdict(claim, name, UNTESTABLE, None, f"{' and '.join(lacking)} not measured"))
            continue
        if claim.metric in _SETS and not _knows(parts, claim.metric):
            found.append(Verdict(claim, name, UNTESTABLE, None, f"{_SETS[claim.metric]} labels are not known"))
            continue
        difference = resampling.difference(claim.better, claim.than, claim.metric)
        found.append(Verdict(claim, name, _verdict(claim, difference), difference))
    return found


TOLERANCE = 2.0
"""Points by which a row may fall behind and still be "at least as good"."""


def _verdict(claim: Claim, difference: Estimate) -> str:
    if difference.high < 0:
        return OPPOSITE
    if difference.low > (-TOLERANCE if claim.at_least else 0):
        return SUPPORTED
    return NOT_AGAINST if claim.at_least else OPEN


def _in_every(parts: Sequence[Measured]) -> set[str]:
    return set.intersection(*(set(part.hits) for part in parts)) if parts else set()


_SETS = {"true_top1": "true", "real_top1": "reassessed"}
"""Metrics that need sets of labels."""


def _knows(parts: Sequence[Measured], metric: str) -> bool:
    return all(metric in m for part in parts for seeds in part.hits.values() for m in seeds.values())


def per_class_difference(
    parts: Sequence[Measured], row: str, baseline: str
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Class names, and accuracy of a row minus that of the baseline in points, mean over splits and seeds; sorted.

    `srtg-mtnet-classreg-visualisation`, Fig. 6.5. Classes without test videos are left out.
    """
    stacked = np.stack([100 * (part.per_class(row) - part.per_class(baseline)) for part in parts])
    known_K: npt.NDArray[np.bool_] = np.asarray(np.isfinite(stacked).any(axis=0))
    mean_K = np.nanmean(stacked[:, known_K], axis=0)
    names = [name for name, known in zip(parts[0].classes, known_K.tolist(), strict=True) if known]
    order = np.argsort(-mean_K, kind="stable")
    return [names[i] for i in order], mean_K[order]
