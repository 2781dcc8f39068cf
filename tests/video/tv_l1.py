"""TV-L1 optical flow written out, slow and obvious: the twin of what OpenCV computes (late-temporal-bert, 1.27)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

TAU, LAMBDA, THETA, SCALES, WARPS, MEDIAN = 0.25, 0.15, 0.3, 5, 5, 5


def forward(u):
    """Forward differences, 0 at the far border: across and down."""
    across, down = np.zeros_like(u), np.zeros_like(u)
    across[:, :-1] = u[:, 1:] - u[:, :-1]
    down[:-1] = u[1:] - u[:-1]
    return across, down


def divergence(p_x, p_y):
    """Backward differences, the negative adjoint of `forward`."""
    out = p_x.copy()
    out[:, 1:] -= p_x[:, :-1]
    out[:, -1] -= p_x[:, -1]
    out += p_y
    out[1:] -= p_y[:-1]
    out[-1] -= p_y[-1]
    return out


def moved(picture, u, v):
    """`picture(x + u, y + v)`, cubic, borders repeated."""
    down, across = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return ndimage.map_coordinates(picture, [down + v, across + u], order=3, mode="nearest")


def energy(first, second, u, v, data_weight=LAMBDA):
    """Equation A.8: total variation of u and v, and lambda times what is left of the brightness."""
    smooth = sum(np.hypot(*forward(w)).sum() for w in (u, v))
    return smooth + data_weight * np.abs(moved(second, u, v) - first).sum()


def threshold_step(u, v, rest, i_x, i_y):
    """(k, l) of A.11: the exact minimum over each pixel, in three cases."""
    squared = i_x**2 + i_y**2
    rho = rest + i_x * u + i_y * v
    limit = LAMBDA * THETA * squared
    step = np.where(
        rho < -limit, LAMBDA * THETA, np.where(rho > limit, -LAMBDA * THETA, -rho / np.maximum(squared, 1e-9))
    )
    step = np.where(squared < 1e-9, 0, step)
    return u + step * i_x, v + step * i_y


def tv_l1(first, second, inner=60, median=MEDIAN):
    """The flow, and the energy at the finest scale: before its first warp, then after each warp."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    pyramid = [(first, second)]
    while len(pyramid) < SCALES and min(pyramid[-1][0].shape) >= 32:
        pyramid.append(tuple(ndimage.zoom(ndimage.gaussian_filter(p, 0.8), 0.5, order=1) for p in pyramid[-1]))
    u = v = np.zeros(pyramid[-1][0].shape)
    energies = []
    for i_0, i_1 in reversed(pyramid):
        grown = [a / b for a, b in zip(i_0.shape, u.shape, strict=True)]
        u, v = ndimage.zoom(u, grown, order=1) * grown[1], ndimage.zoom(v, grown, order=1) * grown[0]
        p_u, p_v = (list(forward(np.zeros_like(u))) for _ in "uv")
        energies = [energy(i_0, i_1, u, v)]
        for _ in range(WARPS):
            warped = moved(i_1, u, v)
            i_y, i_x = np.gradient(warped)
            rest = warped - i_x * u - i_y * v - i_0  # rho(k) = rest + i_x k + i_y l
            for _ in range(inner):
                k, m = threshold_step(u, v, rest, i_x, i_y)
                parts = []
                for target, dual in ((k, p_u), (m, p_v)):
                    w = target + THETA * divergence(*dual)
                    g_x, g_y = forward(w)
                    shrink = 1 + TAU / THETA * np.hypot(g_x, g_y)
                    dual[0] = (dual[0] + TAU / THETA * g_x) / shrink
                    dual[1] = (dual[1] + TAU / THETA * g_y) / shrink
                    parts.append(w)
                u, v = parts
            if median:
                u, v = ndimage.median_filter(u, median), ndimage.median_filter(v, median)
            energies.append(energy(i_0, i_1, u, v))
    return np.stack([u, v], -1), energies
