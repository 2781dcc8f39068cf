"""The videos tables that a study runs on: drawn sets, real clips in folders, tables that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from secondlook import catalog, tables
from secondlook.datasets import IndexSettings, index_videos
from secondlook.errors import BadValue, MissingFile
from secondlook.study.plan import DataSet
from secondlook.study.toy import TOYS, draw_toy

_DRAWN_SPLITS = "60/0/40"


def drawn_set(name: str, folder: Path, *, scenes: int = 0, advance: Callable[[int], object] | None = None) -> DataSet:
    """A set drawn by code: its clips and its table lie in `folder`, shared by all studies there."""
    root, videos = folder / name, folder / f"{name}.parquet"
    before = (root / "clips.jsonl").stat().st_mtime_ns if (root / "clips.jsonl").is_file() else None
    draw_toy(root, name, scenes=scenes, advance=advance)
    if (root / "clips.jsonl").stat().st_mtime_ns != before or not videos.is_file():
        index_videos(root, "drawn", videos, IndexSettings(splits=_DRAWN_SPLITS))
    return DataSet(name, "", videos, folder / f".frames-{name}")


def folder_set(name: str, root: Path, dataset: str, folder: Path, splits: Sequence[str] = ()) -> list[DataSet]:
    """Real clips: one set for each published split that is asked for, the first one there is when none is.

    Raises:
        MissingFile: if there is no such folder.
    """
    if not root.is_dir():
        raise MissingFile(root, f"It should hold the clips of {name}.")
    found = []
    for split in splits or _first_split(root, dataset):
        videos = folder / (f"{name}-{split}.parquet" if split else f"{name}.parquet")
        if not videos.is_file():
            settings = IndexSettings(split=split) if split else IndexSettings(splits="70/0/30")
            index_videos(root, dataset, videos, settings)
        found.append(DataSet(name, split, videos, folder / f".frames-{name}"))
    return found


def reader_of(dataset: str) -> str:
    """The reader of a study's dataset: its own, that of Kinetics, or `folder`."""
    if dataset.startswith("kinetics"):
        return "kinetics"
    return dataset if dataset in catalog.names("datasets") else "folder"


def _first_split(root: Path, dataset: str) -> list[str]:
    if dataset != "folder":
        return ["1"] if dataset in ("hmdb51", "ucf101") else [""]
    there = sorted(p.name.removesuffix("_train.txt") for p in (root / "splits").glob("*_train.txt"))
    folds = [name for name in there if name.startswith(("fold", "scenefold"))]
    return (folds or there or [""])[:1]


def table_set(videos: Path, folder: Path) -> DataSet:
    """A videos table that is there already; it needs a train and a test split.

    Raises:
        MissingFile: if it is not there.
        BadValue: if it is no videos table, or lacks a split.
    """
    splits = set(tables.read(tables.VIDEOS, videos, ["split"])["split"].to_pylist())
    if lacking := {"train", "test"} - splits:
        rule = f"has no split {' and no split '.join(sorted(lacking))}"
        raise BadValue(str(videos), rule, "Index it with --split or --splits 70/0/30.")
    return DataSet(videos.stem, "", videos, folder / f".frames-{videos.stem}")


def given_folders(texts: Sequence[str]) -> Mapping[str, Path]:
    """`["egogestar=/data/egogestar"]` as a mapping.

    Raises:
        BadValue: if one is written otherwise.
    """
    found = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or "/" in name:
            raise BadValue(text, "a set is given as NAME=FOLDER", "For example --data egogestar=data/egogestar.")
        if name in TOYS:
            raise BadValue(name, "is drawn by code and takes no folder", "Leave its folder out.")
        found[name] = Path(path)
    return found
