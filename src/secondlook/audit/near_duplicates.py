"""Clips that look nearly alike and have different labels.

Two clips are near-duplicates where the cosine of their embeddings (`secondlook similar`) is at least `threshold`; of
each the `neighbours` nearest are looked at. With n near-duplicates of a clip, d of which have another given label, and
c the highest cosine among those d, suspicion is `c d / n`: of a pair that disagrees both clips are as suspicious, of
four clips that agree but for one that one is the most. Every clip with d > 0 is a candidate; the labels of the nearest
others are among its options, and the reason names the nearest one.

Reference: the edited nearest neighbour rule (Wilson 1972, "Asymptotic properties of nearest neighbor rules using edited
data"), on a network's own vectors and with a threshold; the measure of suspicion is ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned, align
from secondlook.audit._near import EXACT, near_pairs
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._vectors import NO_EMBEDDINGS, unit_vectors
from secondlook.errors import BadValue

_OTHERS = 3
"""Other clips whose labels are put among the options."""


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    embeddings: pa.Table | None = None,
    threshold: float = 0.95,
    neighbours: int = 10,
    exact: int = EXACT,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds near-duplicate clips with different labels.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of one model or more, for options.
        embeddings: one vector a video.
        threshold: the lowest cosine of near-duplicates.
        neighbours: near-duplicates looked at of each clip.
        exact: compare all pairs up to so many clips, more of them by cells (`_near`).

    Raises:
        BadValue: if there are no embeddings, the tables do not fit together, or an option is out of range.
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    scored = score(aligned, embeddings=embeddings, threshold=threshold, neighbours=neighbours, exact=exact, seed=seed)
    return to_table(aligned, scored, seed=seed, limit=limit)[0]


def score(
    aligned: Aligned,
    *,
    embeddings: pa.Table | None = None,
    threshold: float = 0.95,
    neighbours: int = 10,
    exact: int = EXACT,
    seed: int = 0,
) -> Scored:
    """The signal on predictions that are aligned already."""
    if embeddings is None:
        raise BadValue("near_duplicates", "needs embeddings of the videos", NO_EMBEDDINGS)
    if not 0 < threshold <= 1:
        raise BadValue(threshold, "threshold is a cosine in (0, 1]", "Near-duplicates have 0.95 and more.")
    if neighbours < 1:
        raise BadValue(neighbours, "neighbours must be at least 1")
    vector_RD, known_N = unit_vectors(aligned, embeddings)
    row_R = np.flatnonzero(known_N)
    # A little slack, so that equal vectors pass a threshold of 1 in single precision.
    i_P, j_P, cosine_P = near_pairs(vector_RD, threshold - 1e-6, neighbours, seed, exact)
    i_P, j_P = row_R[i_P], row_R[j_P]
    count = len(aligned.given_N)
    differs_P = aligned.given_N[i_P] != aligned.given_N[j_P]
    all_N, other_N = np.bincount(i_P, minlength=count), np.bincount(i_P[differs_P], minlength=count)
    i_P, j_P, cosine_P = i_P[differs_P], j_P[differs_P], cosine_P[differs_P]
    place_P = np.arange(len(i_P)) - np.searchsorted(i_P, i_P)
    nearest_N, best_N = np.full(count, -1), np.zeros(count, np.float32)
    nearest_N[i_P[place_P == 0]], best_N[i_P[place_P == 0]] = j_P[place_P == 0], cosine_P[place_P == 0]
    also_NJ = np.repeat(aligned.given_N[:, None], _OTHERS, axis=1)
    few = place_P < _OTHERS
    also_NJ[i_P[few], place_P[few]] = aligned.given_N[j_P[few]]
    notes = []
    if missing := int((~known_N).sum()):
        notes.append(f"{missing} videos have no embedding and are not looked at by near_duplicates.")
    if 2 * (full := int((all_N >= neighbours).sum())) > count:
        notes.append(
            f"{full} of {count} clips have {neighbours} near-duplicates or more: raise the threshold, {threshold}."
        )
    names = aligned.labels.names

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"nearly the same clip as {aligned.video_id_N[j]!r} (cosine {best_N[i]:.3f}), which is given "
            f"{names[aligned.given_N[j]]!r}; {other_N[i]} of {all_N[i]} near-duplicates are not given "
            f"{names[aligned.given_N[i]]!r}"
            for i, j in zip(rows.tolist(), nearest_N[rows].tolist(), strict=True)
        ]

    suspicion_N = np.clip(best_N * other_N / np.maximum(all_N, 1), 0, 1).astype(np.float32)
    return Scored(suspicion_N, other_N > 0, reasons, also_NJ, tuple(notes))
