"""Reassessed sets for other programs (JSON, CSV, Parquet, k-hot array); worker table and re-post list as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.reassess._sets import Reassessed
from secondlook.whole_files import whole

FORMATS = (".json", ".csv", ".npy", ".parquet")
REPOST_COLUMNS = ("video_id", "rule", "approved", "answers")


def check_formats(paths: Iterable[str | Path]) -> None:
    """Raises BadValue if a file's ending names no format."""
    for path in paths:
        if Path(path).suffix.lower() not in FORMATS:
            raise BadValue(
                str(path), f"an export must end in {', '.join(FORMATS)}", "Name it labels.json, for example."
            )


def read_videos(path: str | Path, labels: pa.Table, space: LabelSpace) -> pa.Table:
    """The videos table that rows of the labels table belong to.

    Raises:
        BadValue: if it has another label space, or lacks a reassessed video.
    """
    videos = tables.read(tables.VIDEOS, path)
    if tables.label_space(videos).names != space.names:
        raise BadValue(str(path), "has other labels than the answers", "Give the videos that were audited.")
    lost = set(labels["video_id"].to_pylist()) - set(videos["video_id"].to_pylist())
    if lost:
        raise BadValue(min(lost), f"was reassessed but is not in {path}", "Give the videos that were audited.")
    return videos


def write_sets(labels: pa.Table, space: LabelSpace, path: str | Path, videos: pa.Table | None = None) -> int:
    """Writes the label sets in the format that the file's ending names; gives how many videos it holds.

    * `.json`: a list of lists of label indices in video order, as ReaL labels are kept (L. Beyer et al., "Are we done
      with ImageNet?", 2020).
    * `.csv`: video_id, given label, labels by name separated by `|`, rule.
    * `.parquet`: video_id, given label, labels (a list of names), indices (a list), rule; plain Parquet.
    * `.npy`: uint8 `N x K`, 1 where the label is in the set; read it with `numpy.load(path, allow_pickle=False)`.

    Args:
        labels: rows of the labels table.
        space: what label indices mean.
        path: file to write.
        videos: what `read_videos` gave: the export then holds its videos in its order, those that were not reassessed
            with their given label (rule "given"). Without it: the reassessed videos in the order of `labels`.

    Raises:
        BadValue: if the ending names no format.
    """
    check_formats([path])
    path = Path(path)
    names = ("video_id", "given_label", "rule")
    columns = [labels[name].to_pylist() for name in names]
    rows = list(zip(*columns, tables.lists(labels, "labels"), strict=True))
    if videos is not None:
        found = {row[0]: row for row in rows}
        given = zip(videos["video_id"].to_pylist(), videos["label"].to_pylist(), strict=True)
        rows = [found.get(v, (v, y, "given", [y] if y != tables.UNLABELLED else [])) for v, y in given]
    with whole(path) as part:
        if path.suffix.lower() == ".json":
            part.write_text(json.dumps([row[3] for row in rows]) + "\n", encoding="utf-8")
        elif path.suffix.lower() == ".csv":
            _write_csv(
                part,
                ("video_id", "given_label", "labels", "rule"),
                ((v, _name(space, y), "|".join(space.names[i] for i in found), rule) for v, y, rule, found in rows),
            )
        elif path.suffix.lower() == ".parquet":
            pyarrow.parquet.write_table(_as_table(rows, space), part, compression="zstd")
        else:
            k_hot_NK = np.zeros((len(rows), len(space)), np.uint8)
            for n, row in enumerate(rows):
                k_hot_NK[n, row[3]] = 1
            with part.open("wb") as file:
                np.save(file, k_hot_NK, allow_pickle=False)
    return len(rows)


def write_labels(
    result: Reassessed, labels: LabelSpace, path: str | Path, settings: Mapping[str, Any], inputs: Mapping[str, str]
) -> None:
    """The labels table with how it was made: the rule and its options as given, and the fingerprint of the answers."""
    made = tables.provenance("reassess", settings) | {
        "inputs": dict(inputs),
        "label_space": labels.to_dict(),
        "rules": dict(result.settings),
    }
    tables.write(tables.LABELS, result.labels, path, made)


def write_workers(result: Reassessed, path: str | Path) -> None:
    """The worker table as CSV, by pseudonym."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pyarrow.csv.write_csv(result.workers, path)


def write_repost(result: Reassessed, path: str | Path) -> None:
    """The videos to post again as CSV; `secondlook annotate repost` reads it."""
    failed = result.labels.filter(pa.compute.is_in(result.labels["video_id"], pa.array(result.failed, pa.string())))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    _write_csv(Path(path), REPOST_COLUMNS, zip(*(failed[name].to_pylist() for name in REPOST_COLUMNS), strict=True))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_probabilities(result: Reassessed, space: LabelSpace, path: str | Path) -> int:
    """How probable each label that was asked about is, as CSV or Parquet, with its name; gives the number of rows.

    Raises:
        BadValue: if the rule gives no probabilities, or the ending is neither .csv nor .parquet.
    """
    path = Path(path)
    found = result.probabilities
    if found is None:
        raise BadValue(
            result.settings["rule"], "gives label sets and no probabilities", "Use --rule dawid_skene, glad or mace."
        )
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise BadValue(str(path), "probabilities are a .csv or .parquet file", "Name it probabilities.csv.")
    names = pa.array([space.names[label] for label in found["label"].to_pylist()], pa.string())
    table = found.add_column(2, "label_name", names)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def _as_table(rows: Sequence[Sequence[object]], space: LabelSpace) -> pa.Table:
    video_ids, given, rules, sets = zip(*rows, strict=True) if rows else ((), (), (), ())
    named = [[space.names[label] for label in found] for found in sets]
    return pa.table(
        {
            "video_id": pa.array(video_ids, pa.string()),
            "given_label": pa.array([_name(space, label) for label in given], pa.string()),
            "labels": pa.array(named, pa.list_(pa.string())),
            "indices": pa.array(sets, pa.list_(pa.int32())),
            "rule": pa.array(rules, pa.string()),
        }
    )


def _name(space: LabelSpace, label: int) -> str:
    return "" if label == tables.UNLABELLED else space.names[label]
