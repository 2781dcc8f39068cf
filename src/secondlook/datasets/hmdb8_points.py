"""HMDB51's eight classes as data points of 16 grey frames, several a video, no video in two splits.

`layerwise-relevance`, section 1 (Uppsala University, 2020). A data point is a folder of 16 grey pictures, 50 or 100
pixels a side: frames of one video, every 3rd, 4th, 5th or 6th by its length. Its name is `vc`, the letter of its class,
the number of its video (1000 to 9999), `_` and the index of its first frame: `vcF1012_2`. `make` writes them from class
folders of videos; `read` lists them. The group of a data point is its video, so that no two points of one video are
ever in two splits; splits are dealt out by `secondlook index --splits 69/16/15`.

Departs: the source gives the classes' files (1078), the points (1687 + 382 + 363) and the rule of their names, but not
which length takes which step, how many points a video gives, or how videos are numbered. Here the step is the largest
of 3 to 6 with which 16 frames fit; points start at frames 0, 1, 2, as far as the last frame allows; videos of a class
are numbered from 1000 in the order of their names. Its splits cannot be had again without its list.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondlook.datasets import _annotations
from secondlook.datasets._listing import Listing, row
from secondlook.datasets._paths import VIDEO_SUFFIXES, dataset_root, frame_files, tame
from secondlook.errors import BadValue, SecondlookError
from secondlook.labels import LabelSpace
from secondlook.video.clip import Size
from secondlook.video.walk import Walk

CLASSES = {
    "fall": "F", "hug": "H", "jump": "J", "punch": "P", "run": "R", "smoke": "S", "throw": "T", "wave": "W",
}  # fmt: skip
"""Class -> its letter."""
FRAMES = 16
STEPS = (3, 4, 5, 6)
FIRST_NUMBER, LAST_NUMBER = 1000, 9999
SPLITS = "69/16/15"
"""Shares of the source's 1687, 382 and 363 points."""
LIST = "points.csv"
"""What `make` writes beside the points: name, video, first frame, step, status, reason."""
_NAME = re.compile(r"(vc([FHJPRSTW])([1-9]\d{3}))_(\d+)")
_COLUMNS = ("name", "video", "offset", "step", "status", "reason")


def read(root: Path, split: str = "") -> Listing:
    """Lists data points: folders of pictures that are named by the rule, in ROOT itself or in folders a class.

    Args:
        root: folder that `make` wrote.
        split: must be empty: there are no published splits.

    Raises:
        MissingFile: if there is no such folder.
        BadValue: if it holds no data points, or a split is asked for.
    """
    root = dataset_root(root)
    if split:
        raise BadValue(split, "the source's splits are not published", f"Give --splits {SPLITS} instead.")
    labels = LabelSpace.from_names(list(CLASSES), "hmdb8_points")
    notes: list[str] = []
    found = sorted((path for path in _folders(root) if _NAME.fullmatch(path.name)), key=lambda path: path.name)
    if not found:
        cure = "Make them of the class folders of HMDB51: secondlook.datasets.hmdb8_points.make(folder, target)."
        raise BadValue(str(root), "holds no data points (folders such as vcF1012_2)", cure)
    listed = root / LIST
    return Listing(labels, _rows(root, found, notes), root, (listed,) if listed.is_file() else (), notes)


def make(
    root: Path, target: Path, *, side: int = 100, most: int = 3, advance: Callable[[], object] = lambda: None
) -> Path:
    """Writes the data points of class folders of videos, `ROOT/fall/*.avi` and so on, and `points.csv`.

    A video of fewer than 46 frames, or one that cannot be read, gives no point and a line with a status. Points that
    are there whole are not made again.

    Args:
        root: folder that holds at least one of the eight class folders; other folders are left alone.
        target: folder to write to.
        side: height and width of the frames (50 or 100 in the source).
        most: greatest number of points a video.
        advance: called after each video.

    Returns:
        `points.csv`.

    Raises:
        MissingFile: if there is no such folder.
        BadValue: if it holds none of the class folders, a class has too many videos to be numbered, or a number is
            below 1.
    """
    root = dataset_root(root)
    if side < 1 or most < 1:
        raise BadValue((side, most), "the side of a frame and the number of points must be at least 1")
    folders = [root / name for name in CLASSES if (root / name).is_dir()]
    if not folders:
        raise BadValue(str(root), f"holds none of the class folders {', '.join(CLASSES)}")
    lines: list[tuple[Any, ...]] = []
    for folder in folders:
        videos = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".")
        )
        if len(videos) > LAST_NUMBER - FIRST_NUMBER + 1:
            raise BadValue(len(videos), f"videos of {folder.name} cannot be numbered {FIRST_NUMBER} to {LAST_NUMBER}")
        for number, video in enumerate(videos, FIRST_NUMBER):
            lines += _make(video, f"vc{CLASSES[folder.name]}{number}", target / folder.name, side, most)
            advance()
    target.mkdir(parents=True, exist_ok=True)
    part = target / f"{LIST}.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *lines])
    return part.replace(target / LIST)


def step_of(frame_count: int) -> int:
    """Distance between two frames of a point: the largest of 3 to 6 with which 16 frames fit; 0 where none does."""
    return max((step for step in STEPS if (FRAMES - 1) * step < frame_count), default=0)


def offsets_of(frame_count: int, most: int = 3) -> range:
    """First frames of the points of a video: 0, 1, ..., as far as the last frame allows."""
    step = step_of(frame_count)
    return range(min(most, frame_count - (FRAMES - 1) * step) if step else 0)


def indices(offset: int, step: int) -> npt.NDArray[np.int64]:
    """Frames of a point: `offset + step t`, t from 0 to 15."""
    return offset + step * np.arange(FRAMES, dtype=np.int64)


def _make(video: Path, name: str, folder: Path, side: int, most: int) -> Iterator[tuple[Any, ...]]:
    """The lines of one video; its points are written. It is walked through twice, so that no frame is kept."""
    listed = f"{video.parent.name}/{tame(video.name)}"
    try:
        with Walk(video, Size(height=side, width=side)) as walk:
            frame_count = sum(1 for _ in walk.frames())
        offsets, step = offsets_of(frame_count, most), step_of(frame_count)
        if not offsets:
            reason = f"{frame_count} frames, {(FRAMES - 1) * STEPS[0] + 1} are needed"
            yield name, listed, "", "", "excluded", reason
            return
        wanted: dict[int, list[tuple[int, int]]] = {}
        for offset in offsets:
            for t, index in enumerate(indices(offset, step).tolist()):
                wanted.setdefault(index, []).append((offset, t))
        if not all(_whole(folder / f"{name}_{offset}", side) for offset in offsets):
            with Walk(video, Size(height=side, width=side)) as walk:
                for shown in walk.frames():
                    for offset, t in wanted.get(shown.index, ()):
                        _write(folder / f"{name}_{offset}" / f"{t:02d}.png", shown.frame_HWC)
    except SecondlookError as error:
        yield name, listed, "", "", "unreadable", str(error)
        return
    for offset in offsets:
        yield f"{name}_{offset}", listed, offset, step, "ok", ""


def _write(path: Path, frame_HWC: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame_HWC).convert("L").save(path)


def _whole(folder: Path, side: int) -> bool:
    if not folder.is_dir() or len(list(frame_files(folder))) != FRAMES:
        return False
    with Image.open(folder / f"{FRAMES - 1:02d}.png") as last:
        return last.size == (side, side)


def _folders(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield path
            yield from (inner for inner in path.iterdir() if path.name in CLASSES and inner.is_dir())


def _rows(root: Path, points: list[Path], notes: list[str]) -> Iterator[dict[str, Any]]:
    class_of = {letter: number for number, letter in enumerate(CLASSES.values())}
    for path in points:
        name = _NAME.fullmatch(path.name)
        assert name is not None
        frames = sum(1 for _ in frame_files(path))
        problem = () if frames == FRAMES else ("excluded", f"{frames} frames, a data point has {FRAMES}")
        yield row(path.name, path.relative_to(root).as_posix(), class_of[name[2]], "", name[1], *problem)
    listed = root / LIST
    if listed.is_file():
        left_out = sum(fields["status"] != "ok" for _, fields in _annotations.table(listed, _COLUMNS))
        if left_out:
            notes.append(f"{left_out} videos gave no data point; {LIST} says why")
