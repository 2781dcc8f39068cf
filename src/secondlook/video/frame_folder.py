"""Folders of numbered pictures that may hold several modalities: RGB, flow in x and y, pose.

`img_00001.jpg`, `flow_x_00001.jpg`, `flow_y_00001.jpg`, `pose_00001.jpg` side by side, as most two-stream code writes
them (late-temporal-bert, 2.8); or flow in sub-folders `flow_x/` and `flow_y/`, or `x/` and `y/`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from secondlook.errors import BadValue, MissingFile
from secondlook.video.clip import Size

Kind = Literal["rgb", "flow", "pose"]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_NUMBERED = re.compile(r"(img_|flow_x_|flow_y_|pose_)(\d+)(\.\w+)$", re.IGNORECASE)
_X, _Y = "flow_x", "flow_y"
_SUB_FOLDERS = ((_X, _Y), ("x", "y"))


@dataclass(frozen=True)
class Frames:
    """The frames of one modality of a folder."""

    kind: Kind
    files: tuple[tuple[Path, ...], ...]
    """One entry a frame, in order: its picture; for flow its two, x and y."""
    missing: str
    """Name of the first picture that should be there and is not; empty if none is."""


def frames_of(folder: Path, kind: Kind | None = None) -> Frames:
    """What a folder holds of one modality.

    Pictures are in natural order of their names (`frame2` before `frame10`); hidden files are left out. Where a folder
    holds several modalities, its frames are those that are neither flow nor pose. A picture is missing where a flow_x
    has no flow_y, or the other way round, and where the numbers behind `img_`, `flow_x_`, `flow_y_` or `pose_` leave
    one out; pictures with other names may be numbered as they like.

    Args:
        folder: where the pictures lie.
        kind: which modality; None for RGB where there is any, else flow, else pose.
    """
    names = _names(folder)
    across = [n for n in names if n.lower().startswith(_X)]
    down = [n for n in names if n.lower().startswith(_Y)]
    pose = [n for n in names if n.lower().startswith("pose_")]
    other = [n for n in names if n not in {*across, *down, *pose}]
    if not across and not down and (kind == "flow" or not names):
        for x, y in _SUB_FOLDERS:
            if (folder / x).is_dir() and (folder / y).is_dir():
                across = [f"{x}/{n}" for n in _names(folder / x)]
                down = [f"{y}/{n}" for n in _names(folder / y)]
                break
    kind = kind or ("rgb" if other else "flow" if across or down else "pose" if pose else "rgb")
    if kind == "flow":
        return _flow(folder, across, down)
    chosen = pose if kind == "pose" else other
    return Frames(kind, tuple((folder / n,) for n in chosen), _gap(chosen))


def _flow(folder: Path, across: list[str], down: list[str]) -> Frames:
    """Flow frames by the part of their names that x and y share."""
    parts: tuple[dict[str, str], dict[str, str]] = (
        {_twin(n, "x"): n for n in across},
        {_twin(n, "y"): n for n in down},
    )
    shared = sorted({*parts[0], *parts[1]}, key=_natural)
    named = [tuple(part.get(s) or s.replace("*", axis) for axis, part in zip("xy", parts, strict=True)) for s in shared]
    alone = next((n for names in named for n, part in zip(names, parts, strict=True) if n not in part.values()), "")
    missing = alone or _gap([names[0] for names in named])
    return Frames("flow", tuple(tuple(folder / n for n in names) for names in named), missing)


def _twin(name: str, axis: str) -> str:
    """A name with `*` where it says x or y."""
    if name.lower().startswith(f"flow_{axis}"):
        return f"{name[:5]}*{name[6:]}"
    return f"*{name[1:]}"


def read(folder: str | Path, kind: Kind = "rgb", size: Size | None = None) -> npt.NDArray[np.uint8]:
    """Every frame of one modality of a folder: `frames_THWC`, RGB; for flow the channels are x, y and 128.

    Raises:
        MissingFile: if the folder is not there, or a picture is missing; names it.
        BadValue: if there is no frame, a picture cannot be read, or they differ in size.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(folder, "Give a folder of pictures.")
    found = frames_of(folder, kind)
    if found.missing:
        raise MissingFile(folder / found.missing, f"The folder holds other {kind} pictures, so this one is missing.")
    if not found.files:
        raise BadValue(str(folder), f"is a folder without {kind} pictures")
    frames: list[npt.NDArray[np.uint8]] = []
    for files in found.files:
        try:
            picture_HWC = resized(picture(files), size or Size())
        except (OSError, ValueError, SyntaxError) as error:
            raise BadValue(str(files[0]), f"cannot be read ({error})") from None
        if frames and picture_HWC.shape != frames[0].shape:
            raise BadValue(str(files[0]), "has another size than the pictures before it")
        frames.append(picture_HWC)
    return np.stack(frames)


def picture(files: tuple[Path, ...]) -> Image.Image:
    """One frame as it is shown, RGB; two files are x and y of a flow and become red and green, with 128 for blue.

    Raises:
        ValueError: if x and y differ in size; OSError and others of Pillow's if a file is no picture.
    """
    if len(files) == 1:
        with Image.open(files[0]) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    x, y = (picture((path,)).convert("L") for path in files)
    if x.size != y.size:
        raise ValueError(f"{files[1].name} has another size than {files[0].name}")
    return Image.merge("RGB", (x, y, Image.new("L", x.size, 128)))


def resized(picture: Image.Image, size: Size) -> npt.NDArray[np.uint8]:
    """The pixels of a picture at the working size."""
    height, width = size.of(picture.height, picture.width)
    if (height, width) != (picture.height, picture.width):
        # `reducing_gap` shrinks by whole factors first: quicker, and still averages every pixel.
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(picture)


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        found = [e.name for e in entries if e.is_file() and e.name.lower().endswith(SUFFIXES) and e.name[0] != "."]
    return sorted(found, key=_natural)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name


def _gap(names: list[str]) -> str:
    """The first name that a row of numbers leaves out; empty if it leaves out none."""
    before: tuple[str, int] | None = None
    for name in names:
        match = _NUMBERED.match(name)
        if match is None:
            before = None
            continue
        prefix, digits, suffix = match.groups()
        if before is not None and before[0] == prefix and int(digits) > before[1] + 1:
            return f"{prefix}{before[1] + 1:0{len(digits)}d}{suffix}"
        before = prefix, int(digits)
    return ""
