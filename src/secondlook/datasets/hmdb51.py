"""HMDB51 with its three official splits (Kuehne et al., ICCV 2011); no validation set.

Reads the publisher's lists, `<class>_test_split<k>.txt` with lines `file.avi 0|1|2` (neither, train, test), or the same
as three files, `hmdb51_split<k>_{train,test,others}.txt` with tab-separated lines `number class class/file.avi` and
`mapping_table.txt`. They lie in ROOT, ROOT/splits, ROOT/annotations or ROOT/testTrainMulti_7030_splits; class folders
of videos in ROOT, ROOT/videos or ROOT/hmdb51_org. A split has 3,570 training and 1,530 test clips; the other 1,666
clips come with an empty split. `read(root)` without a split takes split 1.

The group of a clip is its source video: the file name up to the camera attributes (`..._h_cm_np1_le_goo_3`). A film
seen under two classes counts as two sources, since its name holds the class: by the bare film name, about a tenth of
the sources are in both parts of an official split (133 of 1,407 in split 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondlook.datasets import _annotations
from secondlook.datasets._listing import Listing, directional, row
from secondlook.datasets._numbered import class_order, numbered_clips
from secondlook.datasets._paths import Files, dataset_root, tame, without_suffix
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace

SPLITS = ("1", "2", "3")
_LIST_FOLDERS = ("", "splits", "annotations", "testTrainMulti_7030_splits", "test_train_splits")
_VIDEO_FOLDERS = ("videos", "hmdb51_org", "hmdb51", "")
_SOURCE = re.compile(r"(.+)_[fuhl]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+")
_PART_OF = {"0": "", "1": "train", "2": "test"}


def read(root: Path, split: str = "") -> Listing:
    """Lists the clips of one official split.

    Args:
        root: folder with the lists, and the videos where there are any.
        split: "1", "2" or "3"; empty: "1".

    Raises:
        MissingFile: if the lists are not there.
        BadValue: if a list is malformed.
        UnknownName: if there is no such split.
    """
    root, split = dataset_root(root), split or "1"
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    folder = _annotations.first_folder(root, _LIST_FOLDERS, f"hmdb51_split{split}_train.txt")
    if folder is not None:
        files = tuple(folder / f"hmdb51_split{split}_{part}.txt" for part in ("train", "test", "others"))
        names = class_order(folder / "mapping_table.txt", files)
        clips = _joined(files, names)
    else:
        folder = _annotations.first_folder(root, _LIST_FOLDERS, f"*_test_split{split}.txt")
        if folder is None:
            cure = "The lists are at the dataset's home page as test_train_splits; unpack them into this folder."
            raise MissingFile(root / f"<class>_test_split{split}.txt", cure)
        files = tuple(sorted(folder.glob(f"*_test_split{split}.txt")))
        names = [path.name.removesuffix(f"_test_split{split}.txt") for path in files]
        clips = _by_class(files, names)
    labels = LabelSpace.from_names(names, "hmdb51", directional(names))
    return Listing(labels, _rows(root, clips), root, tuple(path for path in files if path.is_file()))


def source_video(file: str) -> str:
    """Name of the source video of a clip: its file name up to the camera attributes; the whole name if it has none."""
    name = without_suffix(file.rpartition("/")[2])
    found = _SOURCE.fullmatch(name)
    return found[1] if found else name


def _joined(files: tuple[Path, ...], names: list[str]) -> Iterator[tuple[int, str, str]]:
    for path, part in zip(files, ("train", "test", ""), strict=True):
        if part or path.is_file():
            for _, label, file in numbered_clips(path, names):
                yield label, part, file


def _by_class(files: tuple[Path, ...], names: list[str]) -> Iterator[tuple[int, str, str]]:
    for label, (path, name) in enumerate(zip(files, names, strict=True)):
        for place, text in _annotations.lines(path):
            file, _, part = text.strip().rpartition(" ")
            if part not in _PART_OF or not file:
                raise BadValue(text.strip(), f"{place} must be 'file.avi' and 0, 1 (train) or 2 (test)")
            yield label, _PART_OF[part], f"{name}/{file.strip()}"


def _rows(root: Path, clips: Iterator[tuple[int, str, str]]) -> Iterator[dict[str, Any]]:
    disk = Files(root, _VIDEO_FOLDERS)
    for label, split, file in clips:
        path = disk.locate(file)
        missing = () if path else ("missing", "named in the official lists, not on the disk")
        yield row(tame(without_suffix(file)), path or file, label, split, source_video(file), *missing)
