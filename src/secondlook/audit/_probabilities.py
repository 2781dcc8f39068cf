"""Softmax of every class of every model, a piece of the videos at a time.

Shapes: M models, B videos of a piece, N videos, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from secondlook import tables
from secondlook.audit._align import Aligned

_PIECE = 2048


def pieces(aligned: Aligned) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """Which videos, and `p_MBK = softmax(logits)` of them."""
    logits = [(tables.matrix(table, "logits"), rows_N) for table, rows_N in aligned.sources]
    for start in range(0, len(aligned.given_N), _PIECE):
        piece = slice(start, min(start + _PIECE, len(aligned.given_N)))
        p_MBK = np.stack([logits_NK[rows_N[piece]] for logits_NK, rows_N in logits]).astype(np.float64)
        p_MBK -= p_MBK.max(axis=2, keepdims=True)
        np.exp(p_MBK, out=p_MBK)
        p_MBK /= p_MBK.sum(axis=2, keepdims=True)
        yield piece, p_MBK


def mean_probability(aligned: Aligned) -> npt.NDArray[np.float32]:
    """Mean over models of the softmax, `p_NK`."""
    p_NK = np.empty((len(aligned.given_N), len(aligned.labels)), dtype=np.float32)
    for piece, p_MBK in pieces(aligned):
        p_NK[piece] = p_MBK.mean(axis=0)
    return p_NK
