"""UCF101 with its three official splits (Soomro et al., CRCV-TR-12-01, 2012); no validation set.

Reads the publisher's lists, `trainlist0<k>.txt` (lines `Class/file.avi index`, from 1), `testlist0<k>.txt` (lines
`Class/file.avi`) and `classInd.txt`, or the same two lists with tab-separated lines `number class Class/file.avi`
(from 0). They lie in ROOT, ROOT/splits, ROOT/annotations or ROOT/ucfTrainTestlist; class folders of videos in ROOT,
ROOT/videos or ROOT/UCF-101. Split 1 has 9,537 training and 3,783 test clips. `read(root)` without a split takes split
1.

The group of a clip is its source video: the file name up to `_g07`; clips `_c01`, `_c02` ... are cut from it.
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
from secondlook.errors import MissingFile, UnknownName
from secondlook.labels import LabelSpace

SPLITS = ("1", "2", "3")
_LIST_FOLDERS = ("", "splits", "annotations", "ucfTrainTestlist")
_VIDEO_FOLDERS = ("videos", "UCF-101", "UCF101", "")


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
    folder = _annotations.first_folder(root, _LIST_FOLDERS, f"trainlist0{split}.txt")
    if folder is None:
        cure = "The lists are at the dataset's home page as UCF101TrainTestSplits; unpack them into this folder."
        raise MissingFile(root / f"trainlist0{split}.txt", cure)
    files = (folder / f"trainlist0{split}.txt", folder / f"testlist0{split}.txt")
    names = class_order(folder / "classInd.txt", files)
    labels = LabelSpace.from_names(names, "ucf101", directional(names))
    return Listing(labels, _rows(root, files, names), root, files)


def source_video(file: str) -> str:
    """Name of the source video of a clip: its file name up to `_g07`; the whole name if it has no such part."""
    name = without_suffix(file.rpartition("/")[2])
    found = re.fullmatch(r"(.+_g\d+)_c\d+", name)
    return found[1] if found else name


def _rows(root: Path, files: tuple[Path, Path], names: list[str]) -> Iterator[dict[str, Any]]:
    disk = Files(root, _VIDEO_FOLDERS)
    for list_file, split in zip(files, ("train", "test"), strict=True):
        for _, label, file in numbered_clips(list_file, names):
            path = disk.locate(file)
            missing = () if path else ("missing", "named in the official lists, not on the disk")
            yield row(tame(without_suffix(file)), path or file, label, split, source_video(file), *missing)
