"""Horn and Schunck's optical flow: quadratic smoothness, quadratic brightness constancy; the baseline of TV-L1."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue

_Map = npt.NDArray[np.float32]
_AROUND = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12


def horn_schunck(
    first_HW: npt.NDArray[np.uint8],
    second_HW: npt.NDArray[np.uint8],
    *,
    data_weight: float = 0.02,
    scales: int = 5,
    scale_step: float = 0.5,
    warps: int = 5,
    iterations: int = 80,
) -> npt.NDArray[np.float32]:
    """The flow that minimises `sum |grad u|^2 + |grad v|^2 + data_weight (I1(x + u, y + v) - I0(x, y))^2`.

    Coarse to fine. At each of `warps` warps the second picture is moved by the flow so far, (u0, v0), and the data term
    is linearised: `r(u, v) = I1w + I1w_x (u - u0) + I1w_y (v - v0) - I0`. Jacobi steps then solve the Euler-Lagrange
    equations: with m the weighted mean of a pixel's eight neighbours, `u = m(u) - w I1w_x r(m(u), m(v))` and
    `w = data_weight / (k + data_weight |grad I1w|^2)`, and so for v; k = 3 makes `k (m(u) - u)` the Laplacian.

    Source: late-temporal-bert, equation A.7; [Horn and Schunck 1981]. Departs from the paper in its pyramid and warps,
    without which only motions below a pixel are found.

    Args:
        first_HW: gray, 8-bit.
        second_HW: of the same size.
        data_weight: lambda of A.7, for pictures in 0..255.
        scales: levels of the pyramid at most; none has a side below 16 pixels.
        scale_step: size of a level as a part of the next finer one.
        warps: at each level.
        iterations: Jacobi steps a warp.

    Returns:
        `flow_HW2`.

    Raises:
        BadValue: if a parameter is out of range.
    """
    for name, value in (("data_weight", data_weight), ("scales", scales), ("warps", warps), ("iterations", iterations)):
        if not value > 0:
            raise BadValue(value, f"{name} must be positive")
    if not 0 < scale_step < 1:
        raise BadValue(scale_step, "a level of the pyramid is smaller than the one before: scale_step is in (0, 1)")
    pyramid: list[tuple[_Map, _Map]] = [(first_HW.astype(np.float32), second_HW.astype(np.float32))]
    while len(pyramid) < scales and min(pyramid[-1][0].shape) * scale_step >= 16:
        finest, its_next = pyramid[-1]
        pyramid.append((_smaller(finest, scale_step), _smaller(its_next, scale_step)))
    u_HW: _Map = np.zeros(pyramid[-1][0].shape, np.float32)
    v_HW = u_HW
    for first, second in reversed(pyramid):
        height, width = first.shape
        grown = width / u_HW.shape[1], height / u_HW.shape[0]
        u_HW = np.asarray(cv2.resize(u_HW, (width, height), interpolation=cv2.INTER_LINEAR) * grown[0], np.float32)
        v_HW = np.asarray(cv2.resize(v_HW, (width, height), interpolation=cv2.INTER_LINEAR) * grown[1], np.float32)
        for _ in range(warps):
            u_HW, v_HW = _warp(first, second, u_HW, v_HW, data_weight, iterations)
    return np.stack([u_HW, v_HW], -1)


def _warp(
    first: _Map, second: _Map, u0_HW: _Map, v0_HW: _Map, data_weight: float, iterations: int
) -> tuple[_Map, _Map]:
    height, width = first.shape
    down_HW, across_HW = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(second, across_HW + u0_HW, down_HW + v0_HW, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    i_y, i_x = np.gradient(moved)
    rest = moved - first - i_x * u0_HW - i_y * v0_HW
    # Where the flow leads out of the picture nothing is known: smoothness alone decides.
    inside = (across_HW + u0_HW >= 0) & (across_HW + u0_HW <= width - 1)
    inside &= (down_HW + v0_HW >= 0) & (down_HW + v0_HW <= height - 1)
    weight = np.where(inside, data_weight / (3 + data_weight * (i_x**2 + i_y**2)), 0).astype(np.float32)
    u_HW, v_HW = u0_HW, v0_HW
    for _ in range(iterations):
        mean_u, mean_v = (cv2.filter2D(m, -1, _AROUND, borderType=cv2.BORDER_REPLICATE) for m in (u_HW, v_HW))
        step = weight * (rest + i_x * mean_u + i_y * mean_v)
        u_HW, v_HW = mean_u - i_x * step, mean_v - i_y * step
    return u_HW, v_HW


def _smaller(picture: _Map, step: float) -> _Map:
    height, width = (max(1, round(side * step)) for side in picture.shape)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)
