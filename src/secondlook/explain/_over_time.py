"""Numbers of a heat map over time: area, centroid, amount, peak frame; and how much two maps agree (NumPy only)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.errors import BadValue


@dataclass(frozen=True)
class OverTime:
    """One number a sampled frame (`label-reassessment`, checklist item X8)."""

    area_T: npt.NDArray[np.float64]
    """Share of the frame that is hot: at or above the threshold times the clip's maximum."""
    amount_T: npt.NDArray[np.float64]
    """Share of the clip's heat that lies in this frame; sums to 1, or all 0 without heat."""
    centroid_T2: npt.NDArray[np.float64]
    """Row and column of the heat's centre of mass, in source pixels (first pixel's centre: 0.5); NaN without heat."""
    peak: int
    """Index among the sampled frames of the one with the most heat (the first of equals)."""


def over_time(heat: HeatMap, threshold: float = 0.5) -> OverTime:
    """How a heat map grows, moves and ends. Only heat that speaks for the class counts.

    Args:
        heat: explanation of one clip.
        threshold: in (0, 1], as a share of the clip's maximum.

    Raises:
        BadValue: if the threshold is outside (0, 1].
    """
    heat_THW = np.maximum(heat.heat_THW, 0).astype(np.float64)
    frames, height, width = heat_THW.shape
    mass_T = heat_THW.sum(axis=(1, 2))
    with_heat_T = np.where(mass_T > 0, mass_T, np.nan)
    rows_T = heat_THW.sum(axis=2) @ (np.arange(height) + 0.5) / with_heat_T
    columns_T = heat_THW.sum(axis=1) @ (np.arange(width) + 0.5) / with_heat_T
    total = mass_T.sum()
    return OverTime(
        area_T=_hot(heat_THW, threshold).mean(axis=(1, 2)),
        amount_T=mass_T / total if total > 0 else np.zeros(frames),
        centroid_T2=np.stack([rows_T, columns_T], axis=1),
        peak=int(mass_T.argmax()),
    )


def iou(one: HeatMap, other: HeatMap, threshold: float = 0.5) -> float:
    """Intersection over union of the hot places of two maps of one video, over the frames that both sampled.

    A place is hot at or above `threshold` times its own map's maximum. Two maps of one clip (two classes, layers, or
    pathways) can be compared so. NaN where neither has any heat in the common frames.

    Raises:
        BadValue: if the frames differ in size, or the maps have no frame in common, or the threshold is outside (0, 1].
    """
    if one.heat_THW.shape[1:] != other.heat_THW.shape[1:]:
        raise BadValue((one.heat_THW.shape, other.heat_THW.shape), "two heat maps must have frames of one size")
    common = np.intersect1d(one.frame_index_T, other.frame_index_T)
    if not len(common):
        raise BadValue(len(common), "two heat maps must have sampled at least one frame in common")
    a, b = (
        _hot(np.maximum(m.heat_THW, 0), threshold)[[int(np.flatnonzero(m.frame_index_T == i)[0]) for i in common]]
        for m in (one, other)
    )
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else float("nan")


def _hot(heat_THW: npt.NDArray[np.floating], threshold: float) -> npt.NDArray[np.bool_]:
    if not 0 < threshold <= 1:
        raise BadValue(threshold, "a threshold must be above 0 and at most 1")
    hot_THW: npt.NDArray[np.bool_] = (heat_THW >= threshold * heat_THW.max(initial=0.0)) & (heat_THW > 0)
    return hot_THW
