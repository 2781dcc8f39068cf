"""A page of pictures in rows and columns, with a title, small text and a colour bar (Pillow, no torch)."""

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
        title: one line above everything, shortened where it does not fit; empty: no room is kept.
        subtitle: a smaller line below it.
        paper: background.
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
    ) -> None:
        self.width, self.height, self.gap = width, height, gap
        self.left = margin + left
        self.top = margin + (26 if title else 0) + (20 if subtitle else 0) + head
        self.right = self.left + columns * (width + gap) - gap
        self.bottom = self.top + rows * (height + gap) - gap
        self.image = Image.new("RGB", (self.right + right + margin, self.bottom + foot + margin), paper)
        self._draw = ImageDraw.Draw(self.image)
        room = self.image.width - 2 * margin
        if title:
            self.text((margin, margin - 2), title, 17, INK, limit=room)
        if subtitle:
            self.text((margin, margin + (23 if title else 0)), subtitle, 12, FAINT, limit=room)

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

    def meter(self, column: int, y: int, share: float, colour: Colour) -> None:
        """A thin bar under a column, filled up to `share` of its length."""
        x = self.corner(column, 0)[0] + 12
        full = self.width - 24
        self.rectangle(x, y, full, 4, TRACK)
        if share > 0:
            self.rectangle(x, y, max(1, round(full * share)), 4, colour)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """A filled rectangle."""
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=fill)

    def colour_bar(self, colours_N3: npt.NDArray[np.uint8], row: int, low: str, high: str) -> None:
        """A small colour bar to the right of a row of pictures: its first colour at the bottom."""
        x, y = self.right + 12, self.corner(0, row)[1]
        tall = min(self.height, 160)
        y += (self.height - tall) // 2
        column_H3 = colours_N3[np.linspace(len(colours_N3) - 1, 0, tall).round().astype(int)]
        self.image.paste(Image.fromarray(np.repeat(column_H3[:, None], 10, axis=1)), (x, y))
        self.text((x + 15, y - 1), high, 11, FAINT, "la")
        self.text((x + 15, y + tall), low, 11, FAINT, "ld")


@lru_cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has most alphabets."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
