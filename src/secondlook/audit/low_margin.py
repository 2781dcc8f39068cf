"""Videos for which the models hardly tell the best class from the second one.

`p` is the mean over models of the softmax (of one model: its own); suspicion `1 - (p_(1) - p_(2))`, the two highest
entries of p, whatever the given label is. A video is a candidate where the margin is at most `max_margin`.

Reference: margin sampling (Scheffer et al. 2001, "Active hidden Markov models for information extraction").
A small margin says that a video is hard, or shows two actions; it does not by itself speak against the given label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned, align
from secondlook.audit._probabilities import pieces
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._shares import share


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    max_margin: float = 0.1,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds videos with a small margin between the two best classes.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of one model or more.
        max_margin: the largest margin of a candidate.

    Raises:
        BadValue: if the tables do not fit together, or the margin is not in [0, 1].
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    return to_table(aligned, score(aligned, max_margin=max_margin), seed=seed, limit=limit)[0]


def score(aligned: Aligned, *, max_margin: float = 0.1) -> Scored:
    """The signal on predictions that are aligned already."""
    share("max_margin", max_margin)
    count = len(aligned.given_N)
    best_N2, p_N2 = np.zeros((count, 2), np.int32), np.zeros((count, 2))
    for piece, p_MBK in pieces(aligned):
        p_BK = p_MBK.mean(axis=0)
        at = np.arange(len(p_BK))
        for place in range(2):
            best_B = p_BK.argmax(axis=1)
            best_N2[piece, place], p_N2[piece, place] = best_B, p_BK[at, best_B]
            p_BK[at, best_B] = -1
    margin_N = p_N2[:, 0] - p_N2[:, 1]
    names = aligned.labels.names

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"{names[best_N2[i, 0]]!r} ({100 * p_N2[i, 0]:.0f} %) and {names[best_N2[i, 1]]!r} "
            f"({100 * p_N2[i, 1]:.0f} %) are hardly told apart; given {names[aligned.given_N[i]]!r}"
            for i in rows.tolist()
        ]

    suspicion_N = np.clip(1 - margin_N, 0, 1).astype(np.float32)
    return Scored(suspicion_N, margin_N <= max_margin, reasons, best_N2)
