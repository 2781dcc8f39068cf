"""Which test videos each row with each seed gets right, and what follows: means, intervals, differences, tests.

Shapes: S seeds of a row, N videos, G groups of videos (or videos), R resamples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondlook import tables
from secondlook.audit import align
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.paired import McNemar, mcnemar
from secondlook.evaluate.real import review

RESAMPLES = 2000
K_OF = {"top1": 1, "top3": 3, "top5": 5}
Rates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """All rows on one split of one set, on the videos that every one of them predicted."""

    set: str
    split: str
    classes: tuple[str, ...]
    given_N: npt.NDArray[np.int32]
    group_N: npt.NDArray[np.intp]
    """Number of each video's group; videos without one are groups of their own."""
    hits: Mapping[str, Mapping[int, Mapping[str, npt.NDArray[np.bool_]]]]
    """Row -> seed -> metric -> right or not, N."""
    left_out: int
    """Videos that could not be measured."""

    @property
    def videos(self) -> int:
        """N."""
        return len(self.given_N)

    def matrix(self, row: str, metric: str) -> npt.NDArray[np.bool_]:
        """S x N, seeds in order."""
        return np.stack([by_metric[metric] for _, by_metric in sorted(self.hits[row].items())])

    def rate(self, row: str, metric: str) -> float:
        """Mean over seeds and videos."""
        return float(self.matrix(row, metric).mean())

    def per_class(self, row: str, metric: str = "top1") -> Rates:
        """Accuracy a class, mean over seeds; NaN where a class has no video. K."""
        hit_N = self.matrix(row, metric).mean(0)
        total_K = np.bincount(self.given_N, minlength=len(self.classes))
        right_K = np.bincount(self.given_N, weights=hit_N, minlength=len(self.classes))
        rate_K: Rates = np.divide(right_K, total_K, out=np.full(len(self.classes), np.nan), where=total_K > 0)
        return rate_K


def measured(
    name: str,
    split: str,
    videos: Path,
    predictions: Mapping[str, Mapping[int, Path]],
    labels: Mapping[int, Path] | None = None,
) -> Measured:
    """Reads the predictions of all rows on one split of one set.

    Args:
        name: of the set.
        split: published split, or empty.
        videos: videos table.
        predictions: row -> seed -> predictions table.
        labels: seed -> reassessed labels of the test videos, for `real_top1`; a dropped video keeps its given label.

    Raises:
        BadValue: if the tables do not fit together.
    """
    key_of = {f"{row}\t{seed}": (row, seed) for row, seeds in predictions.items() for seed in seeds}
    read = {key: tables.read(tables.PREDICTIONS, predictions[row][seed]) for key, (row, seed) in key_of.items()}
    aligned = align(read, tables.read(tables.VIDEOS, videos), top_k=5, split="test")
    classes = len(aligned.labels)
    given = LabelSets.single(aligned.given_N, classes)
    true = None
    if aligned.true_labels is not None:
        sets = LabelSets.of_lists(aligned.true_labels, classes)
        true = sets if (sets.size_N > 0).all() else None
    real = {
        seed: review(tables.read(tables.LABELS, path), aligned).sets_with_dropped
        for seed, path in (labels or {}).items()
    }
    found: dict[str, dict[int, dict[str, npt.NDArray[np.bool_]]]] = {}
    for ranking in aligned.rankings:
        row, seed = key_of[ranking.name]
        right = {metric: hits(ranking.top_NK, given, k) for metric, k in K_OF.items()}
        if true is not None:
            right["true_top1"] = hits(ranking.top_NK, true, 1)
        if seed in real:
            right["real_top1"] = hits(ranking.top_NK, real[seed], 1)
        found.setdefault(row, {})[seed] = right
    failed = sum(x.count for x in aligned.left_out if x.failed)
    return Measured(
        name, split, aligned.labels.names, aligned.given_N, _group_numbers(aligned.group_N), found, failed
    )  # fmt: skip


def _group_numbers(group_N: npt.NDArray[np.object_]) -> npt.NDArray[np.intp]:
    text_N = np.array([g or f"\0{i}" for i, g in enumerate(group_N.tolist())])
    return np.unique(text_N, return_inverse=True)[1]


@dataclass(frozen=True)
class Estimate:
    """A number in percent, or percentage points, with its 95 % interval over videos (whole groups) and seeds."""

    value: float
    low: float
    high: float
    clips_low: float
    """The interval over videos alone, the seeds being those that were run."""
    clips_high: float
    seeds_sd: float
    """Standard deviation over the seeds; NaN where there is one."""


class Resampling:
    """The same resamples of videos for every row of a set, so that differences are paired; splits are averaged.

    A resample draws as many groups of videos as there are, with replacement, and for each row as many seeds as it has.
    With few seeds the interval over seeds is narrow (three seeds: by a factor of about 0.8); it is what can be known.

    Args:
        parts: the splits of one set.
        seed: of the draws.
        resamples: R.
    """

    def __init__(self, parts: Sequence[Measured], seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.parts, self.resamples = parts, resamples
        self._rng = np.random.default_rng(seed)
        self._weights_RG = []
        for part in parts:
            groups = int(part.group_N.max()) + 1
            self._weights_RG.append(self._rng.multinomial(groups, np.full(groups, 1 / groups), resamples).astype(float))
        self._kept: dict[tuple[str, str], tuple[Rates, Rates, Rates]] = {}

    def estimate(self, row: str, metric: str) -> Estimate:
        """Accuracy of a row, in percent."""
        return _estimate(*self._rates(row, metric))

    def difference(self, row: str, minus: str, metric: str) -> Estimate:
        """Accuracy of a row minus that of another, in percentage points."""
        first, second = self._rates(row, metric), self._rates(minus, metric)
        seeds = min(len(first[2]), len(second[2]))
        return _estimate(first[0] - second[0], first[1] - second[1], first[2][:seeds] - second[2][:seeds])

    def _rates(self, row: str, metric: str) -> tuple[Rates, Rates, Rates]:
        """Accuracy in each resample of videos and seeds (R), of videos alone (R), of each seed (S)."""
        if (row, metric) not in self._kept:
            both_R, clips_R, seeds_S = np.zeros(self.resamples), np.zeros(self.resamples), []
            for part, weights_RG in zip(self.parts, self._weights_RG, strict=True):
                hit_SN = part.matrix(row, metric)
                size_G = np.bincount(part.group_N).astype(float)
                hits_SG = np.stack([np.bincount(part.group_N, weights=h, minlength=len(size_G)) for h in hit_SN])
                rate_RS = (weights_RG @ hits_SG.T) / (weights_RG @ size_G)[:, None]
                drawn_RS = self._rng.integers(0, len(hit_SN), rate_RS.shape)
                clips_R += rate_RS.mean(1) / len(self.parts)
                both_R += np.take_along_axis(rate_RS, drawn_RS, 1).mean(1) / len(self.parts)
                seeds_S.append(hit_SN.mean(1))
            seeds = min(len(s) for s in seeds_S)
            self._kept[row, metric] = (both_R, clips_R, np.mean([s[:seeds] for s in seeds_S], axis=0))
        return self._kept[row, metric]


def _estimate(both_R: Rates, clips_R: Rates, value_S: Rates) -> Estimate:
    low, high = np.quantile(both_R, [0.025, 0.975]) * 100
    clips_low, clips_high = np.quantile(clips_R, [0.025, 0.975]) * 100
    deviation = float(value_S.std(ddof=1)) * 100 if len(value_S) > 1 else float("nan")
    value = float(value_S.mean()) * 100
    return Estimate(value, float(low), float(high), float(clips_low), float(clips_high), deviation)


def pooled_mcnemar(parts: Sequence[Measured], row: str, baseline: str, metric: str = "top1") -> McNemar:
    """McNemar's test of a row (a) against the baseline (b), its four counts summed over seeds and splits.

    `srtg-mtnet-classreg-visualisation`, section 2.15. A video counts once a seed: with several seeds the p-value is too
    small where the seeds agree; the interval of the difference is the one to go by.
    """
    counts = np.zeros(4, dtype=int)
    for part in parts:
        seeds = sorted(part.hits[row].keys() & part.hits[baseline].keys())
        for seed in seeds:
            test = mcnemar(part.hits[row][seed][metric], part.hits[baseline][seed][metric])
            counts += (test.both, test.only_a, test.only_b, test.neither)
    return McNemar(*(int(c) for c in counts))


def seed_p_values(parts: Sequence[Measured], row: str, baseline: str, metric: str = "top1") -> list[float]:
    """The test's p-value for each seed and split that both rows have."""
    return [
        mcnemar(part.hits[row][seed][metric], part.hits[baseline][seed][metric]).p
        for part in parts
        for seed in sorted(part.hits[row].keys() & part.hits[baseline].keys())
    ]
