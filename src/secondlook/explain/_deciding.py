"""Which frames decide: where in the clip the heat lies, by class, and how often the best frame misses the action.

The sampled frames of a clip are taken as equal parts of it, so that clips of any length can be put together (no torch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.explain._focus import overlap

TENTHS = 10
_SLACK_S = 0.001
"""Frame times and written intervals are rounded differently; the frame at the very edge is inside."""


@dataclass(frozen=True)
class Timing:
    """When one clip has its heat."""

    share_D: npt.NDArray[np.float64]
    """Share of the clip's heat in each tenth of it; sums to 1, or all 0 without heat."""
    peak_D: npt.NDArray[np.float64]
    """Share of the frame with the most heat that falls into each tenth; sums to 1, or all 0 without heat."""
    peak: float
    """Middle of the frame with the most heat (the first of equals), 0 at the clip's start and 1 at its end."""
    peak_s: float
    """The same in seconds of the video."""
    outside: float
    """1 where that frame is outside the action, 0 where it is inside; NaN where the action is not known."""
    outside_by_chance: float
    """Share of the sampled frames that are outside the action."""


@dataclass(frozen=True)
class Deciding:
    """When the clips of one class have their heat."""

    label: int
    """Class that was explained; -1: all clips together."""
    clips: int
    share_D: npt.NDArray[np.float64]
    """Mean over clips of the share of heat in each tenth."""
    peaks_D: npt.NDArray[np.float64]
    """Share of the clips whose best frame falls into each tenth; a frame that reaches over an edge is shared out."""
    median_peak: float
    known: int
    """Clips whose action is known."""
    outside: float
    """Share of these whose best frame is outside the action; NaN if there are none."""
    outside_by_chance: float
    """What a frame drawn at random from each of them would get."""


def timing(heat: HeatMap, interval_s: tuple[float, float] | None = None) -> Timing:
    """When a clip has its heat; only heat that speaks for the class counts.

    Args:
        heat: explanation of one clip.
        interval_s: start and end of the action in seconds, both inclusive; None where it is not known.
    """
    mass_T = np.maximum(heat.heat_THW, 0).sum(axis=(1, 2), dtype=np.float64)
    frames, best = len(mass_T), int(mass_T.argmax())
    tenths_DT = overlap(frames, TENTHS)
    share_D = tenths_DT @ mass_T
    total = float(share_D.sum())
    times_T = heat.frame_time_s_T
    outside, by_chance = np.nan, np.nan
    if interval_s is not None and total > 0:
        outside_T = (times_T < interval_s[0] - _SLACK_S) | (times_T > interval_s[1] + _SLACK_S)
        outside, by_chance = float(outside_T[best]), float(outside_T.mean())
    return Timing(
        share_D / total if total > 0 else np.zeros(TENTHS),
        tenths_DT[:, best] / tenths_DT[:, best].sum() if total > 0 else np.zeros(TENTHS),
        (best + 0.5) / frames,
        float(times_T[best]),
        outside,
        by_chance,
    )


def deciding(timings: Sequence[Timing], label_N: npt.NDArray[np.integer]) -> list[Deciding]:
    """The timings of clips put together: first all of them (label -1), then each class in rising order of its index."""
    if not timings:
        return []
    return [
        _together(-1, timings),
        *(
            _together(int(k), [t for t, label in zip(timings, label_N, strict=True) if label == k])
            for k in np.unique(label_N)
        ),
    ]


def _together(label: int, timings: Sequence[Timing]) -> Deciding:
    peak_N = np.array([t.peak for t in timings])
    known = [t for t in timings if np.isfinite(t.outside)]
    return Deciding(
        label=label,
        clips=len(timings),
        share_D=np.mean([t.share_D for t in timings], axis=0),
        peaks_D=np.mean([t.peak_D for t in timings], axis=0),
        median_peak=float(np.median(peak_N)),
        known=len(known),
        outside=float(np.mean([t.outside for t in known])) if known else float("nan"),
        outside_by_chance=float(np.mean([t.outside_by_chance for t in known])) if known else float("nan"),
    )
