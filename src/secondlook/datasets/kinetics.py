"""Kinetics-400, -600, -700 and manifests like theirs: CSV with label, youtube_id, time_start, time_end, split.

Every `*.csv` of ROOT or ROOT/annotations with a `youtube_id` column is read, in order of name; an empty or absent label
gives label -1. Videos are `<youtube_id>_<start>_<end>.mp4` (seconds, six digits each), in class folders or flat, in
ROOT, ROOT/videos, or a folder named as the split there; a space in a class folder's name may be an underscore. Files
that the disk does not hold become rows with status `missing`: of Kinetics, many are. The group of a clip is its YouTube
id.

Classes are in the order of `classes.txt` in ROOT or ROOT/annotations, else in alphabetical order of the CSV files'
labels. There is one official split; `read` takes no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondlook.datasets import _annotations
from secondlook.datasets._annotations import SPLIT_NAMES
from secondlook.datasets._listing import Listing, directional, row
from secondlook.datasets._paths import Files, dataset_root, tame
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from secondlook.tables import UNLABELLED

_FOLDERS = ("", "annotations")
_REQUIRED = ("youtube_id", "time_start", "time_end")
_VIDEO_FOLDERS = ("videos", "")


def read(root: Path, split: str = "") -> Listing:
    """Lists the clips of all CSV files.

    Args:
        root: folder with the CSV files and the videos.
        split: must be empty.

    Raises:
        MissingFile: if there is no such CSV file.
        BadValue: if a line is malformed, or a split is asked for.
        UnknownName: if a label is not in `classes.txt`, or a split has an unknown name.
    """
    root = dataset_root(root)
    if split:
        rule = "kinetics has one official split, in its CSV files"
        raise BadValue(split, rule, "Leave --split out; rows of all parts are listed with their split.")
    found = [path for folder in _FOLDERS for path in sorted((root / folder).glob("*.csv"))]
    files = tuple(path for path in found if "youtube_id" in _annotations.header(path))
    if not files:
        cure = f"Put the publisher's CSV files there (columns label, {', '.join(_REQUIRED)}, split)."
        raise MissingFile(root / "train.csv", cure)
    names = _class_names(root, files)
    labels = LabelSpace.from_names(names, root.name, directional(names))
    return Listing(labels, _rows(root, files, labels), root, files)


def _class_names(root: Path, files: tuple[Path, ...]) -> list[str]:
    for folder in _FOLDERS:
        path = root / folder / "classes.txt"
        if path.is_file():
            return [text.strip() for _, text in _annotations.lines(path)]
    seen = {fields.get("label", "") for path in files for _, fields in _annotations.table(path, _REQUIRED)}
    return sorted(seen - {""})


def _rows(root: Path, files: tuple[Path, ...], labels: LabelSpace) -> Iterator[dict[str, Any]]:
    disk = Files(root, _VIDEO_FOLDERS)
    for path in files:
        for place, fields in _annotations.table(path, _REQUIRED):
            name, youtube_id = fields.get("label", ""), fields["youtube_id"]
            label = _label(name, labels, place) if name else UNLABELLED
            start, end = (_seconds(fields[column], column, place) for column in ("time_start", "time_end"))
            said = fields.get("split", "")
            if said and said.lower() not in SPLIT_NAMES:
                raise UnknownName("split", said, SPLIT_NAMES, f"It stands in column 'split' of {place}.")
            split = SPLIT_NAMES.get(said.lower(), "")
            video_id = f"{youtube_id}_{start:06d}_{end:06d}"
            names = [f"{folder}{video_id}.mp4" for folder in _folders(name, said, split)]
            at = disk.locate(*names)
            missing = () if at else ("missing", f"named in {path.name}, not on the disk")
            yield row(tame(video_id), at or names[0], label, split, youtube_id, *missing)


def _folders(name: str, said: str, split: str) -> list[str]:
    """Folders a clip may lie in: by class, flat, or either inside a folder named as its split."""
    by_class = [f"{name}/", f"{name.replace(' ', '_')}/"] if name else []
    parts = [f"{part}/" for part in (said, split) if part]
    return list(dict.fromkeys([*by_class, "", *(part + inner for part in parts for inner in (*by_class, ""))]))


def _label(name: str, labels: LabelSpace, place: str) -> int:
    try:
        return labels.index_of(name)
    except UnknownName as error:
        raise UnknownName("label", name, error.known, f"It stands in column 'label' of {place}.") from None


def _seconds(text: str, column: str, place: str) -> int:
    try:
        return _annotations.whole(str(int(float(text))), column, place)
    except (ValueError, OverflowError):
        raise BadValue(text, f"column {column!r} of {place} must be a number of seconds") from None
