"""Intervals of statistics over tasks: whole tasks are drawn again, with what everyone said about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondlook.errors import BadValue
from secondlook.reassess._questions import Floats

Interval = dict[str, float | None]
"""`value`, `low`, `high`; None where it is not defined."""


@dataclass(frozen=True)
class Resamples:
    """How often each task is drawn: `N x (1 + B)`, in the first column once each."""

    times_NB: Floats
    level: float

    @classmethod
    def draw(cls, tasks: int, resamples: int, seed: int, level: float = 0.95) -> Resamples:
        """B draws of as many tasks as there are, with replacement.

        Raises:
            BadValue: if there is no task, `resamples` is negative, or `level` is not between 0 and 1.
        """
        if tasks < 1 or resamples < 0 or not 0 < level < 1:
            raise BadValue(
                (tasks, resamples, level), "needs a task, resamples of 0 or more and a level between 0 and 1"
            )
        generator = np.random.default_rng(seed)
        drawn = [np.bincount(generator.integers(0, tasks, tasks), minlength=tasks) for _ in range(resamples)]
        return cls(np.stack([np.ones(tasks), *drawn], axis=1).astype(np.float64), level)

    def interval(self, of_B: Floats) -> Interval:
        """Value on the tasks as they are, and percentiles over the draws in which it is defined."""
        value, drawn = of_B[0], of_B[1:][np.isfinite(of_B[1:])]
        if not np.isfinite(value):
            return {"value": None, "low": None, "high": None}
        if not len(drawn):
            return {"value": float(value), "low": None, "high": None}
        low, high = np.quantile(drawn, [(1 - self.level) / 2, (1 + self.level) / 2])
        return {"value": float(value), "low": float(low), "high": float(high)}

    def mean(self, values_N: Floats, counted_N: np.ndarray) -> Interval:
        """Of the mean over the counted tasks."""
        of_N = np.where(counted_N, values_N, 0.0)
        return self.interval(ratio(of_N @ self.times_NB, counted_N.astype(np.float64) @ self.times_NB))

    def ratio(self, part_N: Floats, whole_N: Floats) -> Interval:
        """Of the ratio of two sums over tasks."""
        return self.interval(ratio(part_N @ self.times_NB, whole_N @ self.times_NB))


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) != 0))
