"""Heat drawn over a video's frames: a strip, a layer grid, an overlay video, a GIF, single pictures (no torch).

The colour map is perceptually uniform and safe for colour-blind readers (inferno by default). Its opacity grows with
the heat, so that cold places keep their natural colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.video import encode
from secondlook.video.sheet import FAINT, INK, Colour, Sheet

Frames = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.floating[Any]]


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

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise BadValue(self.alpha, "alpha must be in [0, 1]")
        if self.normalise not in ("clip", "frame"):
            raise BadValue(self.normalise, "normalise must be clip or frame")
        colours(self.colour_map)


@dataclass(frozen=True)
class Caption:
    """What is written on a picture."""

    title: str = ""
    """What was explained: label, prediction, confidence."""
    subtitle: str = ""
    """How: method, layer."""


@lru_cache
def colours(name: str) -> Frames:
    """The 256 colours of a colour map, from low to high.

    Raises:
        UnknownName: if matplotlib knows none of that name.
    """
    import matplotlib

    if name not in matplotlib.colormaps:
        raise UnknownName("colour map", name, list(matplotlib.colormaps))
    colours_N3: Frames = np.rint(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    return colours_N3


LOOK = Look()
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Share of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""
UNTITLED = Caption()


def blend(frames_THWC: Frames, heat_THW: Heat, look: Look = LOOK, *, full: float | None = None) -> Frames:
    """Frames with heat over them: `(1 - a) ((1 - v) frame + v grey(frame)) + a colour(v)`.

    Here `v = min(heat / full, 1)` and `a = alpha * v`. Where it is hot the frame itself turns grey, so that a red
    carpet is not taken for heat.

    Args:
        frames_THWC: RGB.
        heat_THW: heat at the frames' own size; negative values are drawn as 0.
        look: colour map, opacity, normalisation.
        full: heat that gets the full colour; None: the hottest place given. Without meaning for `normalise="frame"`.

    Returns:
        RGB, as the frames.

    Raises:
        BadValue: if frames and heat have different sizes.
    """
    if frames_THWC.shape[:3] != heat_THW.shape:
        raise BadValue(heat_THW.shape, f"heat must be {' x '.join(map(str, frames_THWC.shape[:3]))} like the frames")
    heat_THW = np.maximum(heat_THW, 0).astype(np.float32)
    if look.normalise == "frame":
        full_T11 = heat_THW.max(axis=(1, 2), keepdims=True, initial=0.0)
    else:
        full_T11 = np.full((1, 1, 1), heat_THW.max(initial=0.0) if full is None else full, dtype=np.float32)
    value_THW = np.divide(heat_THW, full_T11, out=np.zeros_like(heat_THW), where=full_T11 > 0).clip(0, 1)
    colour_THWC = colours(look.colour_map)[np.rint(value_THW * 255).astype(np.uint8)]
    value_THW1 = value_THW[..., None]
    grey_THW1 = (frames_THWC @ LUMA)[..., None]
    under_THWC = frames_THWC + value_THW1 * (grey_THW1 - frames_THWC)
    opacity_THW1 = np.float32(look.alpha) * value_THW1
    mixed_THWC: Frames = np.rint(under_THWC + opacity_THW1 * (colour_THWC - under_THWC)).astype(np.uint8)
    return mixed_THWC


def strip(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    columns: int = 8,
    width: int = 176,
    look: Look = LOOK,
) -> Image.Image:
    """Filmstrip: sampled frames above, the same frames with heat below, time of each beneath (figures V8, V10).

    Under each time a bar says how much heat the frame holds, against the frame that holds most.

    Args:
        frames_THWC: the sampled frames, RGB, any size of the video's aspect.
        heat: explanation of these frames.
        caption: title and subtitle.
        columns: frames to show, evenly chosen; all if there are fewer.
        width: of one frame, in pixels.
        look: see `Look`.

    Raises:
        BadValue: if the number of frames differs, or there is none.
    """
    chosen = _choose(frames_THWC, heat, columns)
    shown_THWC, hot_THWC = _cells(frames_THWC, heat, chosen, width, look)
    title, subtitle = caption.title, caption.subtitle
    sheet = Sheet(len(chosen), 2, width, shown_THWC.shape[1], right=56, foot=28, title=title, subtitle=subtitle)
    mass_T = np.maximum(heat.heat_THW, 0).sum(axis=(1, 2), dtype=np.float64)
    share_T = mass_T / max(float(mass_T.max()), np.finfo(np.float64).tiny)
    for column, t in enumerate(chosen):
        sheet.picture(column, 0, shown_THWC[column])
        sheet.picture(column, 1, hot_THWC[column])
        x, y = sheet.corner(column, 2)
        sheet.text((x + width / 2, y + 3), _time(heat, t), 12, FAINT, "ma")
        sheet.meter(column, y + 22, float(share_T[t]), _accent(look))
    sheet.text((sheet.right + 12, sheet.bottom + 18), "heat", 11, FAINT)
    sheet.colour_bar(_legend(look), 1, "none", "most")
    return sheet.image


def layer_grid(
    frames_THWC: Frames,
    heats: Mapping[str, HeatMap],
    caption: Caption = UNTITLED,
    *,
    rows: int = 6,
    width: int = 176,
    look: Look = LOOK,
) -> Image.Image:
    """Rows are frames in time order, columns the original and one layer each (figures V9, V11, V12).

    Args:
        frames_THWC: the sampled frames, RGB.
        heats: heading of a column -> explanation of these frames there, from input to head.
        caption: title and subtitle.
        rows: frames to show, evenly chosen; all if there are fewer.
        width: of one frame, in pixels.
        look: see `Look`; every column is normalised on its own.

    Raises:
        BadValue: if there is no heat map, or the number of frames differs.
    """
    if not heats:
        raise BadValue(0, "a layer grid needs at least one heat map")
    first = next(iter(heats.values()))
    chosen = _choose(frames_THWC, first, rows)
    drawn = {name: _cells(frames_THWC, heat, chosen, width, look) for name, heat in heats.items()}
    columns = {"video": next(iter(drawn.values()))[0]} | {name: hot for name, (_, hot) in drawn.items()}
    height = columns["video"].shape[1]
    title, subtitle = caption.title, caption.subtitle
    sheet = Sheet(len(columns), len(chosen), width, height, left=52, right=56, head=22, title=title, subtitle=subtitle)
    for column, (heading, pictures_THWC) in enumerate(columns.items()):
        x, y = sheet.corner(column, 0)
        sheet.text((x + width / 2, y - 6), heading, 12, INK, "md", limit=width)
        for row, picture in enumerate(pictures_THWC):
            sheet.picture(column, row, picture)
    for row, t in enumerate(chosen):
        x, y = sheet.corner(0, row)
        sheet.text((x - 8, y + height / 2), _time(first, t), 12, FAINT, "rm")
    sheet.colour_bar(_legend(look), 0, "none", "most")
    return sheet.image


def side_by_side(
    frames_THWC: Frames, heat: HeatMap, caption: Caption = UNTITLED, *, width: int = 320, look: Look = LOOK
) -> Frames:
    """Every sampled frame beside its overlay, with the title and the frame's time beneath; even height and width.

    Args:
        frames_THWC: the sampled frames, RGB.
        heat: explanation of these frames.
        caption: its title is written.
        width: of one frame, in pixels.
        look: see `Look`.

    Raises:
        BadValue: if the number of frames differs, or there is none.
    """
    everything = _choose(frames_THWC, heat, len(frames_THWC))
    shown_THWC, hot_THWC = _cells(frames_THWC, heat, everything, width, look)
    height = shown_THWC.shape[1]
    pictures = []
    for t in everything:
        sheet = Sheet(2, 1, width, height, gap=4, margin=0, foot=26, paper=INK)
        sheet.picture(0, 0, shown_THWC[t])
        sheet.picture(1, 0, hot_THWC[t])
        sheet.text((sheet.right - 8, height + 13), _time(heat, t), 13, (161, 161, 170), "rm")
        sheet.text((8, height + 13), caption.title, 13, (244, 244, 245), "lm", limit=sheet.right - 90)
        pictures.append(np.asarray(sheet.image))
    made_THWC = np.stack(pictures)
    return made_THWC[:, : made_THWC.shape[1] // 2 * 2, : made_THWC.shape[2] // 2 * 2]


def playing_time_s(heat: HeatMap) -> float:
    """How long an overlay video plays: as long as the sampled frames span, but from 2 s to 4 s."""
    times_T = heat.frame_time_s_T
    between_s = float(times_T[-1] - times_T[0]) / max(len(times_T) - 1, 1)
    return min(max(between_s * len(times_T), 2.0), 4.0)


def write_video(path: Path, pictures_THWC: Frames, duration_s: float) -> Path:
    """H.264 that browsers play; the whole lasts about `duration_s`.

    Players treat files of one or two frames a second badly, so pictures are repeated up to about 8 a second.
    """
    held = max(1, round(8 * duration_s / len(pictures_THWC)))
    rate = max(1, round(held * len(pictures_THWC) / duration_s))
    return encode.write_video(path, (p for p in pictures_THWC for _ in range(held)), rate, crf=23)


def write_gif(path: Path, pictures_THWC: Frames, duration_s: float) -> Path:
    """An endless GIF of about `duration_s` a round, with one palette for all pictures."""
    palette = Image.fromarray(np.concatenate(list(pictures_THWC))).quantize(256, method=Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures_THWC]
    path.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = max(20, round(100 * duration_s / len(images)) * 10)
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return path


def write_pictures(folder: Path, pictures_THWC: Frames) -> list[Path]:
    """One PNG a picture: `000.png`, `001.png`, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{t:03d}.png" for t in range(len(pictures_THWC))]
    for path, picture in zip(paths, pictures_THWC, strict=True):
        Image.fromarray(picture).save(path)
    return paths


def _choose(frames_THWC: Frames, heat: HeatMap, at_most: int) -> list[int]:
    """Evenly spread positions among the sampled frames, first and last included."""
    if len(frames_THWC) != len(heat.heat_THW) or not len(frames_THWC):
        raise BadValue(len(frames_THWC), f"needs one frame for each of the {len(heat.heat_THW)} maps, and at least one")
    if at_most < 1:
        raise BadValue(at_most, "at least one frame must be shown")
    count = min(at_most, len(frames_THWC))
    return [int(t) for t in np.rint(np.linspace(0, len(frames_THWC) - 1, count))]


def _cells(frames_THWC: Frames, heat: HeatMap, chosen: Sequence[int], width: int, look: Look) -> tuple[Frames, Frames]:
    """The chosen frames at `width`, plain and with heat; full colour is the whole clip's hottest place."""
    height = max(1, round(width * heat.heat_THW.shape[1] / heat.heat_THW.shape[2]))
    shown = [Image.fromarray(frames_THWC[t]).resize((width, height), Image.Resampling.LANCZOS) for t in chosen]
    hot = [Image.fromarray(heat.heat_THW[t]).resize((width, height), Image.Resampling.BILINEAR) for t in chosen]
    shown_THWC = np.stack([np.asarray(image) for image in shown])
    full = float(heat.heat_THW.max(initial=0.0))
    return shown_THWC, blend(shown_THWC, np.stack([np.asarray(image) for image in hot]), look, full=full)


def _time(heat: HeatMap, t: int) -> str:
    return f"{heat.frame_time_s_T[t]:.2f} s"


def _legend(look: Look) -> Frames:
    """The colours as they look over a light grey picture, so that the bar shows the opacity too."""
    value_N = np.linspace(0, 1, 256, dtype=np.float32)[None, None]
    colours_N3: Frames = blend(np.full((1, 1, 256, 3), 225, dtype=np.uint8), value_N, look)[0, 0]
    return colours_N3


def _accent(look: Look) -> Colour:
    red, green, blue = (int(v) for v in colours(look.colour_map)[165])
    return red, green, blue
