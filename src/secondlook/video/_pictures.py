"""A folder of frames read as a video: jpg, png, bmp or webp files in natural order of their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from secondlook.video._read import ERRORS, UNKNOWN_RATE, words
from secondlook.video._whole import Wish
from secondlook.video.clip import Clip, Size, failed

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def files(folder: Path) -> list[Path]:
    """The pictures of a folder, `frame2` before `frame10`; hidden files and what is no regular file are left out."""
    with os.scandir(folder) as entries:
        found = [e.name for e in entries if e.is_file() and e.name.lower().endswith(SUFFIXES) and e.name[0] != "."]
    return [folder / name for name in sorted(found, key=_natural)]


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name


def read(folder: Path, wish: Wish) -> Clip:
    """The chosen pictures as a clip; each picture is a frame, `1 / UNKNOWN_RATE` seconds apart.

    A picture that cannot be read, or has another size than the first, spoils the clip: its status says which. Only the
    first and the chosen pictures are looked at (all of them for `facts_only`).
    """
    paths = files(folder)
    if not paths:
        return failed("no_frames", "a folder without pictures (jpg, png, bmp, webp)")
    index_T = wish.chosen(len(paths))
    shape: tuple[int, int] | None = None
    rgb: dict[int, npt.NDArray[np.uint8]] = {}
    for index in sorted({0, *index_T.tolist()}):
        try:
            picture = _upright(paths[index])
        except (*ERRORS, SyntaxError) as error:
            return failed("unreadable", f"picture {paths[index].name} cannot be read: {words(error)}")
        shape = shape or (picture.height, picture.width)
        if (picture.height, picture.width) != shape:
            sizes = f"{picture.width} x {picture.height}, the first one {shape[1]} x {shape[0]}"
            return failed("unreadable", f"picture {paths[index].name} is {sizes}")
        if not wish.facts_only:
            rgb[index] = _resized(picture, wish.size)
    assert shape is not None
    if wish.facts_only:
        index_T = np.zeros(0, np.int64)
    frames_THWC = np.stack([rgb[i] for i in index_T.tolist()]) if len(index_T) else np.zeros((0, *shape, 3), np.uint8)
    return Clip(frames_THWC, index_T, index_T / UNKNOWN_RATE, len(paths), *shape, UNKNOWN_RATE)


def pixels(folder: Path, size: Size) -> Iterator[npt.NDArray[np.uint8]]:
    """Every picture of a folder, one after the other, RGB, upright, resized."""
    for path in files(folder):
        yield _resized(_upright(path), size)


def _upright(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def _resized(picture: Image.Image, size: Size) -> npt.NDArray[np.uint8]:
    height, width = size.of(picture.height, picture.width)
    if (height, width) != (picture.height, picture.width):
        # `reducing_gap` shrinks by whole factors first: quicker, and still averages every pixel.
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(picture)
