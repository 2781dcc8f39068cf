"""Percentile bootstrap of many accuracies at once, over videos or over groups of videos.

A resample draws as many units (videos, or whole groups) as there are, with replacement. Units with the same outcomes
are exchangeable, so a resample is one multinomial draw over the few distinct outcomes: the same distribution as drawing
units one by one, at a cost that does not grow with the videos. Every accuracy is taken from the same resamples, so
differences between them are paired.

Reference: Efron and Tibshirani 1993, chapters 13 (percentile interval) and 16; groups: the cluster bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue

Outcome = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
"""For each of N videos: is it a hit, and does it count at all."""
_DRAWS = 2_000_000
"""Numbers held at once while resampling."""


@dataclass(frozen=True)
class Resampled:
    """Accuracies with their intervals."""

    count: Mapping[str, int]
    """Hits, by name of the outcome."""
    size: Mapping[str, int]
    """Videos that count."""
    rate_R: Mapping[str, npt.NDArray[np.float64]]
    """Accuracy in each of R resamples; NaN where no video that counts was drawn."""
    confidence: float
    unit: str
    units: int

    def score(self, name: str) -> dict[str, Any]:
        """`{"count", "n", "rate", "low", "high"}` of one outcome; rate and interval are None where n is 0."""
        n = self.size[name]
        low, high = self._interval(self.rate_R[name])
        return {"count": self.count[name], "n": n, "rate": self._rate(name), "low": low, "high": high}

    def difference(self, name: str, minus: str) -> dict[str, float | None]:
        """`{"points", "low", "high"}`: one accuracy minus another, in percentage points, paired."""
        first, second = self._rate(name), self._rate(minus)
        points = None if first is None or second is None else 100 * (first - second)
        low, high = self._interval(100 * (self.rate_R[name] - self.rate_R[minus]))
        return {"points": points, "low": low, "high": high}

    def _rate(self, name: str) -> float | None:
        return self.count[name] / self.size[name] if self.size[name] else None

    def _interval(self, value_R: npt.NDArray[np.float64]) -> tuple[float | None, float | None]:
        known_R = value_R[np.isfinite(value_R)]
        if not known_R.size:
            return None, None
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(known_R, [tail, 1 - tail])
        return float(low), float(high)


def resample(
    outcomes: Mapping[str, Outcome],
    *,
    group_N: npt.NDArray[np.object_] | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Resampled:
    """Resamples every outcome together.

    Args:
        outcomes: name -> (hit, counts) for the same N videos.
        group_N: group of each video; whole groups are drawn, and an empty group is a unit of its own. None: videos.
        resamples: R.
        confidence: of the interval, in (0, 1); 0.95 gives the 2.5 % and 97.5 % quantiles.
        seed: of the draws.

    Raises:
        BadValue: if `resamples` is below 1, or `confidence` is not in (0, 1).
    """
    if resamples < 1:
        raise BadValue(resamples, "resamples must be at least 1", "2000 is a good number.")
    if not 0 < confidence < 1:
        raise BadValue(confidence, "a confidence is between 0 and 1", "0.95 is usual.")
    names = list(outcomes)
    hit_NC = np.column_stack([hit_N & counts_N for hit_N, counts_N in outcomes.values()])
    counts_NC = np.column_stack([counts_N for _, counts_N in outcomes.values()])
    unit_UC, units = _units(np.hstack([hit_NC, counts_NC]), group_N)
    pattern_PC, often_P = _patterns(unit_UC)
    rates_RC = _draw(pattern_PC, often_P, resamples, np.random.default_rng(seed))
    return Resampled(
        dict(zip(names, hit_NC.sum(axis=0).tolist(), strict=True)),
        dict(zip(names, counts_NC.sum(axis=0).tolist(), strict=True)),
        dict(zip(names, rates_RC.T, strict=True)),
        confidence,
        "video" if group_N is None else "group",
        units,
    )


def _units(value_NC: npt.NDArray[np.bool_], group_N: npt.NDArray[np.object_] | None) -> tuple[Any, int]:
    """Sums of the columns over each unit."""
    if group_N is None:
        return value_NC, len(value_NC)
    named_N = group_N != ""
    _, code_N = np.unique(group_N.astype(str), return_inverse=True)
    code_N = np.where(named_N, code_N, len(group_N) + np.arange(len(group_N)))
    order_N = np.argsort(code_N, kind="stable")
    start_U = np.flatnonzero(np.diff(code_N[order_N], prepend=-1))
    return np.add.reduceat(value_NC[order_N].astype(np.int32), start_U, axis=0), len(start_U)


def _patterns(unit_UC: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The distinct rows and how many units have each."""
    packed = np.ascontiguousarray(np.packbits(unit_UC, axis=1) if unit_UC.dtype == bool else unit_UC)
    as_bytes = packed.view(np.dtype((np.void, packed.dtype.itemsize * packed.shape[1]))).ravel()
    _, first_P, often_P = np.unique(as_bytes, return_index=True, return_counts=True)
    return unit_UC[first_P].astype(np.float64), often_P


def _draw(
    pattern_PC: npt.NDArray[np.float64], often_P: npt.NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    units = int(often_P.sum())
    columns = pattern_PC.shape[1] // 2
    rates_RC = np.full((resamples, columns), np.nan)
    at_once = max(1, _DRAWS // len(often_P))
    for start in range(0, resamples, at_once):
        drawn_RP = rng.multinomial(units, often_P / units, size=min(at_once, resamples - start))
        sums_RC = drawn_RP @ pattern_PC
        hits_RC, sizes_RC = sums_RC[:, :columns], sums_RC[:, columns:]
        np.divide(hits_RC, sizes_RC, out=rates_RC[start : start + len(drawn_RP)], where=sizes_RC > 0)
    return rates_RC


def groups_or_none(group_N: npt.NDArray[np.object_]) -> npt.NDArray[np.object_] | None:
    """The groups, or None where no video has one."""
    return group_N if (group_N != "").any() else None
