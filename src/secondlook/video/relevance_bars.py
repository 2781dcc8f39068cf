"""How much each frame speaks for and against a class: sums, hotspots and shots, as numbers and as bars (no torch).

Sums are shares of the clip's whole relevance, `sum over t, y, x of |R|`, so that methods of any unit can be compared:
for a frame, `sum of R where R > 0` and `sum of R where R < 0`, apart. A frame can have many hotspots and yet much
relevance against the class (`layerwise-relevance`, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.grid import UNTITLED, Caption
from secondlook.video.heat_cells import choose, heated, plain
from secondlook.video.heat_colours import LOOK, Frames, Look, accent, speaks_about_time_alone
from secondlook.video.hotspots import INSIDE, THRESHOLD, Threshold, hotspots
from secondlook.video.legends import LINE, draw_legend, keys_of, lines_of
from secondlook.video.sheet import FAINT, INK, TRACK, Colour, Sheet

Series = npt.NDArray[np.floating[Any]]


def relevance_a_frame(heat: HeatMap) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What speaks for the class (>= 0) and against it (<= 0) in each frame, as shares of the clip's |R|; T and T."""
    heat_THW = heat.heat_THW.astype(np.float64)
    whole = max(float(np.abs(heat_THW).sum()), np.finfo(np.float64).tiny)
    return np.maximum(heat_THW, 0).sum(axis=(1, 2)) / whole, np.minimum(heat_THW, 0).sum(axis=(1, 2)) / whole


@dataclass(frozen=True)
class Shot:
    """What lies between two cuts."""

    first: int
    """Position of its first frame among the sampled ones."""
    end: int
    """One past its last."""
    speaks_for: float
    """Share of the clip's |R|, >= 0."""
    speaks_against: float
    """<= 0."""


def relevance_a_shot(heat: HeatMap, cuts: Sequence[int]) -> list[Shot]:
    """The sums of `relevance_a_frame` over each shot.

    Args:
        heat: explanation of a clip.
        cuts: positions, among the sampled frames, of the first frame of every shot but the first; rising.

    Raises:
        BadValue: if a cut is none of the frames after the first, or they do not rise.
    """
    frames = len(heat.heat_THW)
    edges = [0, *cuts, frames]
    if any(a >= b for a, b in pairwise(edges)):
        raise BadValue(list(cuts), f"cuts must rise, and be from 1 to {frames - 1}")
    for_T, against_T = relevance_a_frame(heat)
    return [Shot(a, b, float(for_T[a:b].sum()), float(against_T[a:b].sum())) for a, b in pairwise(edges)]


def relevance_chart(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    cuts: Sequence[int] = (),
    look: Look = LOOK,
    threshold: Threshold = THRESHOLD,
    width: int = 1120,
) -> Image.Image:
    """The strip with heat, and under it in the same columns relevance and hotspots of every frame (item R5).

    Args:
        frames_THWC: the sampled frames, RGB.
        heat: explanation of these frames.
        caption: title and subtitle.
        cuts: see `relevance_a_shot`; drawn as lines, with each shot's sums above the bars.
        look: see `Look`.
        threshold: from where on a place is hot.
        width: of all columns together, in pixels.

    Raises:
        BadValue: if the number of frames differs, there is none, or the cuts do not fit.
    """
    choose(frames_THWC, heat, 1)
    frames = len(frames_THWC)
    shots = relevance_a_shot(heat, cuts)
    shown = min(frames, 16)
    middles = [int((n + 0.5) * frames / shown) for n in range(shown)]
    cell = min(max(width // shown - 3, 40), 176)
    thumbs_THWC = heated(plain(frames_THWC, heat, middles, cell), heat, middles, look)
    timed = speaks_about_time_alone(heat)
    keys = keys_of([heat], look, None if timed else threshold, what="clip")
    legend = lines_of(keys, max(shown * (cell + 3), 440))
    heights = [150] if timed else [150, 100]
    foot = 16 + sum(h + 46 for h in heights) + LINE * len(legend)
    sheet = Sheet(
        shown, 1, cell, thumbs_THWC.shape[1], left=56, head=20 if cuts else 0, foot=foot, title=caption.title,
        subtitle=caption.subtitle, at_least=480,
    )  # fmt: skip
    for column, thumb_HWC in enumerate(thumbs_THWC):
        sheet.picture(column, 0, thumb_HWC)
    for_T, against_T = relevance_a_frame(heat)
    plot = _Plot(sheet, frames)
    y = sheet.bottom + 30
    colours = accent(look, 1.0, heat.signed), accent(look, -1.0, heat.signed)
    named = "relevance a frame, % of the clip's: for the class" + (", and against it" if heat.signed else "")
    plot.bars(y, heights[0], 100 * for_T, 100 * against_T, colours, named)
    y += heights[0] + 46
    if not timed:
        number_T = hotspots(heat.heat_THW, threshold).sum(axis=(1, 2)).astype(np.float64)
        kind = (INSIDE, INSIDE)
        plot.bars(y, heights[1], number_T, 0 * number_T, kind, "hotspots a frame, positions of the video's frame")
        y += heights[1] + 46
    plot.times(y - 46, heat)
    plot.shots(shots, heights, heat.signed)
    draw_legend(sheet, 14, y - 18, legend)
    return sheet.image


class _Plot:
    """Bars in the columns of a sheet; `frames` of them share the sheet's width."""

    def __init__(self, sheet: Sheet, frames: int) -> None:
        self.sheet, self.frames = sheet, frames
        self.left = sheet.left
        self.pitch = (sheet.right + sheet.gap - sheet.left) / frames

    def bars(
        self, top: float, height: float, up_T: Series, down_T: Series, colours: tuple[Colour, Colour], named: str
    ) -> None:
        """One chart: bars up from a zero line, and down from it, with an axis on the left."""
        sheet = self.sheet
        sheet.text((self.left, top - 5), named, 12, INK, "ld")
        high, low = float(up_T.max(initial=0.0)), float(down_T.min(initial=0.0))
        step = _step(max(high - low, 1e-12), height)
        if high == low == 0:
            step = high = 1.0
        ceiling, floor = 1.06 * high, 1.06 * low
        scale = height / (ceiling - floor)
        for value in step * np.arange(np.ceil(floor / step), np.floor(ceiling / step) + 1):
            y = top + (ceiling - value) * scale
            sheet.rectangle(self.left, y, self.pitch * self.frames - sheet.gap, 1, TRACK)
            words = f"{value:,.0f}" if step >= 1 else f"{value:.2g}"
            sheet.text((self.left - 6, y), words.lstrip("-") if value == 0 else words, 11, FAINT, "rm")
        zero = top + ceiling * scale
        wide = max(1.0, min(self.pitch - 3, 0.7 * self.pitch))
        for t in range(self.frames):
            x = self.left + (t + 0.5) * self.pitch - sheet.gap / 2 - wide / 2
            up, down = float(up_T[t]) * scale, float(-down_T[t]) * scale
            if up > 0:
                sheet.rectangle(x, zero - max(up, 1), wide, max(up, 1), colours[0])
            if down > 0:
                sheet.rectangle(x, zero + 1, wide, max(down, 1), colours[1])
        sheet.rectangle(self.left, zero, self.pitch * self.frames - sheet.gap, 1, FAINT)

    def times(self, y: float, heat: HeatMap) -> None:
        """The time of every column, or of as many as have room."""
        every = max(1, int(np.ceil(58 / self.pitch)))
        for t in range(0, self.frames, every):
            words = f"{heat.frame_time_s_T[t]:.2f} s"
            self.sheet.text((self.left + (t + 0.5) * self.pitch - self.sheet.gap / 2, y + 4), words, 12, FAINT, "ma")

    def shots(self, shots: Sequence[Shot], heights: Sequence[float], signed: bool) -> None:
        """A dark line at every cut, through pictures and bars, and the sums of each shot above the pictures."""
        if len(shots) < 2:
            return
        sheet = self.sheet
        spans, y = [(sheet.top - 16.0, float(sheet.bottom))], sheet.bottom + 30.0
        for height in heights:
            spans.append((y, y + height))
            y += height + 46
        for number, shot in enumerate(shots, 1):
            x = self.left + shot.first * self.pitch
            room = (shot.end - shot.first) * self.pitch - 8
            words = f"shot {number}: {abs(100 * shot.speaks_for):.0f} % for"
            words += f", {abs(100 * shot.speaks_against):.0f} % against" if signed else ""
            sheet.text((x + 2, sheet.top - 4), words, 12, INK, "ld", limit=room)
            for top, bottom in spans if shot.first else ():
                for dash in np.arange(top, bottom, 7):
                    sheet.rectangle(x - 3, dash, 2, 4, INK)


def _step(span: float, height: float) -> float:
    """A round distance of the axis' lines (1, 2 or 5 times a power of ten), about one for every 36 pixels."""
    rough = span / max(height / 36, 1)
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999))
