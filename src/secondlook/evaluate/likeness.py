"""Does likeness of labels go with confusion: rank correlation of label cosines with confusions and co-occurrences.

The source asserts that labels near in meaning are confused, and never measures it (label-reassessment 6.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import rankdata, spearmanr  # type: ignore[import-untyped]

from secondlook import tables
from secondlook.audit import Aligned
from secondlook.errors import BadValue
from secondlook.evaluate import confusion
from secondlook.evaluate.real import Review
from secondlook.labels import LabelSpace, normalise


def likeness(
    vectors: pa.Table, aligned: Aligned, looked: Review | None, *, confidence: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Correlations of the cosines of labels with how often each model confuses them, and people choose them together.

    Args:
        vectors: a table of label vectors.
        aligned: the evaluated videos and their models.
        looked: the reassessed sets; None: nobody was asked.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        `{"method", "confusion": {model: correlation}, "co_occurrence": correlation or None}`; see `correlation`. Rates
        are means of both directions (`symmetric_rate`).

    Raises:
        BadValue: if the vectors are of other labels.
    """
    classes = len(aligned.labels)
    cosine_KK = cosines(vectors, aligned.labels)
    found: dict[str, Any] = {"method": str(tables.made(vectors).get("method", "")), "confusion": {}}
    for ranking in aligned.rankings:
        counts_KK = confusion.counts(aligned.given_N, ranking.predicted_N, classes)
        rate_KK = symmetric_rate(counts_KK, counts_KK.sum(axis=1))
        found["confusion"][ranking.name] = correlation(cosine_KK, rate_KK, confidence=confidence, seed=seed)
    found["co_occurrence"] = None
    if looked is not None and looked.reviewed_N.any():
        rows = np.flatnonzero(looked.reviewed_N & looked.kept_N)
        sets, given_N = looked.sets.take(rows), looked.given_N[rows]
        row, label = sets.pairs
        counts_KK = np.bincount(given_N[row].astype(np.int64) * classes + label, minlength=classes**2)
        total_K = np.bincount(given_N, minlength=classes)
        rate_KK = symmetric_rate(counts_KK.reshape(classes, classes), total_K)
        found["co_occurrence"] = correlation(cosine_KK, rate_KK, confidence=confidence, seed=seed)
    return found


def cosines(vectors: pa.Table, labels: LabelSpace) -> npt.NDArray[np.float64]:
    """Cosine of each two labels, K x K, from a table of label vectors.

    Raises:
        BadValue: if the table is about other labels.
    """
    order = np.argsort(vectors["index"].to_numpy())
    names = [normalise(vectors["label"][int(i)].as_py()) for i in order]
    if names != [normalise(name) for name in labels.names]:
        raise BadValue(len(names), f"the label vectors are not those of the {len(labels)} labels evaluated", _CURE)
    vectors_KD = tables.matrix(vectors, "vector")[order].astype(np.float64)
    vectors_KD /= np.maximum(np.linalg.norm(vectors_KD, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors_KD @ vectors_KD.T)


_CURE = "Make them with `secondlook language embed` from the same label set."


def symmetric_rate(counts_KK: npt.NDArray[Any], total_K: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean of both directions, `(c_ij / n_i + c_ji / n_j) / 2`; NaN where neither class has a video."""
    rate_KK = np.divide(counts_KK, total_K[:, None], out=np.full(counts_KK.shape, np.nan), where=total_K[:, None] > 0)
    both = np.stack([rate_KK, rate_KK.T])
    known = np.isfinite(both)
    return np.asarray(
        np.divide(np.where(known, both, 0).sum(0), known.sum(0), out=np.full(counts_KK.shape, np.nan),
                  where=known.any(0))
    )  # fmt: skip


def correlation(
    cosine_KK: npt.NDArray[np.float64],
    rate_KK: npt.NDArray[np.float64],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Spearman's rank correlation over the pairs of classes, with an interval from resampled classes.

    Pairs that share a class depend on each other, so whole classes are drawn, and a pair counts as often as both its
    classes were drawn (the vertex bootstrap, Snijders and Borgatti 1999). Pairs of a class with itself are left out.

    Args:
        cosine_KK: of the labels.
        rate_KK: symmetric; pairs that are NaN are left out.
        resamples: of the bootstrap.
        confidence: of the interval.
        seed: of the draws.

    Returns:
        `{"rho", "low", "high", "pairs"}`; None where fewer than three pairs are known, or one side never varies.
    """
    i, j = np.triu_indices(len(cosine_KK), k=1)
    known = np.isfinite(rate_KK[i, j])
    i, j = i[known], j[known]
    x_P, y_P = cosine_KK[i, j], rate_KK[i, j]
    if len(x_P) < 3 or np.ptp(x_P) == 0 or np.ptp(y_P) == 0:
        return {"rho": None, "low": None, "high": None, "pairs": len(x_P)}
    # Ranks stay those of all pairs; a resample weighs them.
    x_P, y_P = rankdata(x_P), rankdata(y_P)
    rng = np.random.default_rng(seed)
    classes = len(cosine_KK)
    drawn = []
    for _ in range(resamples):
        times_K = np.bincount(rng.integers(classes, size=classes), minlength=classes)
        weight_P = (times_K[i] * times_K[j]).astype(np.float64)
        drawn.append(_weighted(x_P, y_P, weight_P))
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"rho": float(spearmanr(x_P, y_P).statistic), "low": float(low), "high": float(high), "pairs": len(x_P)}


def _weighted(x_P: npt.NDArray[Any], y_P: npt.NDArray[Any], weight_P: npt.NDArray[np.float64]) -> float:
    total = weight_P.sum()
    if total == 0:
        return float("nan")
    x_P, y_P = x_P - weight_P @ x_P / total, y_P - weight_P @ y_P / total
    spread = np.sqrt((weight_P @ x_P**2) * (weight_P @ y_P**2))
    return float(weight_P @ (x_P * y_P) / spread) if spread > 0 else float("nan")
