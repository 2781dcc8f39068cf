"""How near labels are to each other, and how near a model's mistakes are to the given label.

Shapes: K labels, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue, UnknownName
from secondlook.language.vectors import LabelVectors

Groups = Literal["all", "within", "cross"]


def cosine_matrix(vectors_KD: NDArray[Any]) -> NDArray[np.float64]:
    """`cos(x, y) = x y / (|x| |y|)` of each pair (equation 4.3): symmetric, 1 on the diagonal, in [-1, 1]."""
    exact_KD = vectors_KD.astype(np.float64)
    exact_KD /= np.linalg.norm(exact_KD, axis=1, keepdims=True)
    cosine_KK: NDArray[np.float64] = np.clip(exact_KD @ exact_KD.T, -1.0, 1.0)
    cosine_KK = (cosine_KK + cosine_KK.T) / 2
    np.fill_diagonal(cosine_KK, 1.0)
    return cosine_KK


class LabelPair(NamedTuple):
    """Two labels and how near they are."""

    one: int
    other: int
    cosine: float


def ranked_pairs(vectors: LabelVectors, groups: Groups = "all", *, least: bool = False) -> list[LabelPair]:
    """Pairs of labels, the most similar first; equals in the order of their indices.

    Args:
        vectors: of the labels.
        groups: `within`: only pairs of one coarse group; `cross`: of two.
        least: the least similar first.

    Raises:
        UnknownName: if the word for groups is not known.
        BadValue: if the labels have no groups and they are asked for.
    """
    if groups not in get_args(Groups):
        raise UnknownName("choice of pairs", groups, get_args(Groups))
    if groups != "all" and not vectors.labels.groups:
        raise BadValue(groups, "the labels have no coarse groups", "Give a label file with groups, or --pairs all.")
    cosine_KK = cosine_matrix(vectors.vectors_KD)
    group = [label.group for label in vectors.labels.labels]
    found = [
        LabelPair(i, j, float(cosine_KK[i, j]))
        for i in range(len(group))
        for j in range(i + 1, len(group))
        if groups == "all" or (groups == "within") == (bool(group[i]) and group[i] == group[j])
    ]
    return sorted(found, key=lambda pair: (pair.cosine if least else -pair.cosine, pair.one, pair.other))


def neighbour_rank(vectors: LabelVectors, label: int, other: int) -> int:
    """At which place `other` stands among the neighbours of `label`, 1 the nearest; equals share the better place.

    Raises:
        BadValue: if both are the same label.
    """
    if label == other:
        raise BadValue(label, "a label is no neighbour of itself", "Give two labels.")
    cosine_K = cosine_matrix(vectors.vectors_KD)[label]
    nearer = (cosine_K > cosine_K[other]) & (np.arange(len(cosine_K)) != label)
    return int(nearer.sum()) + 1


@dataclass(frozen=True)
class ErrorDistance:
    """How far a model's mistakes are from the given labels, in words."""

    videos: int
    """That have a given label and were predicted."""
    errors: int
    """Of these, where the first answer is another label."""
    mean_cosine: float
    """Between predicted and given label, over the errors; NaN where there are none."""
    chance_cosine: float
    """The same if each error had gone to any other label alike."""


def error_distance(predictions: pa.Table, vectors: LabelVectors) -> ErrorDistance:
    """Mean cosine between predicted and given label where they differ: near 1 are near misses.

    Args:
        predictions: a predictions table; its video rows count.
        vectors: of its labels.
    """
    cosine_KK = cosine_matrix(vectors.of_labels(tables.label_space(predictions)).vectors_KD)
    rows, logits_NK = video_logits(predictions)
    given_N = rows["label"].to_numpy()
    best_N = logits_NK.argmax(1)
    wrong_N = best_N != given_N
    found = cosine_KK[best_N[wrong_N], given_N[wrong_N]]
    chance = (cosine_KK[given_N[wrong_N]].sum(1) - 1.0) / max(len(cosine_KK) - 1, 1)
    mean = float(found.mean()) if len(found) else float("nan")
    return ErrorDistance(len(rows), len(found), mean, float(chance.mean()) if len(found) else float("nan"))


def top_table(models: Mapping[str, pa.Table], videos: Sequence[str], k: int = 4) -> list[dict[str, Any]]:
    """What each model puts first, second, ... for chosen videos, one row a video and model.

    Args:
        models: name -> predictions table.
        videos: names of videos.
        k: how many answers.

    Raises:
        BadValue: if a video was not predicted by one of them.
    """
    found = []
    read = {model: (*video_logits(table), tables.label_space(table)) for model, table in models.items()}
    for video in videos:
        for model, (rows, logits_NK, labels) in read.items():
            at = pc.index(rows["video_id"], video).as_py()
            if at < 0:
                raise BadValue(video, f"{model} has no usable, labelled prediction of this video")
            order = np.argsort(-logits_NK[at], kind="stable")[:k].tolist()
            given = int(rows["label"][at].as_py())
            found.append(
                {
                    "video_id": video,
                    "given": labels.names[given],
                    "model": model,
                    "answers": [labels.names[c] for c in order],
                    "rank_of_given": int((logits_NK[at] > logits_NK[at, given]).sum()) + 1,
                }
            )
    return found


def near_misses(predictions: pa.Table, k: int = 5) -> list[str]:
    """Videos whose given label is among the k best answers and is not the first (`label-reassessment`, 1.13)."""
    rows, logits_NK = video_logits(predictions)
    given_N1 = rows["label"].to_numpy()[:, None]
    rank_N = (logits_NK > np.take_along_axis(logits_NK, given_N1, 1)).sum(1)
    chosen = rows["video_id"].to_pylist()
    return [name for name, rank in zip(chosen, rank_N.tolist(), strict=True) if 0 < rank < k]


def video_logits(predictions: pa.Table) -> tuple[pa.Table, NDArray[np.float32]]:
    """The video rows that have a given label and logits."""
    keep = pc.and_(pc.equal(predictions["view"], -1), pc.not_equal(predictions["label"], tables.UNLABELLED))
    rows = predictions.filter(keep)
    logits_NK = tables.matrix(rows, "logits")
    whole_N = np.isfinite(logits_NK).all(1)
    return rows.filter(pa.array(whole_N)), logits_NK[whole_N]
