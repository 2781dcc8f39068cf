"""A folder of frames read as a video: jpg, png, bmp or webp files in natural order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondlook.video._read import ERRORS, UNKNOWN_RATE, words
from secondlook.video._whole import Wish
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.frame_folder import Frames, Kind, frames_of, picture, resized


def files(folder: Path) -> list[Path]:
    """The pictures of a folder, one a frame (of flow, x), `frame2` before `frame10`; see `frame_folder.frames_of`."""
    return [frame[0] for frame in frames_of(folder).files]


def refusal(folder: Path, kind: Kind | None = None) -> Clip | None:
    """A failed clip for a folder without pictures or with one missing; None for one that can be read."""
    return _refusal(frames_of(folder, kind))


def _refusal(found: Frames) -> Clip | None:
    if found.missing:
        return failed("missing", f"picture {found.missing} is missing")
    what = "pictures" if found.kind == "rgb" else f"{found.kind} pictures"
    return None if found.files else failed("no_frames", f"a folder without {what} (jpg, png, bmp, webp)")


def read(folder: Path, wish: Wish) -> Clip:
    """The chosen pictures as a clip; each picture is a frame, `1 / UNKNOWN_RATE` seconds apart.

    A picture that is missing, cannot be read, or has another size than the first, spoils the clip: its status says
    which. Only the first and the chosen pictures are looked at (all of them for `facts_only`).
    """
    found = frames_of(folder)
    refused = _refusal(found)
    if refused is not None:
        return refused
    frames = found.files
    index_T = wish.chosen(len(frames))
    shape: tuple[int, int] | None = None
    rgb: dict[int, npt.NDArray[np.uint8]] = {}
    for index in sorted({0, *index_T.tolist()}):
        name = frames[index][0].name
        try:
            shown = picture(frames[index])
        except (*ERRORS, SyntaxError) as error:
            return failed("unreadable", f"picture {name} cannot be read: {words(error)}")
        shape = shape or (shown.height, shown.width)
        if (shown.height, shown.width) != shape:
            sizes = f"{shown.width} x {shown.height}, the first one {shape[1]} x {shape[0]}"
            return failed("unreadable", f"picture {name} is {sizes}")
        if not wish.facts_only:
            rgb[index] = resized(shown, wish.size)
    assert shape is not None
    if wish.facts_only:
        index_T = np.zeros(0, np.int64)
    frames_THWC = np.stack([rgb[i] for i in index_T.tolist()]) if len(index_T) else np.zeros((0, *shape, 3), np.uint8)
    return Clip(frames_THWC, index_T, index_T / UNKNOWN_RATE, len(frames), *shape, UNKNOWN_RATE)


def pixels(folder: Path, size: Size, kind: Kind | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Every picture of a folder, one after the other, RGB, upright, resized."""
    for frame in frames_of(folder, kind).files:
        yield resized(picture(frame), size)
