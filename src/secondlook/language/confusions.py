"""Are labels that read alike taken for each other? Label cosines against a model's confusions.

`label-reassessment`, section 4.3 of its source says that mistakes lie near in words; it does not measure it. Here it
is a rank correlation over pairs of labels, with what shuffled labels give beside it.

Shapes: K labels; rows of a confusion matrix are given labels, columns predicted ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.language.neighbours import rank_matrix, spearman
from secondlook.language.similarity import cosine_matrix, video_logits
from secondlook.language.vectors import LabelVectors

SHUFFLES = 499
NEAR = 5
"""Nearest labels among which the most frequent wrong answer is looked for."""


@dataclass(frozen=True)
class ConfusionLikeness:
    """How far label cosines tell which labels are confused."""

    labels: int
    """That have videos."""
    pairs: int
    """Of these labels."""
    confused_pairs: int
    """Pairs with at least one mistake, either way."""
    spearman: float
    """Between cosine and `(rate(i as j) + rate(j as i)) / 2`, over the pairs; NaN where there is no mistake."""
    spearman_of_confused: float
    """The same over the confused pairs only: no longer whether, but how often."""
    shuffled: float
    """95th percentile of the correlation when the labels of the vectors are shuffled."""
    p: float
    """Share of shuffled labellings, this one counted in, that correlate as much (Mantel's test, one-sided)."""
    first_mistake_near: float
    """Share of labels whose most frequent wrong answer is among their `NEAR` nearest labels."""
    near_by_chance: float
    """The same if the wrong answer were any other label."""


def confusion_likeness(
    vectors: LabelVectors, confusion_KK: NDArray[Any], *, seed: int = 0, shuffles: int = SHUFFLES
) -> ConfusionLikeness:
    """Rank correlation between the cosine of two labels and how often one is taken for the other.

    Labels without videos are left out. Pairs share labels, so that they are not independent; the test shuffles labels,
    not pairs.

    Args:
        vectors: of the labels.
        confusion_KK: counts; given labels in rows.
        seed: of the shuffles.
        shuffles: how many.

    Raises:
        BadValue: if the matrix is not K x K counts, or fewer than three labels have videos.
    """
    confusion_KK = np.asarray(confusion_KK, np.float64)
    count = len(vectors.labels)
    if confusion_KK.shape != (count, count) or not np.isfinite(confusion_KK).all() or (confusion_KK < 0).any():
        raise BadValue(confusion_KK.shape, f"must be counts, {count} x {count}", "Is it of other labels?")
    kept = np.flatnonzero(confusion_KK.sum(1))
    if len(kept) < 3:
        raise BadValue(len(kept), "labels with videos are too few", "Three are needed.")
    confusion_KK = confusion_KK[np.ix_(kept, kept)]
    cosine_KK = cosine_matrix(vectors.vectors_KD[kept])
    rate_KK = confusion_KK / np.maximum(confusion_KK.sum(1, keepdims=True), 1.0)
    upper = np.triu_indices(len(kept), 1)
    rate_P, cosine_P = (rate_KK + rate_KK.T)[upper] / 2, cosine_KK[upper]
    rho = spearman(cosine_P, rate_P)
    generator = np.random.default_rng(seed)
    other = []
    for _ in range(shuffles if np.isfinite(rho) else 0):
        order = generator.permutation(len(kept))
        other.append(spearman(cosine_KK[np.ix_(order, order)][upper], rate_P))
    nan = float("nan")
    wrong_KK = confusion_KK - np.diag(np.diag(confusion_KK))
    mistaken = np.flatnonzero(wrong_KK.sum(1))
    space = LabelSpace(tuple(vectors.labels.labels[i] for i in kept.tolist()))
    ranks_KK = rank_matrix(LabelVectors(space, vectors.vectors_KD[kept], vectors.method))
    rank = ranks_KK[mistaken, wrong_KK[mistaken].argmax(1)]
    return ConfusionLikeness(
        labels=len(kept),
        pairs=len(rate_P),
        confused_pairs=int((rate_P > 0).sum()),
        spearman=rho,
        spearman_of_confused=spearman(cosine_P[rate_P > 0], rate_P[rate_P > 0]),
        shuffled=float(np.quantile(other, 0.95)) if other else nan,
        p=(1 + sum(x >= rho for x in other)) / (1 + len(other)) if other else nan,
        first_mistake_near=float((rank <= NEAR).mean()) if len(rank) else nan,
        near_by_chance=min(1.0, NEAR / (len(kept) - 1)),
    )


def confusion_of(predictions: pa.Table, vectors: LabelVectors) -> NDArray[np.int64]:
    """The confusion matrix of a predictions table, in the order of the vectors' labels; its video rows count.

    Raises:
        BadValue: if a label of the predictions has no vector.
    """
    space = tables.label_space(predictions)
    at = np.array([vectors.labels.index_of(name) for name in vectors.of_labels(space).labels.names])
    rows, logits_NK = video_logits(predictions)
    confusion_KK = np.zeros((len(vectors.labels), len(vectors.labels)), np.int64)
    np.add.at(confusion_KK, (at[rows["label"].to_numpy()], at[logits_NK.argmax(1)]), 1)
    return confusion_KK


def read_confusion(path: str | Path) -> NDArray[np.float64]:
    """A confusion matrix from a `.npy` file, given labels in rows.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it holds no square matrix of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Give a .npy file.")
    try:
        matrix = np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise BadValue(str(path), f"is no array of numbers ({error})", "Write it with numpy.save.") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BadValue(matrix.shape, "a confusion matrix is square")
    return matrix
