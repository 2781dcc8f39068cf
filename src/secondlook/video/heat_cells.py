"""Chosen frames of a clip at one width: as they are, with heat over them, with hotspots over them (no torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.heat_colours import (
    LOOK,
    Frames,
    Heat,
    Look,
    accent,
    blend,
    dim,
    speaks_about_time_alone,
    value_of_frames,
)
from secondlook.video.hotspots import THRESHOLD, Threshold, hotspots, outline

_TRACK = np.array([70, 70, 76], dtype=np.uint8)


def choose(frames_THWC: Frames, heat: HeatMap, at_most: int) -> list[int]:
    """Evenly spread positions among the sampled frames, first and last included.

    Raises:
        BadValue: if the number of frames is not that of the maps, or there is none to show.
    """
    if len(frames_THWC) != len(heat.heat_THW) or not len(frames_THWC):
        raise BadValue(len(frames_THWC), f"needs one frame for each of the {len(heat.heat_THW)} maps, and at least one")
    if at_most < 1:
        raise BadValue(at_most, "at least one frame must be shown")
    count = min(at_most, len(frames_THWC))
    return [int(t) for t in np.rint(np.linspace(0, len(frames_THWC) - 1, count))]


def height_of(heat: HeatMap, width: int) -> int:
    """Height of a frame that is drawn at this width."""
    height, wide = heat.heat_THW.shape[1:]
    return max(1, round(width * int(height) / int(wide)))


def plain(frames_THWC: Frames, heat: HeatMap, chosen: Sequence[int], width: int) -> Frames:
    """The chosen frames at `width`, in the shape of the video's frames."""
    size = (width, height_of(heat, width))
    return np.stack(
        [np.asarray(Image.fromarray(frames_THWC[t]).resize(size, Image.Resampling.LANCZOS)) for t in chosen]
    )


def heated(shown_THWC: Frames, heat: HeatMap, chosen: Sequence[int], look: Look = LOOK, *, bar: bool = True) -> Frames:
    """The chosen frames with heat; full colour is the whole clip's strongest place.

    What speaks about time alone is drawn as bright and dark frames, with a bar at the lower edge (`bar`): its length is
    the frame's value; of a value with a sign the bar goes from the middle to the right (for) or to the left (against).
    """
    if speaks_about_time_alone(heat):
        value_T = value_of_frames(heat)[list(chosen)]
        dimmed_THWC = dim(shown_THWC, value_T)
        return _barred(dimmed_THWC, value_T, heat.signed, look) if bar else dimmed_THWC
    full = float(np.abs(heat.heat_THW).max(initial=0.0) if heat.signed else heat.heat_THW.max(initial=0.0))
    return blend(shown_THWC, _resized(heat, chosen, shown_THWC), look, full=full, signed=heat.signed)


def spotted(shown_THWC: Frames, heat: HeatMap, chosen: Sequence[int], threshold: Threshold = THRESHOLD) -> Frames:
    """The chosen frames with their hotspots; where a method speaks about time alone, a hot frame has a
    line around what the network saw, and nothing is laid over it."""
    full = float(np.abs(heat.heat_THW).max(initial=0.0))
    hot_THW = hotspots(_resized(heat, chosen, shown_THWC), threshold, full=full)
    timed = speaks_about_time_alone(heat)
    return outline(shown_THWC, hot_THW, opacity=0.0, line=4) if timed else outline(shown_THWC, hot_THW)


def time_of(heat: HeatMap, t: int) -> str:
    """When the sampled frame `t` is shown, in words."""
    return f"{heat.frame_time_s_T[t]:.2f} s"


def _resized(heat: HeatMap, chosen: Sequence[int], like_THWC: Frames) -> Heat:
    size = (like_THWC.shape[2], like_THWC.shape[1])
    maps = [Image.fromarray(heat.heat_THW[t]).resize(size, Image.Resampling.BILINEAR) for t in chosen]
    return np.stack([np.asarray(map_HW) for map_HW in maps])


def _barred(frames_THWC: Frames, value_T: Heat, signed: bool, look: Look) -> Frames:
    _, height, width, _ = frames_THWC.shape
    thick = max(3, height // 20)
    barred_THWC = frames_THWC.copy()
    barred_THWC[:, -thick:] = _TRACK
    for frame_HWC, value in zip(barred_THWC, value_T, strict=True):
        length = round(abs(float(value)) * (width / 2 if signed else width))
        start = (width // 2 - (length if value < 0 else 0)) if signed else 0
        frame_HWC[-thick:, start : start + length] = accent(look, float(value), signed)
        if signed:
            frame_HWC[-thick:, width // 2 - 1 : width // 2 + 1] = 255
    return barred_THWC
