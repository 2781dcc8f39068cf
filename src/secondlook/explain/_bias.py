"""Is heat drawn to what has nothing to do with the action: brightness, borders, scene cuts, background?

`layerwise-relevance`, R7. The source found hotspots on trees, a window, a black border, dark areas, and on frames after
a scene cut that show another person. Every share here comes with the share that heat spread evenly would have, and as
the ratio of the two: 1 means "as much as chance", 2 means "twice as much". Shapes: T frames, h and w of the network's
input; everything is measured on what the network saw (NumPy only).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue

BORDER = 0.1
"""Width of the border, as a share of the frame's height at top and bottom and of its width at the sides."""
BLACK = 24 / 255
"""A row or column at the edge is black where at most 1 % of its pixels, over the whole clip, are brighter than this
(limited-range video shows black as 16 of 255)."""
CUT = 0.5
"""Histogram difference above which two frames are of two shots."""
_BINS = 4

MEASURES: Mapping[str, str] = {
    "brightness": "correlation of heat with brightness over all places: above 0, heat is drawn to what is bright",
    "border_share": "share of the heat in the outer tenth of the frame",
    "border_ratio": "the same, as a multiple of the border's share of the area",
    "black_border_share": "share of the heat on borders that are black throughout the clip",
    "black_border_ratio": "the same, as a multiple of their share of the area",
    "after_cut_share": "share of the heat on frames after the first scene cut",
    "after_cut_ratio": "the same, as a multiple of their share of the frames",
    "shot_ratio": "heat a frame in the shot that has most of it, as a multiple of the clip's heat a frame",
    "inside_share": "share of the heat inside the given mask (hand and object)",
    "inside_ratio": "heat a place inside the mask, as a multiple of heat a place anywhere",
}
"""Name of each number, and what it is. NaN where it has no meaning: no black border, no cut, no mask, no heat."""


def bias(
    heat_Thw: npt.NDArray[np.floating[Any]],
    luma_Thw: npt.NDArray[np.floating[Any]],
    *,
    frames_TChw: npt.NDArray[np.uint8] | None = None,
    mask_Thw: npt.NDArray[Any] | None = None,
) -> dict[str, float]:
    """Every number of `MEASURES` for one heat map.

    Only heat that speaks for the class counts (negative values are taken as 0), but for `brightness`, which reads the
    heat as it is.

    Args:
        heat_Thw: heat on the network's input (`_to_input.to_input`).
        luma_Thw: brightness in [0, 1] at the same places.
        frames_TChw: the frames themselves; without them no cuts are looked for.
        mask_Thw: 1 inside, 0 outside, or the share of each place that is inside.

    Raises:
        BadValue: if the parts do not fit together.
    """
    for name, other in (("brightness", luma_Thw), ("mask", mask_Thw)):
        if other is not None and other.shape != heat_Thw.shape:
            raise BadValue(other.shape, f"{name} must have the heat map's shape, {heat_Thw.shape}")
    amount_Thw = np.maximum(heat_Thw, 0).astype(np.float64)
    found = dict.fromkeys(MEASURES, np.nan)
    found["brightness"] = correlation(heat_Thw, luma_Thw)
    _, height, width = heat_Thw.shape
    found |= _share("border", amount_Thw, _border(height, width)[None])
    found |= _share("black_border", amount_Thw, black_border(luma_Thw)[None])
    if mask_Thw is not None:
        found |= _share("inside", amount_Thw, mask_Thw.astype(np.float64))
    if frames_TChw is not None:
        cuts = scene_cuts(frames_TChw)
        if cuts and amount_Thw.any():
            after_T = np.arange(len(heat_Thw)) >= cuts[0]
            found |= _share("after_cut", amount_Thw, after_T[:, None, None])
            found["shot_ratio"] = max(shot["ratio"] for shot in shots(amount_Thw, cuts))
    return found


def correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Pearson correlation over all places; NaN where one of the two is the same everywhere."""
    a, b = (x.ravel().astype(np.float64) - x.mean(dtype=np.float64) for x in (one, other))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-12 else float("nan")


def black_border(luma_Thw: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Rows and columns from the edges inwards that are black throughout the clip (letterbox, pillarbox), `h x w`.

    A clip that is black all over has no border.
    """
    bright = luma_Thw > BLACK
    dark_h, dark_w = bright.mean(axis=(0, 2)) <= 0.01, bright.mean(axis=(0, 1)) <= 0.01
    if dark_h.all() or dark_w.all():
        return np.zeros(luma_Thw.shape[1:], dtype=np.bool_)
    rows, columns = _from_the_edges(dark_h), _from_the_edges(dark_w)
    return rows[:, None] | columns[None, :]


def histogram_difference(frames_TChw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Half the L1 distance of the colour histograms of neighbouring frames, in [0, 1]; `T - 1` values.

    Histograms have 4 x 4 x 4 bins of red, green and blue and sum to 1: 0 is the same picture or the same colours
    moved about, 1 is no colour in common.
    """
    coarse_TChw = frames_TChw.astype(np.int64) * _BINS // 256
    weights_C = _BINS ** np.arange(coarse_TChw.shape[1])
    bins_Tp = np.tensordot(weights_C, coarse_TChw, axes=(0, 1)).reshape(len(coarse_TChw), -1)
    total = int(weights_C[-1]) * _BINS
    histogram_TB = np.stack([np.bincount(row, minlength=total) for row in bins_Tp]) / bins_Tp.shape[1]
    return np.asarray(np.abs(np.diff(histogram_TB, axis=0)).sum(axis=1) / 2)


def scene_cuts(frames_TChw: npt.NDArray[np.uint8], threshold: float = CUT) -> list[int]:
    """Indices of the first frame of each shot but the first: where `histogram_difference` is above the threshold."""
    return [int(t) + 1 for t in np.flatnonzero(histogram_difference(frames_TChw) > threshold)]


def shots(amount_Thw: npt.NDArray[np.floating[Any]], cuts: list[int]) -> list[dict[str, float]]:
    """Relevance a shot: first frame, number of frames, share of the heat, and heat a frame as a multiple of the mean.

    Args:
        amount_Thw: heat >= 0.
        cuts: see `scene_cuts`.
    """
    mass_T = np.maximum(amount_Thw, 0).sum(axis=(1, 2), dtype=np.float64)
    total, frames = float(mass_T.sum()), len(mass_T)
    found = []
    for first, end in zip([0, *cuts], [*cuts, frames], strict=True):
        share = float(mass_T[first:end].sum()) / total if total > 0 else float("nan")
        found.append({"first": first, "frames": end - first, "share": share, "ratio": share * frames / (end - first)})
    return found


def _share(name: str, amount_Thw: npt.NDArray[np.float64], of: npt.NDArray[Any]) -> dict[str, float]:
    of_Thw = np.broadcast_to(of, amount_Thw.shape).astype(np.float64)
    total, area = float(amount_Thw.sum()), float(of_Thw.mean())
    if total <= 0 or area <= 0:
        return {f"{name}_share": np.nan, f"{name}_ratio": np.nan}
    share = float((amount_Thw * of_Thw).sum()) / total
    return {f"{name}_share": share, f"{name}_ratio": share / area}


def _border(height: int, width: int) -> npt.NDArray[np.bool_]:
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inner_y, inner_x = (np.abs(y - 0.5) <= 0.5 - BORDER), (np.abs(x - 0.5) <= 0.5 - BORDER)
    return ~(inner_y[:, None] & inner_x[None, :])


def _from_the_edges(dark: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """True from both ends up to the first False."""
    return np.logical_and.accumulate(dark) | np.logical_and.accumulate(dark[::-1])[::-1]
