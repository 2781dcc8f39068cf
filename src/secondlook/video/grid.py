"""Heat maps beside each other: rows are frames in time order, columns what was explained (no torch).

One form serves the layer grid of a network or of a pathway, the pathways of one network, classes, methods, networks,
and two clips for two classes: a `Panel` is a clip with any number of heat maps, a grid is any number of panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.heat_cells import choose, heated, height_of, plain, spotted, time_of
from secondlook.video.heat_colours import LOOK, Frames, Look
from secondlook.video.hotspots import Threshold
from secondlook.video.legends import LINE, draw_legend, keys_of, lines_of
from secondlook.video.sheet import FAINT, INK, Colour, Sheet, in_lines

NIGHT: Colour = INK
"""Paper of films: pictures that move are watched on dark."""
_APART = 58
"""Room between two panels, for the times of the second."""


@dataclass(frozen=True)
class Caption:
    """What is written on a picture."""

    title: str = ""
    """What was explained: label, prediction, confidence."""
    subtitle: str = ""
    """How: method, layer."""


UNTITLED = Caption()


@dataclass(frozen=True)
class Panel:
    """A clip and what was explained of it.

    Raises:
        BadValue: if there is no heat map.
    """

    frames_THWC: Frames
    """The sampled frames, RGB, any size of the video's aspect."""
    heats: Mapping[str, HeatMap] = field(default_factory=dict)
    """Heading of a column -> explanation of these frames. A heading may have two lines."""
    title: str = ""
    """Above its columns: the video, the network."""
    first: str = "video"
    """Heading of the frames as they are."""

    def __post_init__(self) -> None:
        if not self.heats:
            raise BadValue(0, "a grid needs at least one heat map")

    @property
    def heat(self) -> HeatMap:
        """The first heat map: all have the same frames."""
        return next(iter(self.heats.values()))


def grid(
    panels: Sequence[Panel],
    caption: Caption = UNTITLED,
    *,
    rows: int = 6,
    width: int = 176,
    look: Look = LOOK,
    threshold: Threshold | None = None,
) -> Image.Image:
    """Rows are frames in time order, columns the frames as they are and then each heat map; panel beside panel.

    Args:
        panels: clips with their heat maps.
        caption: title and subtitle.
        rows: frames to show, evenly chosen; all if there are fewer.
        width: of one frame, in pixels.
        look: see `Look`; every column is normalised on its own.
        threshold: draw hotspots instead of heat.

    Raises:
        BadValue: if there is no panel, or the number of frames differs from that of the maps.
    """
    chosen = [choose(panel.frames_THWC, panel.heat, rows) for panel in _some(panels)]
    height = _height(panels, width)
    sheet = _Page(panels, max(map(len, chosen)), caption, width, look, threshold)
    for number, panel in enumerate(panels):
        for column, pictures_THWC in enumerate(_columns(panel, chosen[number], width, height, look, threshold)):
            for row, picture_HWC in enumerate(pictures_THWC):
                sheet.put(number, column, row, picture_HWC)
        for row, t in enumerate(chosen[number]):
            sheet.time(number, row, time_of(panel.heat, t))
    return sheet.sheet.image


def film(
    panels: Sequence[Panel],
    caption: Caption = UNTITLED,
    *,
    width: int = 240,
    look: Look = LOOK,
    threshold: Threshold | None = None,
) -> Frames:
    """The grid as a film: one picture a sampled frame, one row; the times of every panel beneath it.

    Panels with fewer frames hold each of theirs longer. Height and width are even.

    Args:
        panels: see `grid`.
        caption: title and subtitle.
        width: of one frame, in pixels.
        look: see `Look`.
        threshold: draw hotspots instead of heat.

    Raises:
        BadValue: see `grid`.
    """
    every = [choose(panel.frames_THWC, panel.heat, len(panel.frames_THWC)) for panel in _some(panels)]
    height = _height(panels, width)
    drawn = [
        _columns(panel, chosen, width, height, look, threshold) for panel, chosen in zip(panels, every, strict=True)
    ]
    count = max(map(len, every))
    made = []
    for n in range(count):
        page = _Page(panels, 1, caption, width, look, threshold, moving=True)
        for number, panel in enumerate(panels):
            t = n * len(every[number]) // count
            for column, pictures_THWC in enumerate(drawn[number]):
                page.put(number, column, 0, pictures_THWC[t])
            page.time(number, 0, time_of(panel.heat, t))
        made.append(np.asarray(page.sheet.image))
    made_THWC = np.stack(made)
    return made_THWC[:, : made_THWC.shape[1] // 2 * 2, : made_THWC.shape[2] // 2 * 2]


def _some(panels: Sequence[Panel]) -> Sequence[Panel]:
    if not panels:
        raise BadValue(0, "a grid needs at least one clip")
    return panels


def _height(panels: Sequence[Panel], width: int) -> int:
    """Of all cells. Where shapes differ, an upright video is drawn narrower, not its neighbours with much room."""
    heights = {height_of(panel.heat, width) for panel in panels}
    return min(max(heights), max(width, min(heights)))


def _columns(
    panel: Panel, chosen: Sequence[int], width: int, height: int, look: Look, threshold: Threshold | None
) -> list[Frames]:
    for heat in panel.heats.values():
        choose(panel.frames_THWC, heat, 1)
    width = max(1, min(width, round(width * height / height_of(panel.heat, width))))
    shown_THWC = plain(panel.frames_THWC, panel.heat, chosen, width)
    if threshold is not None:
        return [shown_THWC, *(spotted(shown_THWC, heat, chosen, threshold) for heat in panel.heats.values())]
    return [shown_THWC, *(heated(shown_THWC, heat, chosen, look) for heat in panel.heats.values())]


def _heading(text: str, width: int) -> list[tuple[str, bool]]:
    """Lines of a heading, broken to the column's width; the first part of it, before a line break, in plain ink."""
    return [(line, n == 0) for n, part in enumerate(text.split("\n")) for line in in_lines(part, 12, width)]


class _Page:
    """Where things stand: a panel's columns together, room for its times on its left, headings above."""

    def __init__(
        self,
        panels: Sequence[Panel],
        rows: int,
        caption: Caption,
        width: int,
        look: Look,
        threshold: Threshold | None,
        *,
        moving: bool = False,
    ) -> None:
        self.moving = moving
        counts = [len(panel.heats) + 1 for panel in panels]
        self.first = [sum(counts[:n]) for n in range(len(counts))]
        height = _height(panels, width)
        between = _APART * (len(panels) - 1)
        ink, faint = ((244, 244, 245), (161, 161, 170)) if moving else (INK, FAINT)
        self.faint = faint
        headings = [[_heading(text, width) for text in (panel.first, *panel.heats)] for panel in panels]
        self.head = 22 + 15 * (max(len(lines) for heads in headings for lines in heads) - 1)
        titled = 20 if any(panel.title for panel in panels) else 0
        wide = 14 * 2 + 52 + sum(counts) * (width + 3) - 3 + between
        heats = [heat for panel in panels for heat in panel.heats.values()]
        legend = lines_of(keys_of(heats, look, threshold, what="column"), max(wide, 440) - 28)
        foot = LINE * len(legend) + 8 + (22 if moving else 0)
        self.sheet = Sheet(
            sum(counts), rows, width, height, left=52, right=between, head=self.head + titled, foot=foot,
            title=caption.title, subtitle=caption.subtitle, at_least=440, paper=NIGHT if moving else (255, 255, 255),
            ink=ink, faint=faint,
        )  # fmt: skip
        for number, (panel, heads) in enumerate(zip(panels, headings, strict=True)):
            x, y = self._corner(number, 0, 0)
            if panel.title:
                limit = counts[number] * (width + 3)
                self.sheet.text((x, y - self.head - 4), panel.title, 13, ink, "ld", limit=limit)
            for column, heading in enumerate(heads):
                middle = self._corner(number, column, 0)[0] + width / 2
                for n, (line, plain_ink) in enumerate(reversed(heading)):
                    colour = ink if plain_ink else faint
                    self.sheet.text((middle, y - 6 - 15 * n), line, 12, colour, "md", limit=width)
        draw_legend(self.sheet, 14, self.sheet.bottom + 8 + (22 if moving else 0), legend, faint)

    def _corner(self, panel: int, column: int, row: int) -> tuple[int, int]:
        x, y = self.sheet.corner(self.first[panel] + column, row)
        return x + _APART * panel, y

    def put(self, panel: int, column: int, row: int, picture_HWC: Frames) -> None:
        """A picture, in the middle of its cell."""
        x, y = self._corner(panel, column, row)
        left, top = self.sheet.width - picture_HWC.shape[1], self.sheet.height - len(picture_HWC)
        self.sheet.image.paste(Image.fromarray(picture_HWC), (x + left // 2, y + top // 2))

    def time(self, panel: int, row: int, words: str) -> None:
        """When the frames of a row are shown: on the left of them; in a film beneath them."""
        x, y = self._corner(panel, 0, row)
        if self.moving:
            self.sheet.text((x, y + self.sheet.height + 6), words, 13, self.faint, "la")
        else:
            self.sheet.text((x - 8, y + self.sheet.height / 2), words, 12, self.faint, "rm")
