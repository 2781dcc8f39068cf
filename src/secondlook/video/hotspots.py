"""Hotspots: places whose normalised relevance is above a threshold, counted a frame and drawn over it (no torch).

A place is hot where `R / max |R| > threshold`. What the largest is taken over the source leaves open: here over the
whole clip, so that a cold frame has no hotspot (`layerwise-relevance`, section 4); `relative="frame"` takes each
frame's own. Only what speaks for the class can be hot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.video.heat_colours import Frames
from secondlook.video.sheet import Colour

INSIDE: Colour = (255, 214, 10)
"""Yellow: in neither colour map's reach over a natural picture, and bright for every eye."""
EDGE: Colour = (20, 20, 20)
Hot = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Threshold:
    """From where on a place is a hotspot.

    Raises:
        BadValue: if a value is outside its range.
    """

    share: float = 0.3
    """Of the largest |R|, in [0, 1)."""
    relative: str = "clip"
    """`clip`: the largest of the whole clip. `frame`: of each frame."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise BadValue(self.share, "the threshold of hotspots must be at least 0 and below 1")
        if self.relative not in ("clip", "frame"):
            raise BadValue(self.relative, "the threshold of hotspots is relative to clip or frame")

    def words(self) -> str:
        """As a legend says it."""
        return f"over {self.share:g} of the {self.relative}'s largest |R|"


THRESHOLD = Threshold()


def hotspots(
    heat_THW: npt.NDArray[np.floating[Any]], threshold: Threshold = THRESHOLD, *, full: float | None = None
) -> Hot:
    """Where the hotspots are: `hot_THW`.

    Args:
        heat_THW: relevance, with or without a sign.
        threshold: see `Threshold`.
        full: the clip's largest |R|, where `heat_THW` is a part of the clip or was resized; None: the largest given.
    """
    largest_T = np.abs(heat_THW).max(axis=(1, 2), initial=0.0)
    if threshold.relative == "clip":
        largest_T = np.full_like(largest_T, largest_T.max(initial=0.0) if full is None else full)
    hot_THW: Hot = (heat_THW > threshold.share * largest_T[:, None, None]) & (heat_THW > 0)
    return hot_THW


def outline(frames_THWC: Frames, hot_THW: Hot, *, opacity: float = 0.35, line: int = 2) -> Frames:
    """Frames with hotspots filled thinly and outlined: a bright line inside, a dark one around it.

    Args:
        frames_THWC: RGB.
        hot_THW: of the frames' own size.
        opacity: of the filling.
        line: width of the bright line, in pixels.

    Raises:
        BadValue: if frames and hotspots have different sizes.
    """
    if frames_THWC.shape[:3] != hot_THW.shape:
        raise BadValue(hot_THW.shape, f"hotspots must be {frames_THWC.shape[:3]} like the frames")
    bright = np.array(INSIDE, dtype=np.float32)
    drawn_THWC = frames_THWC.astype(np.float32)
    drawn_THWC[hot_THW] += opacity * (bright - drawn_THWC[hot_THW])
    inner_THW = hot_THW & _grown(~hot_THW, line, beyond=True)
    outer_THW = ~hot_THW & _grown(hot_THW, 1, beyond=False)
    drawn_THWC[inner_THW] = bright
    drawn_THWC[outer_THW] = EDGE
    made_THWC: Frames = np.rint(drawn_THWC).astype(np.uint8)
    return made_THWC


def _grown(mask_THW: Hot, steps: int, *, beyond: bool) -> Hot:
    """A mask and all within so many steps (left, right, up, down) of it; `beyond`: what lies around the frame."""
    for _ in range(steps):
        padded = np.pad(mask_THW, ((0, 0), (1, 1), (1, 1)), constant_values=beyond)
        mask_THW = (
            padded[:, 1:-1, 1:-1]
            | padded[:, :-2, 1:-1]
            | padded[:, 2:, 1:-1]
            | padded[:, 1:-1, :-2]
            | padded[:, 1:-1, 2:]
        )
    return mask_THW
