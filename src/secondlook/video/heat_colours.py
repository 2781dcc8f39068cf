"""How heat becomes colour: maps, opacity, signs, brightness for methods that speak about time alone (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.video.sheet import Colour

Frames = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.floating[Any]]

RED_WHITE_BLUE = "red_white_blue"
"""ColorBrewer's RdBu, turned round, without its darkest ends (they are lost on dark frames): blue (33, 102, 172),
white, red (178, 24, 43). Readers with any colour blindness tell its two ends apart."""
_ENDS = (0.1, 0.9)
DIMMEST = 0.25
"""Brightness of a frame without heat, where a method speaks about time alone."""


@dataclass(frozen=True)
class Look:
    """How heat is drawn.

    Raises:
        BadValue: if a value is outside its range.
        UnknownName: if matplotlib knows no such colour map.
    """

    colour_map: str = "inferno"
    """Any name that matplotlib knows; "turbo" or "jet" for red = high."""
    alpha: float = 0.7
    """Opacity of the hottest place, in [0, 1]; colder places are as much more transparent as they are colder."""
    normalise: str = "clip"
    """`clip`: full colour is the clip's hottest place, so that frames can be compared. `frame`: each frame's own."""
    signed_map: str = RED_WHITE_BLUE
    """For heat with a sign: against the class at its low end, for it at its high end."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise BadValue(self.alpha, "alpha must be in [0, 1]")
        if self.normalise not in ("clip", "frame"):
            raise BadValue(self.normalise, "normalise must be clip or frame")
        colours(self.colour_map)
        colours(self.signed_map)


@lru_cache
def colours(name: str) -> Frames:
    """The 256 colours of a colour map, from low to high.

    Raises:
        UnknownName: if it is neither ours nor matplotlib's.
    """
    import matplotlib

    ours = name == RED_WHITE_BLUE
    if not ours and name not in matplotlib.colormaps:
        raise UnknownName("colour map", name, [RED_WHITE_BLUE, *matplotlib.colormaps])
    low, high = _ENDS if ours else (0.0, 1.0)
    place = np.linspace(low, high, 256)
    found = matplotlib.colormaps["RdBu_r" if ours else name](place)
    colours_N3: Frames = np.rint(found[:, :3] * 255).astype(np.uint8)
    return colours_N3


LOOK = Look()
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Share of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def blend(
    frames_THWC: Frames, heat_THW: Heat, look: Look = LOOK, *, full: float | None = None, signed: bool = False
) -> Frames:
    """Frames with heat over them: `(1 - a) ((1 - |v|) frame + |v| grey(frame)) + a colour(v)`.

    Here `a = alpha |v|`, and `v = heat / full`, kept within [0, 1]; with a sign `v = sign(r) sqrt |r|` of `r = heat /
    full` in [-1, 1]: relevance lies on few places, and a tenth of the strongest would hardly be seen. White is 0, and
    is left as steeply (colours at `sign(v) sqrt |v|`), so that what is weak has the tint of its sign. What has no heat
    keeps its own colours. Where it is hot the frame turns grey, so that a red carpet is not taken for heat.

    Args:
        frames_THWC: RGB.
        heat_THW: heat at the frames' own size.
        look: colour maps, opacity, normalisation.
        full: heat that gets the full colour; None: the strongest given. Without meaning for `normalise="frame"`.
        signed: negative values are drawn in the colours of `signed_map`; otherwise as 0.

    Returns:
        RGB, as the frames.

    Raises:
        BadValue: if frames and heat have different sizes.
    """
    if frames_THWC.shape[:3] != heat_THW.shape:
        raise BadValue(heat_THW.shape, f"heat must be {' x '.join(map(str, frames_THWC.shape[:3]))} like the frames")
    value_THW = values(heat_THW, look, full=full, signed=signed)
    if signed:
        value_THW = np.sign(value_THW) * np.sqrt(np.abs(value_THW))
    amount_THW1 = np.abs(value_THW)[..., None]
    colour_THWC = _palette(look, signed)[np.rint(_place(value_THW, signed) * 255).astype(np.uint8)]
    grey_THW1 = (frames_THWC @ LUMA)[..., None]
    under_THWC = frames_THWC + amount_THW1 * (grey_THW1 - frames_THWC)
    opacity_THW1 = np.float32(look.alpha) * amount_THW1
    mixed_THWC: Frames = np.rint(under_THWC + opacity_THW1 * (colour_THWC - under_THWC)).astype(np.uint8)
    return mixed_THWC


def values(
    heat_THW: Heat, look: Look = LOOK, *, full: float | None = None, signed: bool = False
) -> npt.NDArray[np.float32]:
    """Heat against what gets the full colour: in [0, 1], or in [-1, 1] for heat with a sign; 0 where there is none."""
    heat_THW = heat_THW.astype(np.float32) if signed else np.maximum(heat_THW, 0).astype(np.float32)
    amount_THW = np.abs(heat_THW)
    if look.normalise == "frame":
        full_T11 = amount_THW.max(axis=(1, 2), keepdims=True, initial=0.0)
    else:
        full_T11 = np.full((1, 1, 1), amount_THW.max(initial=0.0) if full is None else full, dtype=np.float32)
    value_THW: npt.NDArray[np.float32] = np.divide(
        heat_THW, full_T11, out=np.zeros_like(heat_THW), where=full_T11 > 0
    ).clip(-1 if signed else 0, 1)
    return value_THW


def speaks_about_time_alone(heat: HeatMap) -> bool:
    """Whether the method says how much a frame counts, but not where in it (note `temporal`)."""
    return bool(heat.notes.get("temporal", False))


def value_of_frames(heat: HeatMap) -> npt.NDArray[np.float32]:
    """One value a frame of a method that speaks about time alone: its strongest, against the clip's strongest; T."""
    flat_TN = heat.heat_THW.reshape(len(heat.heat_THW), -1)
    strongest_T = flat_TN[np.arange(len(flat_TN)), np.abs(flat_TN).argmax(axis=1)]
    found_T: npt.NDArray[np.float32] = strongest_T / max(float(np.abs(strongest_T).max(initial=0.0)), 1e-30)
    return (found_T if heat.signed else np.maximum(found_T, 0)).astype(np.float32)


def dim(frames_THWC: Frames, value_T: npt.NDArray[np.floating[Any]]) -> Frames:
    """Frames as bright as they count: `(DIMMEST + (1 - DIMMEST) |v|) frame`. No colour is laid over them, so that
    nobody takes an even cover for a place."""
    brightness_T111 = (DIMMEST + (1 - DIMMEST) * np.abs(value_T))[:, None, None, None]
    dimmed_THWC: Frames = np.rint(frames_THWC * brightness_T111).astype(np.uint8)
    return dimmed_THWC


def legend(look: Look, signed: bool) -> Frames:
    """The colours as they look over a light grey picture, low to high, so that the bar shows the opacity too."""
    value_N = np.linspace(-1 if signed else 0, 1, 256, dtype=np.float32)[None, None]
    grey = np.full((1, 1, 256, 3), 225, dtype=np.uint8)
    colours_N3: Frames = blend(grey, value_N, look, signed=signed)[0, 0]
    return colours_N3


def accent(look: Look, value: float = 1.0, signed: bool = False) -> Colour:
    """The colour of bars: of what speaks for the class, or against it where the value is negative."""
    palette = _palette(look, signed)
    place = (0 if value < 0 else 255) if signed else 165
    red, green, blue = (int(v) for v in palette[place])
    return red, green, blue


def _palette(look: Look, signed: bool) -> Frames:
    return colours(look.signed_map if signed else look.colour_map)


def _place(value_THW: npt.NDArray[np.float32], signed: bool) -> npt.NDArray[np.float32]:
    if not signed:
        return value_THW
    return ((np.sign(value_THW) * np.sqrt(np.abs(value_THW)) + 1) / 2).astype(np.float32)
