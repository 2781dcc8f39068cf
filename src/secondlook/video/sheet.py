"""A page of pictures in rows and columns, with a title, small text and bars (Pillow, no torch)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
PAPER: Colour = (255, 255, 255)
INK: Colour = (24, 24, 27)
FAINT: Colour = (113, 113, 122)
TRACK: Colour = (228, 228, 231)


class Sheet:
    """A grid of pictures of one size, with room around it.

    Args:
        columns: pictures in a row.
        rows: pictures in a column.
        width: of a picture, in pixels.
        height: of a picture, in pixels.
        gap: between pictures.
        margin: around everything.
        left: further room on the left, for text; `right`, `head` and `foot` likewise.
        title: one line above everything, smaller and then shortened where it does not fit; empty: no room is kept.
        subtitle: smaller below it, on two lines where one is too short.
        paper: background.
        at_least: the least width of the whole, so that words have room beside a few small pictures.
        ink: of the title.
        faint: of the subtitle.
    """

    def __init__(
        self,
        columns: int,
        rows: int,
        width: int,
        height: int,
        *,
        gap: int = 3,
        margin: int = 14,
        left: int = 0,
        right: int = 0,
        head: int = 0,
        foot: int = 0,
        title: str = "",
        subtitle: str = "",
        paper: Colour = PAPER,
        at_least: int = 0,
        ink: Colour = INK,
        faint: Colour = FAINT,
    ) -> None:
        self.width, self.height, self.gap = width, height, gap
        self.left = margin + left
        self.right = self.left + columns * (width + gap) - gap
        whole = max(self.right + right + margin, at_least)
        room = whole - 2 * margin
        lines = wrapped(subtitle, 12, room) if subtitle else []
        self.top = margin + (26 if title else 0) + (20 + 16 * (len(lines) - 1) if lines else 0) + head
        self.bottom = self.top + rows * (height + gap) - gap
        self.image = Image.new("RGB", (whole, self.bottom + foot + margin), paper)
        self._draw = ImageDraw.Draw(self.image)
        if title:
            size = next((s for s in (17, 15, 13) if font_of(s).getlength(title) <= room), 13)
            self.text((margin, margin + 15), title, size, ink, "ls", limit=room)
        for n, line in enumerate(lines):
            self.text((margin, margin + (23 if title else 0) + 16 * n), line, 12, faint, limit=room)

    def corner(self, column: int, row: int) -> tuple[int, int]:
        """Upper left corner of a cell, in pixels; `row` may be one past the last."""
        return self.left + column * (self.width + self.gap), self.top + row * (self.height + self.gap)

    def picture(self, column: int, row: int, pixels_HWC: npt.NDArray[np.uint8]) -> None:
        """Puts a picture into a cell."""
        self.image.paste(Image.fromarray(pixels_HWC), self.corner(column, row))

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size: int,
        colour: Colour,
        anchor: str = "la",
        limit: float | None = None,
    ) -> None:
        """Writes one line; shortened with an ellipsis to `limit` pixels.

        Args:
            at: position of the anchor.
            text: one line.
            size: in pixels.
            colour: of the letters.
            anchor: Pillow's two letters: l, m, r and a (top), m (middle), s (base line).
            limit: greatest width.
        """
        font = font_of(size)
        if limit is not None and font.getlength(text) > limit:
            while text and font.getlength(text + "…") > limit:
                text = text[:-1]
            text = text.rstrip() + "…"
        self._draw.text(at, text, fill=colour, font=font, anchor=anchor)

    def meter(
        self,
        column: int,
        y: int,
        share: float,
        colour: Colour,
        against: float | None = None,
        against_colour: Colour = FAINT,
    ) -> None:
        """A thin bar under a column, filled up to `share` of its length.

        With `against` it starts in its middle: `share` fills its right half, `against` its left one.
        """
        x = self.corner(column, 0)[0] + 12
        full = self.width - 24
        self.rectangle(x, y, full, 4, TRACK)
        if against is not None:
            full //= 2
            x += full
            length = max(1, round(full * against)) if against > 0 else 0
            self.rectangle(x - length, y, length, 4, against_colour)
            self.rectangle(x - 1, y - 2, 1, 8, FAINT)
        if share > 0:
            self.rectangle(x, y, max(1, round(full * share)), 4, colour)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """A filled rectangle."""
        if width >= 1 and height >= 1:
            self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=fill)


def in_lines(text: str, size: int, limit: float) -> list[str]:
    """A text broken between words, so that no line is wider than `limit` pixels if its words are not."""
    font, lines = font_of(size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > limit:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def wrapped(text: str, size: int, limit: float) -> list[str]:
    """A text on one line, or on two that are parted at one of its middle dots, if it is wider than `limit` pixels."""
    font, parts = font_of(size), text.split(" · ")
    fits = [n for n in range(1, len(parts) + 1) if font.getlength(" · ".join(parts[:n])) <= limit]
    first = max(fits, default=1)
    return [" · ".join(part) for part in (parts[:first], parts[first:]) if part]


@lru_cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has most alphabets."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
