"""Something-Something v2: the publisher's JSON, or plain-text lists; coarse groups of labels where their map is there.

From ROOT, ROOT/labels or ROOT/annotations, the first of these that is there:

* `labels.json` (`{"template without brackets": "index"}`) with `train.json`, `validation.json` (objects with `id`,
  `template`) and `test.json` (objects with `id`: label -1, split test). A name may stand before, such as
  `something-something-v2-train.json`.
* `*train-processed.txt` and `*validation-processed.txt` (lines `id first_frame frames class`) with
  `fine_grained_classes.csv` (`class_index,class_name`).

`fine_to_coarse.csv` (columns fine_grained_class, coarse_grained_class) gives each label its coarse group. Videos are
`<id>.webm` (or mp4, or a folder of frames) in ROOT, ROOT/videos or ROOT/20bn-something-something-v2. JSON is read entry
by entry. v2 names no source or worker, so each video is a group of its own. There is one official split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondlook.datasets import _annotations
from secondlook.datasets._annotations import first_folder, whole
from secondlook.datasets._listing import Listing, directional, row
from secondlook.datasets._paths import Files, dataset_root, tame
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from secondlook.tables import UNLABELLED

_FOLDERS = ("", "labels", "annotations")
_VIDEO_FOLDERS = ("20bn-something-something-v2", "videos", "")
_SPLIT_OF = {"train": "train", "validation": "val", "test": "test"}


def read(root: Path, split: str = "") -> Listing:
    """Lists the videos of all parts.

    Args:
        root: folder with the lists and the videos.
        split: must be empty.

    Raises:
        MissingFile: if the lists are not there.
        BadValue: if an entry is malformed, or a split is asked for.
        UnknownName: if a template is not among the labels.
    """
    root = dataset_root(root)
    if split:
        raise BadValue(split, "something_something has one official split", "Leave --split out.")
    named, groups = label_files(root)
    folder, suffix = named.parent, ".json" if named.suffix == ".json" else "-processed.txt"
    parts = {part: path for part in _SPLIT_OF if (path := _one(folder, f"*{part}{suffix}")) is not None}
    if not parts:
        raise MissingFile(folder / f"train{suffix}", "The labels are there but no list of videos is.")
    labels = label_space(named, groups)
    listing = (named, *([groups] if groups else []), *parts.values())
    return Listing(labels, _rows(root, parts, labels), root, listing)


def labels_of(root: Path) -> LabelSpace:
    """The labels of a folder as its publisher ships it, with coarse groups where their map is there.

    Raises:
        MissingFile: if there is no list of labels.
        BadValue: as `label_space`.
        UnknownName: as `label_space`.
    """
    return label_space(*label_files(root))


def label_files(root: Path) -> tuple[Path, Path | None]:
    """The list of labels, and the map of groups if there is one.

    Raises:
        MissingFile: if there is no list of labels.
    """
    root = dataset_root(root)
    for pattern in ("*labels.json", "fine_grained_classes.csv"):
        folder = first_folder(root, _FOLDERS, pattern)
        named = _one(folder, pattern) if folder is not None else None
        if folder is not None and named is not None:
            return named, _one(folder, "fine_to_coarse.csv") or _one(root, "fine_to_coarse.csv")
    raise MissingFile(root / "labels.json", "Unpack the publisher's labels (labels.json, train.json, ...) there.")


def label_space(path: Path, groups: Path | None = None) -> LabelSpace:
    """The labels of `labels.json` or `fine_grained_classes.csv`, with the coarse groups of `fine_to_coarse.csv`.

    Raises:
        MissingFile: if a file is not there.
        BadValue: if indices are not 0..n-1, a label is there twice, or a label has not exactly one group.
        UnknownName: if the map of groups names a label that is not there.
    """
    labels = LabelSpace.from_names(_names(path), "something_something")
    if groups is not None:
        fine, coarse = "fine_grained_class", "coarse_grained_class"
        group_of = {fields[fine]: fields[coarse] for _, fields in _annotations.table(groups, (fine, coarse))}
        labels = labels.with_groups(group_of)
    return LabelSpace(labels.labels, labels.name, directional(labels.names))


def _names(path: Path) -> list[str]:
    name_of: dict[int, str] = {}
    for place, name, index in _indexed(path):
        number = whole(index, "class_index", place)
        if number in name_of:
            raise BadValue(name, f"{place} has the index of {name_of[number]!r}", "Number labels 0..n-1.")
        name_of[number] = name
    for number in range(len(name_of)):
        if number not in name_of:
            raise BadValue(number, f"no label of {path.name} has this index", "Number labels 0..n-1.")
    return [name_of[number] for number in range(len(name_of))]


def _indexed(path: Path) -> Iterator[tuple[str, str, str]]:
    if path.suffix != ".json":
        for place, fields in _annotations.table(path, ("class_index", "class_name")):
            yield place, fields["class_name"], fields["class_index"]
        return
    text = "\n".join(text for _, text in _annotations.lines(path))
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise BadValue(str(path), f"is not JSON ({error})", "Fetch it again.") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise BadValue(str(path), "must be a JSON object of label and index", 'Such as {"Holding something": "0"}.')
    for name, index in pairs:
        yield f"{path.name}, label {name!r}", name, str(index)


def _one(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.glob(pattern))), None)


def _rows(root: Path, parts: dict[str, Path], labels: LabelSpace) -> Iterator[dict[str, Any]]:
    disk = Files(root, _VIDEO_FOLDERS)
    for part, path in parts.items():
        entries = _json_entries if path.suffix == ".json" else _text_entries
        for video_id, label in entries(path, labels):
            at = disk.locate(f"{video_id}.webm")
            missing = () if at else ("missing", f"named in {path.name}, not on the disk")
            yield row(tame(video_id), at or f"{video_id}.webm", label, _SPLIT_OF[part], "", *missing)


def _json_entries(path: Path, labels: LabelSpace) -> Iterator[tuple[str, int]]:
    for place, entry in _annotations.array(path):
        if "id" not in entry:
            raise BadValue(place, "has no 'id'", "Every entry of the publisher's file has one.")
        template = entry.get("template")
        if template is None:
            yield str(entry["id"]), UNLABELLED
            continue
        try:
            yield str(entry["id"]), labels.index_of(str(template))
        except UnknownName as error:
            raise UnknownName("label", str(template), error.known, f"It stands in 'template' of {place}.") from None


def _text_entries(path: Path, labels: LabelSpace) -> Iterator[tuple[str, int]]:
    for place, text in _annotations.lines(path):
        fields = text.split()
        if len(fields) != 4:
            raise BadValue(text, f"{place} must be 'id first_frame frames class'")
        yield fields[0], whole(fields[3], "class", place, len(labels))
