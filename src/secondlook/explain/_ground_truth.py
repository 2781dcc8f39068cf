"""Scores a heat map against what is known of a drawn clip: which pixels are hand and object, and when it happens.

A share alone means nothing: a heat map on a clip that is mostly hand scores high by doing nothing. So each measure is
also taken of two maps that know nothing of the clip, in the same units: `_uniform` (the same heat everywhere) and
`_centre` (a Gaussian at the middle of every frame, standard deviation a quarter of the frame's height and width).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.errors import BadValue

TARGET = (1, 2, 3)
"""Values of a mask that an explanation should be on: first object, second object, hand."""
CUE = (4,)
"""Value of a planted cue: heat here shows a cheat."""

MEASURES: Mapping[str, str] = {
    "on_target": "share of the heat that lies on hand or object",
    "on_cue": "share of the heat that lies on the planted cue",
    "pointing_frame": "share of frames whose hottest point is on hand or object",
    "pointing_clip": "whether the clip's hottest point is on hand or object",
    "iou_best": "intersection over union with hand and object, at the threshold that is best for this clip",
    "in_action": "share of the heat that falls into the time of the action",
}
"""Name of each measure, and what it is. All are in [0, 1]; high is good for all but `on_cue`."""
BASELINES = ("uniform", "centre")
_SLACK_S = 0.001
"""Frame times and written intervals are rounded differently; the frame at the very edge is inside."""


def ground_truth(
    heat: HeatMap, masks_THW: npt.NDArray[np.uint8], interval_s: tuple[float, float] | None = None
) -> dict[str, float]:
    """Every measure of a heat map, and of the two baselines as `<measure>_uniform` and `<measure>_centre`.

    Only heat that speaks for the class counts (negative values are taken as 0). A hottest point that several pixels
    share counts as the share of them that is on target; a frame without heat points nowhere and counts as a miss.

    Args:
        heat: explanation in the video's frames.
        masks_THW: one mask for **every** frame of the video: 0 background, 1 and 2 objects, 3 hand, 4 planted cue.
        interval_s: start and end of the action in seconds, both inclusive, to the millisecond; None where
            it is not known.

    Returns:
        Name -> value; NaN where a measure has no meaning (no hand or object in any sampled frame, no cue, no interval,
        no heat at all for a share), for the baselines too, so that averages are over the same clips.

    Raises:
        BadValue: if masks and heat do not fit together.
    """
    if masks_THW.ndim != 3 or masks_THW.shape[1:] != heat.heat_THW.shape[1:]:
        raise BadValue(masks_THW.shape, f"masks must be T x {heat.heat_THW.shape[1]} x {heat.heat_THW.shape[2]}")
    if len(heat.frame_index_T) and int(heat.frame_index_T.max()) >= len(masks_THW):
        rule = f"there must be a mask for every frame; the heat map reaches frame {int(heat.frame_index_T.max())}"
        raise BadValue(len(masks_THW), rule, "The masks may belong to another video.")
    sampled_THW = masks_THW[heat.frame_index_T]
    target_THW, cue_THW = np.isin(sampled_THW, TARGET), np.isin(sampled_THW, CUE)
    times_T = heat.frame_time_s_T
    inside_T = (
        None if interval_s is None else (times_T >= interval_s[0] - _SLACK_S) & (times_T <= interval_s[1] + _SLACK_S)
    )
    own = _measure(np.maximum(heat.heat_THW, 0), target_THW, cue_THW, inside_T)
    found = dict(own)
    for name in BASELINES:
        baseline = _measure(baseline_heat(name, heat.heat_THW.shape), target_THW, cue_THW, inside_T)
        found |= {f"{measure}_{name}": np.nan if np.isnan(own[measure]) else baseline[measure] for measure in MEASURES}
    return found


def baseline_heat(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Heat of a baseline that knows nothing of the clip, `T x H x W`.

    Args:
        name: `uniform` or `centre`.
        shape: T, H, W.
    """
    frames, height, width = shape
    if name == "uniform":
        return np.ones(shape, dtype=np.float32)
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    bell_HW = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * 0.25**2)).astype(np.float32)
    return np.broadcast_to(bell_HW, (frames, height, width))


def _measure(
    heat_THW: npt.NDArray[np.float32],
    target_THW: npt.NDArray[np.bool_],
    cue_THW: npt.NDArray[np.bool_],
    inside_T: npt.NDArray[np.bool_] | None,
) -> dict[str, float]:
    total = float(heat_THW.sum(dtype=np.float64))
    has_target_T = target_THW.any(axis=(1, 2))

    def share(of_THW: npt.NDArray[np.bool_]) -> float:
        return float(heat_THW.sum(dtype=np.float64, where=of_THW)) / total if total > 0 and of_THW.any() else np.nan

    hits_T = np.array([_points_at(h, m) for h, m in zip(heat_THW, target_THW, strict=True)])
    known = bool(has_target_T.any())
    in_action = np.nan
    if inside_T is not None and total > 0:
        in_action = float(heat_THW[inside_T].sum(dtype=np.float64)) / total
    return {
        "on_target": share(target_THW),
        "on_cue": share(cue_THW),
        "pointing_frame": float(hits_T[has_target_T].mean()) if known else np.nan,
        "pointing_clip": _points_at(heat_THW, target_THW) if known else np.nan,
        "iou_best": _best_iou(heat_THW, target_THW) if known else np.nan,
        "in_action": in_action,
    }


def _points_at(heat: npt.NDArray[np.float32], target: npt.NDArray[np.bool_]) -> float:
    """Share of the hottest pixels that is on target; 0 without heat."""
    hottest = heat.max()
    return float(target[heat == hottest].mean()) if hottest > 0 else 0.0


def _best_iou(heat_THW: npt.NDArray[np.float32], target_THW: npt.NDArray[np.bool_]) -> float:
    """`max over thresholds > 0 of |hot and target| / |hot or target|`, `hot = heat >= threshold`, exact.

    With the pixels in falling order of heat, the first n are the hot ones for some threshold wherever the heat drops
    after the n-th; all candidates are counted in one cumulative sum.
    """
    heat = heat_THW.ravel()
    order = np.argsort(heat, kind="stable")[::-1]
    heat, target = heat[order], target_THW.ravel()[order]
    both = np.cumsum(target)
    either = np.arange(1, len(heat) + 1) + target.sum() - both
    drops = np.append(heat[1:] < heat[:-1], True) & (heat > 0)
    return float((both / either)[drops].max(initial=0.0))


def average(
    rows: Iterable[Mapping[str, float]], rng: np.random.Generator, *, samples: int = 1000, level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Mean of each measure over clips, with a percentile bootstrap interval over clips.

    Args:
        rows: what `ground_truth` gave for each clip.
        rng: generator of the resamples.
        samples: number of resamples.
        level: share of the resampled means that the interval holds.

    Returns:
        Measure -> `mean`, `low`, `high`, `clips` (clips in which it has a meaning); measures that never have one are
        left out.
    """
    tail = (1 - level) / 2
    found: dict[str, dict[str, float]] = {}
    table = list(rows)
    for name in dict.fromkeys(key for row in table for key in row):
        values = np.array([row[name] for row in table if name in row], dtype=np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        means = values[rng.integers(len(values), size=(samples, len(values)))].mean(axis=1)
        low, high = np.quantile(means, [tail, 1 - tail])
        found[name] = {
            "mean": float(values.mean()), "low": float(low), "high": float(high), "clips": float(len(values)),
        }  # fmt: skip
    return found


def as_json(measures: Mapping[str, float]) -> dict[str, Any]:
    """The measures with None in place of NaN, which JSON does not know."""
    return {name: float(value) if np.isfinite(value) else None for name, value in measures.items()}
