"""Top-k accuracy against label sets, per class and per coarse group."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.evaluate.label_sets import LabelSets
from secondlook.labels import LabelSpace

Hits = npt.NDArray[np.bool_]
"""One truth value a video."""


def hits(top_NK: npt.NDArray[np.int32], sets: LabelSets, k: int) -> Hits:
    """Whether the k best classes meet the set: `[{top_1..top_k} & R_i is not empty]`.

    With `R_i = {given label}` the mean of it is top-k accuracy; with reassessed sets it is ReaL@k
    (label-reassessment 1.10; Beyer et al. 2020). An empty set is never met.

    Args:
        top_NK: the best classes of each video, best first, at least k of them where there are as many classes.
        sets: one set a video.
        k: how many of the best to look at; more than there are means all of them.
    """
    return np.asarray(sets.hold(top_NK[:, :k]).any(axis=1))


def per_class(given_N: npt.NDArray[np.int32], labels: LabelSpace, hit: dict[str, Hits]) -> list[dict[str, Any]]:
    """Counts of hits for each given label: `{"label", "name", "group", "n", <name of the hit>: count, ...}`."""
    classes = len(labels)
    total_K = np.bincount(given_N, minlength=classes)
    counts = {name: np.bincount(given_N[hit_N], minlength=classes) for name, hit_N in hit.items()}
    return [
        {"label": k, "name": label.name, "group": label.group, "n": int(total_K[k])}
        | {name: int(count_K[k]) for name, count_K in counts.items()}
        for k, label in enumerate(labels.labels)
    ]


def per_group(
    given_N: npt.NDArray[np.int32], predicted_N: npt.NDArray[np.int32], labels: LabelSpace, hit: dict[str, Hits]
) -> list[dict[str, Any]]:
    """Counts of hits for each coarse group of the given label; `group_hit`: the predicted class is of the same group.

    Empty where the label space has no groups. Classes without a group are left out.
    """
    code_of = {group: code for code, group in enumerate(labels.groups)}
    code_K = np.array([code_of.get(label.group, -1) for label in labels.labels])
    code_N = code_K[given_N]
    all_hits = {"group_hit": code_K[predicted_N] == code_N, **hit}
    return [
        {"group": group, "n": int((code_N == code).sum())}
        | {name: int((hit_N & (code_N == code)).sum()) for name, hit_N in all_hits.items()}
        for group, code in code_of.items()
    ]
