"""Cubic splines on a regular grid as matrices: a spline is linear in its values.

Every cell of the grid is taken as an equal part of the span, its value standing at its centre; beyond the span the
values go on as in a mirror at its border (as `scipy.ndimage.zoom(order=3, mode="reflect", grid_mode=True)` does). The
curve passes through every value, and its second derivative is continuous.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def resize(values_Nthw: Tensor, size_THW: tuple[int, int, int], rows: range | None = None) -> Tensor:
    """Each grid at another size: rows and columns first, then time. `N x T x H x W`; may overshoot.

    Args:
        values_Nthw: any number of grids.
        size_THW: size wanted; one cell along an axis gives the same value all along it.
        rows: some of the H rows only; None: all.
    """
    time, height, width = size_THW
    wanted = slice(None) if rows is None else slice(rows.start, rows.stop)
    found = _matrix(values_Nthw.shape[2], height, values_Nthw)[wanted] @ values_Nthw
    found = found @ _matrix(values_Nthw.shape[3], width, found).T
    if values_Nthw.shape[1] == 1:
        return found.expand(-1, time, -1, -1)
    if time == values_Nthw.shape[1]:
        return found
    steps_NTp = _matrix(values_Nthw.shape[1], time, found) @ found.flatten(2)
    return steps_NTp.reshape(len(found), time, *found.shape[2:])


def _matrix(cells: int, points: int, like: Tensor) -> Tensor:
    return torch.from_numpy(spline_matrix(cells, points)).to(like)


@lru_cache(maxsize=64)
def spline_matrix(cells: int, points: int) -> npt.NDArray[np.float64]:
    """Matrix (points x cells) that gives the values of the cubic spline at evenly spread points.

    With the cubic B-spline `b` a curve is `sum over i of c_i b(u - i)`. At the cells' centres its values are
    `(c_{i-1} + 4 c_i + c_{i+1}) / 6`, which is solved for the coefficients `c`.
    """
    if cells == points:
        return np.eye(cells)
    at_cells = _basis(np.arange(cells, dtype=np.float64), cells)
    at_points = _basis((np.arange(points, dtype=np.float64) + 0.5) * cells / points - 0.5, cells)
    matrix = np.linalg.solve(at_cells.T, at_points.T).T.astype(np.float64)
    return matrix


def _basis(places_N: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float64]:
    """Share of each coefficient in the curve at the places, mirrored at the borders (-1 is 0 again, -2 is 1)."""
    first = np.floor(places_N).astype(np.int64)
    u = (places_N - first).astype(np.float64)
    shares = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    basis = np.zeros((len(places_N), cells))
    for offset, share in zip((-1, 0, 1, 2), shares, strict=True):
        around = (first + offset) % (2 * cells)
        np.add.at(basis, (np.arange(len(places_N)), np.minimum(around, 2 * cells - 1 - around)), share / 6)
    return basis
