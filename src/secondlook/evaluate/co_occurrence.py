"""Which other labels people chose for the videos of a class: the co-occurrence table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.evaluate.label_sets import LabelSets
from secondlook.labels import LabelSpace


def co_occurrence(
    given_N: npt.NDArray[np.int32], sets: LabelSets, labels: LabelSpace, *, min_videos: int = 1
) -> list[dict[str, Any]]:
    """For each given class A and other class B: `share = |{i: y_i = A, B in R_i}| / |{i: y_i = A}|`.

    It has a direction: `share(A -> B)` much above `share(B -> A)` speaks for B being the wider class
    (label-reassessment 1.11, 6.3). Empty sets are left out.

    Args:
        given_N: given labels of the reviewed videos.
        sets: their reassessed sets.
        labels: the classes; where they have groups, a pair is said to be within one group or across two.
        min_videos: leave out classes A with fewer reviewed videos.

    Returns:
        `{"given", "given_name", "videos", "with", "with_name", "with_videos", "count", "share", "reverse_share",
        "same_group"}` for each pair that occurs, by falling share, then by falling count. `with_videos` are reviewed
        and given as B; where there are none `reverse_share` is None; `same_group` is None where there are no groups.
    """
    classes = len(labels)
    total_K = np.bincount(given_N[sets.size_N > 0], minlength=classes)
    row, label = sets.pairs
    count_KK = np.bincount(given_N[row].astype(np.int64) * classes + label, minlength=classes**2)
    count_KK = count_KK.reshape(classes, classes)
    share_KK = count_KK / np.maximum(total_K, 1)[:, None]
    np.fill_diagonal(count_KK, 0)
    given, other = np.nonzero(count_KK * (total_K >= min_videos)[:, None])
    order = np.lexsort((other, given, -count_KK[given, other], -share_KK[given, other]))
    found = []
    for a, b in zip(given[order].tolist(), other[order].tolist(), strict=True):
        groups = labels.labels[a].group, labels.labels[b].group
        found.append(
            {
                "given": a,
                "given_name": labels.names[a],
                "videos": int(total_K[a]),
                "with": b,
                "with_name": labels.names[b],
                "with_videos": int(total_K[b]),
                "count": int(count_KK[a, b]),
                "share": float(share_KK[a, b]),
                "reverse_share": float(share_KK[b, a]) if total_K[b] else None,
                "same_group": groups[0] == groups[1] if all(groups) else None,
            }
        )
    return found


def across_groups(pairs: list[dict[str, Any]]) -> dict[str, int]:
    """How many of the added labels stay within the coarse group of the given label, and how many leave it."""
    within = sum(pair["count"] for pair in pairs if pair["same_group"])
    across = sum(pair["count"] for pair in pairs if pair["same_group"] is False)
    return {"within": within, "across": across}


def heat(pairs: list[dict[str, Any]], labels: LabelSpace, *, most: int = 24) -> dict[str, Any]:
    """Shares among the labels that take part in most added labels, for a picture.

    Args:
        pairs: of `co_occurrence`.
        labels: the classes.
        most: so many of them.

    Returns:
        `{"labels": names, "share": matrix}`: row given, column also chosen, in index order; 0 where a
        pair never occurs.
    """
    part_K = np.zeros(len(labels), np.int64)
    for pair in pairs:
        part_K[[pair["given"], pair["with"]]] += pair["count"]
    chosen = np.sort(np.argsort(-part_K, kind="stable")[:most])
    chosen = chosen[part_K[chosen] > 0]
    place = {int(k): i for i, k in enumerate(chosen)}
    share = np.zeros((len(chosen), len(chosen)))
    for pair in pairs:
        if pair["given"] in place and pair["with"] in place:
            share[place[pair["given"]], place[pair["with"]]] = pair["share"]
    return {"labels": [labels.names[k] for k in chosen], "share": np.round(share, 6).tolist()}
