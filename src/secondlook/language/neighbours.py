"""Nearest labels of a label, and where two embeddings of the same labels differ.

Shapes: K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace, normalise
from secondlook.language.similarity import LabelPair, cosine_matrix
from secondlook.language.vectors import LabelVectors

OFFERED = 5
"""Labels that hold the words of one that is not known, in the message."""


def nearest(vectors: LabelVectors, text: str, k: int = 10) -> list[LabelPair]:
    """The k labels nearest to one, the most similar first; equals in the order of their indices.

    Args:
        vectors: of the labels.
        text: a label or a synonym; case, brackets and commas do not matter.
        k: how many; all others where there are fewer.

    Raises:
        UnknownName: if no label reads so; it offers near spellings, and labels that hold the words.
        BadValue: if k is below 1.
    """
    if k < 1:
        raise BadValue(k, "at least one label is needed")
    label = find(vectors.labels, text)
    cosine_K = cosine_matrix(vectors.vectors_KD)[label]
    order = [j for j in np.argsort(-cosine_K, kind="stable").tolist() if j != label]
    return [LabelPair(label, j, float(cosine_K[j])) for j in order[:k]]


def find(labels: LabelSpace, text: str) -> int:
    """The index of a label by its text.

    Raises:
        UnknownName: if no label reads so; it offers near spellings, and labels that hold the words.
    """
    try:
        return labels.index_of(text)
    except UnknownName:
        words = normalise(text).split()
        holding = [name for name in labels.names if words and all(word in normalise(name) for word in words)]
        more = f" and {len(holding) - OFFERED} more" if len(holding) > OFFERED else ""
        cure = f"These hold the words: {'; '.join(holding[:OFFERED])}{more}." if holding else ""
        raise UnknownName("label", text, labels.names, cure) from None


def rank_matrix(vectors: LabelVectors) -> NDArray[np.int64]:
    """At which place label j stands among the neighbours of label i, 1 the nearest; 0 on the diagonal.

    Equals share the better place, as in `similarity.neighbour_rank`.
    """
    cosine_KK = cosine_matrix(vectors.vectors_KD)
    np.fill_diagonal(cosine_KK, -np.inf)
    rank_KK = np.stack([1 + len(row) - np.searchsorted(np.sort(row), row, side="right") for row in cosine_KK])
    np.fill_diagonal(rank_KK, 0)
    ranks: NDArray[np.int64] = rank_KK.astype(np.int64)
    return ranks


class Disagreement(NamedTuple):
    """A label that is near another in one embedding and not in the other."""

    label: int
    other: int
    first_rank: int
    """Of `other` among the neighbours of `label`, in the first embedding."""
    second_rank: int


@dataclass(frozen=True)
class Comparison:
    """How alike two embeddings order the same labels."""

    spearman: float
    """Of the cosines of all pairs; NaN where all cosines of one embedding are equal."""
    k: int
    shared: float
    """Mean share of a label's k nearest that are among its k nearest in the other embedding."""
    by_chance: float
    """The same share between embeddings that know nothing of each other: `k / (K - 1)`."""
    disagreements: tuple[Disagreement, ...]
    """Where one of the ranks is at most k, the largest ratio of ranks first."""


def compare(first: LabelVectors, second: LabelVectors, k: int = 5) -> Comparison:
    """Compares two embeddings label by label (`label-reassessment`, item L10).

    Args:
        first: an embedding.
        second: another; taken in the order of the first's labels.
        k: neighbours that count as near; at most K - 1 are taken.

    Raises:
        BadValue: if a label of the first has no vector in the second, there are fewer than three, or k is below 1.
    """
    if k < 1:
        raise BadValue(k, "at least one neighbour is needed")
    if len(first.labels) < 3:
        raise BadValue(len(first.labels), "labels are too few to be compared", "Three are needed.")
    second = second.of_labels(first.labels)
    k = min(k, len(first.labels) - 1)
    one_KK, two_KK = rank_matrix(first), rank_matrix(second)
    near_KK, also_KK = _nearest_k(first, k), _nearest_k(second, k)
    upper = np.triu_indices(len(first.labels), 1)
    rho = spearman(cosine_matrix(first.vectors_KD)[upper], cosine_matrix(second.vectors_KD)[upper])
    found = [
        Disagreement(i, j, int(one_KK[i, j]), int(two_KK[i, j]))
        for i, j in np.argwhere((np.minimum(one_KK, two_KK) <= k) & (one_KK > 0)).tolist()
    ]
    found.sort(key=lambda d: (-abs(np.log(d.first_rank / d.second_rank)), d.label, d.other))
    shared = float((near_KK & also_KK).sum(1).mean() / k)
    return Comparison(rho, k, shared, k / (len(first.labels) - 1), tuple(found))


def _nearest_k(vectors: LabelVectors, k: int) -> NDArray[np.bool_]:
    """Which k labels are nearest to each; equals in the order of their indices."""
    cosine_KK = cosine_matrix(vectors.vectors_KD)
    np.fill_diagonal(cosine_KK, -np.inf)
    near_KK = np.zeros(cosine_KK.shape, bool)
    np.put_along_axis(near_KK, np.argsort(-cosine_KK, axis=1, kind="stable")[:, :k], True, axis=1)
    return near_KK


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Rank correlation, ties at their mean rank; NaN where one side has one value only or there are under two."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    if len(one) < 2:
        return float("nan")
    a, b = rankdata(one), rankdata(other)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")
