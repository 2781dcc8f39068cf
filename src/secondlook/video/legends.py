"""What the colours of a picture mean, written below it: colour bars, a mark for hotspots, a sentence (no torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.video.heat_colours import Frames, Look, legend, speaks_about_time_alone
from secondlook.video.hotspots import EDGE, INSIDE, Threshold
from secondlook.video.sheet import FAINT, TRACK, Colour, Sheet, font_of

LINE = 20
"""Height of a line, in pixels."""
_SIZE = 12
_BAR = 104
_APART = 22


@dataclass(frozen=True)
class Key:
    """One thing of a legend: a colour bar between two words, a mark before a word, or words alone."""

    low: str = ""
    high: str = ""
    colours_N3: Frames | None = None
    mark: tuple[Colour, Colour] | None = None
    """Filling and edge of a small square."""

    @property
    def width(self) -> float:
        """In pixels."""
        font = font_of(_SIZE)
        drawn = _BAR + 12 if self.colours_N3 is not None else 20 if self.mark else 0
        return drawn + font.getlength(self.low) + font.getlength(self.high)


def keys_of(heats: Iterable[HeatMap], look: Look, threshold: Threshold | None = None, *, what: str = "") -> list[Key]:
    """What there is to explain in a picture of these heat maps.

    Args:
        heats: all that are drawn.
        look: how.
        threshold: of the hotspots, where they are drawn.
        what: full colour is the strongest place of this ("clip", "column"); empty: not said.
    """
    drawn = list(heats)
    placed = [heat for heat in drawn if not speaks_about_time_alone(heat)]
    keys = []
    if any(not heat.signed for heat in placed):
        keys.append(Key("no heat ", "most heat", legend(look, signed=False)))
    if any(heat.signed for heat in drawn):
        keys.append(Key("against the class ", "for it", legend(look, signed=True)))
    if len(placed) < len(drawn):
        keys.append(Key("", "bright frames count, dark ones do not: no places"))
    if threshold is not None:
        keys.append(Key("", f"hotspot: {threshold.words()}", mark=(INSIDE, EDGE)))
    if what and placed:
        each = "frame" if look.normalise == "frame" else what
        keys.append(Key("", f"full colour: the strongest place of each {each}" if each != "clip" else ""))
    return [key for key in keys if key.width]


def lines_of(keys: Sequence[Key], width: float) -> list[list[Key]]:
    """The keys in lines of at most this width, in pixels."""
    lines: list[list[Key]] = []
    free = 0.0
    for key in keys:
        if lines and key.width <= free:
            lines[-1].append(key)
        else:
            lines.append([key])
            free = width
        free -= key.width + _APART
    return lines


def draw_legend(sheet: Sheet, left: float, top: float, lines: Sequence[Sequence[Key]], ink: Colour = FAINT) -> None:
    """Writes the lines, the first with its upper edge at `top`."""
    for n, keys in enumerate(lines):
        x, middle = left, top + n * LINE + LINE / 2
        for key in keys:
            _draw(sheet, key, x, middle, ink)
            x += key.width + _APART


def _draw(sheet: Sheet, key: Key, x: float, middle: float, ink: Colour) -> None:
    font = font_of(_SIZE)
    sheet.text((x, middle), key.low, _SIZE, ink, "lm")
    x += font.getlength(key.low)
    if key.colours_N3 is not None:
        bar_N3 = key.colours_N3[np.linspace(0, len(key.colours_N3) - 1, _BAR).round().astype(int)]
        sheet.rectangle(x + 3, middle - 7, _BAR + 2, 14, TRACK)
        sheet.image.paste(Image.fromarray(np.repeat(bar_N3[None], 12, axis=0)), (round(x + 4), round(middle - 6)))
        x += _BAR + 12
    elif key.mark:
        sheet.rectangle(x, middle - 7, 14, 14, key.mark[1])
        sheet.rectangle(x + 1, middle - 6, 12, 12, key.mark[0])
        x += 20
    sheet.text((x, middle), key.high, _SIZE, ink, "lm")
