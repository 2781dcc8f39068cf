"""Logits -> the k best classes of each video with their probabilities, in small pieces; ties go to the lower index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_PIECE = 2048
"""Rows worked on at a time: softmax of a piece stays in the cache, and memory does not grow with the videos."""


@dataclass(frozen=True)
class Ranking:
    """What one model said about each of N videos, reduced to what audit and evaluation need (k is the width)."""

    name: str
    top_NK: npt.NDArray[np.int32]
    """The k best classes, best first; of two equal logits the lower index is the better one."""
    probability_NK: npt.NDArray[np.float32]
    """Softmax over all classes, at `top_NK`."""
    given_probability_N: npt.NDArray[np.float32]
    """Softmax at the given label."""
    margin_N: npt.NDArray[np.float32]
    """Probability of the best class that is not the given one, minus that of the given one: -1 to 1."""

    @property
    def predicted_N(self) -> npt.NDArray[np.int32]:
        """The best class."""
        return self.top_NK[:, 0]

    @property
    def confidence_N(self) -> npt.NDArray[np.float32]:
        """Its probability."""
        return self.probability_NK[:, 0]


def rank(
    name: str,
    logits_NK: npt.NDArray[np.float32],
    given_N: npt.NDArray[np.int32],
    k: int,
    rows_N: npt.NDArray[np.int64] | None = None,
) -> Ranking:
    """Ranks the classes of each video by `p = softmax(logits)` and says how far the given label lies behind.

    Args:
        name: of the model.
        logits_NK: one row a video, all finite in the rows asked for.
        given_N: given label of each row asked for, in 0..K-1.
        k: how many classes to keep; at most K.
        rows_N: rows of `logits_NK` to rank, in order; all when left out.
    """
    rows_N = np.arange(len(logits_NK)) if rows_N is None else rows_N
    count = len(rows_N)
    top_NK = np.empty((count, k), dtype=np.int32)
    probability_NK = np.empty((count, k), dtype=np.float32)
    given_probability_N = np.empty(count, dtype=np.float32)
    margin_N = np.empty(count, dtype=np.float32)
    for start in range(0, count, _PIECE):
        piece = slice(start, start + _PIECE)
        p_NK = logits_NK[rows_N[piece]].astype(np.float64)
        at = np.arange(len(p_NK))
        # Classes are ordered by logit, not by probability: far below the best, different logits give equal zeros.
        left_NK = p_NK.copy()
        for place in range(k):
            best_N = left_NK.argmax(axis=1)
            top_NK[start + at, place] = best_N
            left_NK[at, best_N] = -np.inf
        p_NK -= p_NK.max(axis=1, keepdims=True)
        np.exp(p_NK, out=p_NK)
        p_NK /= p_NK.sum(axis=1, keepdims=True)
        probability_NK[piece] = np.take_along_axis(p_NK, top_NK[piece], axis=1)
        p_given_N = p_NK[at, given_N[piece]]
        given_probability_N[piece] = p_given_N
        p_NK[at, given_N[piece]] = 0
        margin_N[piece] = p_NK.max(axis=1) - p_given_N
    return Ranking(name, top_NK, probability_NK, given_probability_N, margin_N)
