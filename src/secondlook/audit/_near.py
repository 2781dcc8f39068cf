"""The nearest neighbours of each of many unit vectors, above a cosine: all pairs where they are few, else by cells.

With more than `EXACT` vectors some are drawn as pivots; each vector lives in the cell of its nearest pivot and is
compared in the cells of its `_PROBES` nearest ones. Two vectors meet if one of them lives in a cell of the other, which
near-duplicates nearly always do (a test measures it); work grows with R^1.5 instead of R^2.

Shapes: R vectors, D dimensions, C cells, J neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

EXACT = 10_000
_PROBES = 4
_PIECE = 2048
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


def near_pairs(
    vector_RD: npt.NDArray[np.float32], threshold: float, neighbours: int, seed: int = 0, exact: int = EXACT
) -> Pairs:
    """Pairs `(i, j, cosine)` with a cosine of at least `threshold`, in both directions, by i, then nearest first.

    A pair is there if j is among the `neighbours` nearest of i, or i among those of j.

    Args:
        vector_RD: of length 1.
        threshold: the lowest cosine.
        neighbours: kept of each vector.
        seed: of the pivots.
        exact: compare all pairs up to so many vectors.
    """
    found = [_best(*block, threshold, neighbours) for block in _blocks(vector_RD, seed, exact)]
    i_P, j_P, cosine_P = (np.concatenate(parts) for parts in zip(*found, strict=True))
    i_P, j_P, cosine_P = np.r_[i_P, j_P], np.r_[j_P, i_P], np.r_[cosine_P, cosine_P]
    _, first = np.unique(i_P * len(vector_RD) + j_P, return_index=True)
    i_P, j_P, cosine_P = i_P[first], j_P[first], cosine_P[first]
    order = np.lexsort((j_P, -cosine_P, i_P))
    return i_P[order], j_P[order], cosine_P[order]


def _blocks(vector_RD: npt.NDArray[np.float32], seed: int, exact: int) -> Iterator[Pairs]:
    """Rows that ask, rows that they are compared with, and their cosines."""
    count = len(vector_RD)
    if count <= exact:
        every_R = np.arange(count)
        for start in range(0, count, _PIECE):
            yield every_R[start : start + _PIECE], every_R, vector_RD[start : start + _PIECE] @ vector_RD.T
        return
    pivots = np.random.default_rng(seed).choice(count, size=int(2 * count**0.5), replace=False)
    pivot_CD = vector_RD[np.sort(pivots)]
    cell_RP = np.empty((count, _PROBES), dtype=np.int32)
    for start in range(0, count, _PIECE):
        cosine_BC = vector_RD[start : start + _PIECE] @ pivot_CD.T
        best_BP = np.argpartition(-cosine_BC, _PROBES, axis=1)[:, :_PROBES]
        order_BP = np.argsort(-np.take_along_axis(cosine_BC, best_BP, axis=1), axis=1, kind="stable")
        cell_RP[start : start + _PIECE] = np.take_along_axis(best_BP, order_BP, axis=1)
    cells = np.arange(len(pivot_CD) + 1)
    home = np.argsort(cell_RP[:, 0], kind="stable")
    home_C = np.searchsorted(cell_RP[home, 0], cells)
    near = np.argsort(cell_RP.ravel(), kind="stable")
    near_C = np.searchsorted(cell_RP.ravel()[near], cells)
    for cell in range(len(pivot_CD)):
        asking = home[home_C[cell] : home_C[cell + 1]]
        asked = near[near_C[cell] : near_C[cell + 1]] // _PROBES
        for start in range(0, len(asking), _PIECE):
            some = asking[start : start + _PIECE]
            yield some, asked, vector_RD[some] @ vector_RD[asked].T


def _best(
    i_B: npt.NDArray[np.int64],
    j_A: npt.NDArray[np.int64],
    cosine_BA: npt.NDArray[np.float32],
    threshold: float,
    neighbours: int,
) -> Pairs:
    """Of a block, the nearest of each row above the threshold, the row itself left out."""
    at_B, at_A = np.nonzero(cosine_BA >= threshold)
    keep = i_B[at_B] != j_A[at_A]
    at_B, at_A = at_B[keep], at_A[keep]
    cosine_P = cosine_BA[at_B, at_A]
    order = np.lexsort((j_A[at_A], -cosine_P, at_B))
    at_B, at_A, cosine_P = at_B[order], at_A[order], cosine_P[order]
    place = np.arange(len(at_B)) - np.searchsorted(at_B, at_B)
    near = place < neighbours
    return i_B[at_B[near]].astype(np.int64), j_A[at_A[near]].astype(np.int64), np.minimum(cosine_P[near], 1)
