"""Class folders of videos or of frame folders, with `meta.csv` and `splits/` where they lie beside them.

The class folders lie in `ROOT/videos/`, in `ROOT/` itself, or in `ROOT/train/`, `ROOT/val/` and `ROOT/test/` (then the
folder is the split). A video is a file whose name ends like one, or a folder that holds jpg or png frames; folders in
between are walked. Beside `videos/` may lie

* `splits/classes.txt`: class names in index order (else: class folders in alphabetical order). Clips of a folder that
  it does not name are kept with label -1, no split and a reason.
* `splits/<name>_train.txt`, `_val.txt`, `_test.txt`: lines `class/file.mp4 index`; `read(root, "<name>")` uses them.
  The index of the list is the label, even where the folder says another one. `splits/train.txt` ... are split "".
* `meta.csv`: column `file` (`class/file.mp4`), and `group` or `scene`: clips of one group are never split apart.

Files that a list or `meta.csv` names and the disk does not hold become rows with status `missing`. Lists and `meta.csv`
are held in memory while the rows are read; the class folders are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.datasets import _annotations
from secondlook.datasets._annotations import SPLIT_NAMES
from secondlook.datasets._listing import Listing, directional, row
from secondlook.datasets._paths import FRAME_SUFFIXES, VIDEO_SUFFIXES, dataset_root, tame, without_suffix
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.tables import UNLABELLED
from secondlook.video.listed_path import leaves_root

_GROUP_COLUMNS = ("group", "scene")


def read(root: Path, split: str = "") -> Listing:
    """Lists class folders.

    Args:
        root: the dataset's folder.
        split: name of the lists in `splits/` to use ("fold0" for `splits/fold0_train.txt`); empty: none, or the lists
            without a name.

    Raises:
        MissingFile: if there is no such folder.
        BadValue: if it holds no class folders, a class or a file is there twice, or a list is malformed.
        UnknownName: if there are no such lists.
    """
    root = dataset_root(root)
    notes: list[str] = []
    lists = _split_lists(root / "splits")
    if split not in lists and split:
        raise UnknownName("split", split, [name for name in lists if name], f"Lists are looked for in {root}/splits.")
    if lists and split not in lists:
        notes.append(f"splits/ holds {', '.join(sorted(lists))}; name one with --split to use it")
    parts = _parts(root)
    folders = sorted({name for _, part in parts for name in _subfolders(part)})
    names = _class_names(root) or [_readable(name) for name in folders]
    if not folders:
        cure = "It should hold a folder a class, with videos in it (or the same under videos/)."
        raise BadValue(str(root), "holds no class folders", cure)
    labels = LabelSpace.from_names(names, root.name, directional(names))
    listed, annotations = _listed(root, lists.get(split, {}), len(labels))
    used = f"splits/{split}_*.txt".replace("/_", "/") if split in lists else ""
    walk = _Walk(root, labels, listed, used, notes)
    return Listing(labels, walk.rows(parts), root, annotations, notes)


def _split_lists(folder: Path) -> dict[str, dict[str, Path]]:
    """Name of a set of lists -> split -> file."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.txt")):
        name, _, part = path.stem.rpartition("_")
        if part in SPLIT_NAMES:
            found.setdefault(name, {})[SPLIT_NAMES[part]] = path
    return found


def _parts(root: Path) -> list[tuple[str, Path]]:
    """Split and folder of each set of class folders; the split is empty where folders do not say it."""
    base = root / "videos" if (root / "videos").is_dir() else root
    names = _subfolders(base)
    if len(names) > 1 and all(name.lower() in SPLIT_NAMES for name in names):
        return [(SPLIT_NAMES[name.lower()], base / name) for name in names]
    return [("", base)]


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".") and e.name != "splits")


def _class_names(root: Path) -> list[str]:
    for path in (root / "splits" / "classes.txt", root / "classes.txt"):
        if path.is_file():
            return [text.strip() for _, text in _annotations.lines(path)]
    return []


def _readable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass
class _Listed:
    """What lists and `meta.csv` say about a file; found again by its name without suffix (it may be re-encoded)."""

    file: str
    label: int | None = None
    split: str = ""
    group: str = ""
    in_list: bool = False


def _listed(root: Path, lists: dict[str, Path], classes: int) -> tuple[dict[str, _Listed], tuple[Path, ...]]:
    listed: dict[str, _Listed] = {}
    for split, path in lists.items():
        for place, text in _annotations.lines(path):
            file, _, index = text.strip().rpartition(" ")
            if not file:
                raise BadValue(text, f"{place} must be 'class/file.mp4 index'")
            entry = listed.setdefault(without_suffix(file.strip()), _Listed(file.strip()))
            if entry.in_list:
                raise BadValue(file, f"{place} lists a file a second time", "Keep one line for each file.")
            entry.label, entry.split, entry.in_list = _annotations.whole(index, "index", place, classes), split, True
    meta = root / "meta.csv"
    if not meta.is_file():
        return listed, tuple(lists.values())
    column = next((c for c in _GROUP_COLUMNS if c in _annotations.header(meta)), "")
    for _, fields in _annotations.table(meta, ("file",)):
        file = fields["file"]
        listed.setdefault(without_suffix(file), _Listed(file)).group = fields[column] if column else ""
    return listed, (*lists.values(), meta)


@dataclass
class _Walk:
    """One walk through the class folders."""

    root: Path
    labels: LabelSpace
    listed: dict[str, _Listed]
    lists: str
    """How the lists in use are called; empty where there are none."""
    notes: list[str]
    left_out: int = 0
    first_left_out: str = ""

    def rows(self, parts: list[tuple[str, Path]]) -> Iterator[dict[str, Any]]:
        for split, base in parts:
            for name in _subfolders(base):
                for folder, stem, suffix in self._clips(base / name):
                    yield self._row(base, folder, stem, suffix, split)
        base = parts[0][1] if parts[0][0] == "" else parts[0][1].parent
        for entry in self.listed.values():  # the walk has taken out what it met
            yield self._missing(base, entry)
        if self.left_out:
            text = "1 entry that is" if self.left_out == 1 else f"{self.left_out} entries that are"
            self.notes.append(f"{text} not a video by name left out, such as {self.first_left_out}")

    def _clips(self, folder: Path) -> Iterator[tuple[Path, str, str]]:
        """Folder, stem and suffix of each clip in order of name; the suffix of a frame folder is empty."""
        stems: dict[str, str] = {}
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda e: e.name)
        for entry in ordered:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - a Path a file would cost as much as the walk
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                stem, suffix = entry.name, ""
                if not _holds_frames(entry.path):
                    if entry.is_symlink():  # may lead back up
                        self._leave_out(entry.path)
                    else:
                        yield from self._clips(Path(entry.path))
                    continue
            elif suffix.lower() not in VIDEO_SUFFIXES:
                self._leave_out(entry.path)
                continue
            if stem in stems:
                rule = f"two files of {folder.name}/ would share this id, {stems[stem]} and {entry.name}"
                raise BadValue(stem, rule, "Move one of them away, or rename it.")
            stems[stem] = entry.name
            yield folder, stem, suffix

    def _leave_out(self, path: str) -> None:
        self.first_left_out = self.first_left_out or _readable(str(Path(path).relative_to(self.root)))
        self.left_out += 1

    def _row(self, base: Path, folder: Path, stem: str, suffix: str, split: str) -> dict[str, Any]:
        inner = (folder / stem).relative_to(base).as_posix()
        path = (folder / (stem + suffix)).relative_to(self.root).as_posix()
        prefix = f"{base.name}/" if split else ""  # class folders inside train/, val/, test/
        entry = self.listed.pop(prefix + inner, None) or _Listed(inner + suffix)
        label, reason = entry.label, ""
        if label is None:
            label = self._label_of_folder(inner)
        if label == UNLABELLED:
            reason = f"{_readable(inner.split('/')[0])!r} is not in classes.txt"
        elif self.lists and not entry.in_list:
            reason = f"not in {self.lists}"
        status = "unchecked"
        if path != _readable(path):
            path, status, reason = "", "unreadable", f"the file name is not UTF-8: {_readable(path)}; rename the file"
        split = "" if label == UNLABELLED else entry.split if self.lists else split
        return row(tame(prefix + inner), path, label, split, entry.group, status, reason)

    def _missing(self, base: Path, entry: _Listed) -> dict[str, Any]:
        path = entry.file if leaves_root(entry.file) else (base / entry.file).relative_to(self.root).as_posix()
        label = self._label_of_folder(entry.file) if entry.label is None else entry.label
        reason = f"named in {self.lists if entry.in_list else 'meta.csv'}, not on the disk"
        video_id = tame(without_suffix(entry.file))
        return row(video_id, path, label, entry.split, entry.group, "missing", reason)

    def _label_of_folder(self, inner: str) -> int:
        try:
            return self.labels.index_of(_readable(inner.split("/")[0]))
        except UnknownName:
            return UNLABELLED


def _holds_frames(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in FRAME_SUFFIXES for entry in entries)
