"""Prediction tables as they come in: only the video rows, a name for each, one label space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace

VIDEO_ROW = -1
"""`view` of the row that holds a video's fused logits."""
_AT_ONCE = 8192
"""Rows read at once."""


def read_video_rows(path: str | Path) -> pa.Table:
    """The video rows (view -1) of a predictions table; rows of single views are never held in memory together.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not a predictions table, or holds no video row.
    """
    tables.read(tables.PREDICTIONS, path, columns=["video_id"])  # is it one; every table has this column
    with pq.ParquetFile(path) as file:
        batches = (b.filter(pc.equal(b["view"], VIDEO_ROW)) for b in file.iter_batches(batch_size=_AT_ONCE))
        rows = pa.Table.from_batches(batches, file.schema_arrow)
    if not rows.num_rows:
        raise BadValue(str(path), f"has no video rows (view {VIDEO_ROW})", "Make it again with `secondlook predict`.")
    return rows


def name_models(predictions: Sequence[pa.Table], paths: Sequence[str | Path]) -> list[str]:
    """A name for each table: the model's, or the file's where two tables come from models of one name.

    Raises:
        BadValue: if one file is given twice.
    """
    files = [Path(p).resolve() for p in paths]
    for i, file in enumerate(files):
        if file in files[:i]:
            raise BadValue(str(paths[i]), "is given twice", "Name each predictions table once.")
    parts = [(str(tables.made(t).get("model") or f.stem), f) for t, f in zip(predictions, files, strict=True)]
    for names in ([n for n, _ in parts], [f.stem for _, f in parts], [f"{f.parent.name}/{f.stem}" for _, f in parts]):
        if len(set(names)) == len(names):
            return names
    return [str(f) for _, f in parts]


def join_folds(predictions: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """Joins tables that are folds: of one model (by their metadata) and with no video in common, all of them.

    Returns:
        The tables, a joined one under the name of the model; and a note on each that was joined.

    Raises:
        BadValue: if folds have different label spaces.
    """
    by_model: dict[str, list[str]] = {}
    for name, table in predictions.items():
        by_model.setdefault(str(tables.made(table).get("model") or f"\0{name}"), []).append(name)
    joined: dict[str, pa.Table] = {}
    notes = []
    for model, names in by_model.items():
        rows = [video_rows(name, predictions[name]) for name in names]
        count = sum(len(table) for table in rows)
        if len(names) == 1 or len(pc.unique(pa.chunked_array([c for t in rows for c in t["video_id"].chunks]))) < count:
            joined |= {name: predictions[name] for name in names}
            continue
        for name, table in zip(names[1:], rows[1:], strict=True):
            compare_label_spaces(names[0], tables.label_space(rows[0]), name, tables.label_space(table))
        metadata = rows[0].schema.metadata
        joined[model] = pa.concat_tables([t.replace_schema_metadata(None) for t in rows]).replace_schema_metadata(
            metadata
        )
        notes.append(f"{', '.join(names)} are {len(names)} folds of {model}: no video is in two of them; joined.")
    return joined, tuple(notes)


def video_rows(name: str, table: pa.Table) -> pa.Table:
    """The video rows of a predictions table, checked against its label space.

    Raises:
        BadValue: if it holds none, or has more or fewer logits a video than its label space has classes.
    """
    views = pc.unique(table["view"]).to_pylist()
    if VIDEO_ROW not in views:
        raise BadValue(
            name, f"its predictions have no video rows (view {VIDEO_ROW})", "Make them again with `secondlook predict`."
        )
    rows = table if views == [VIDEO_ROW] else table.filter(pc.equal(table["view"], VIDEO_ROW))
    wide, classes = table["logits"].type.list_size, len(tables.label_space(table))
    if wide != classes:
        raise BadValue(wide, f"{name} has this many logits a video, but its label space has {classes} classes")
    return rows


def video_index(table: pa.Table, name: str) -> pd.Index[Any]:
    """The `video_id` column, for look-ups.

    Raises:
        BadValue: if a video is there more than once.
    """
    index: pd.Index[Any] = pd.Index(table["video_id"].to_numpy(zero_copy_only=False), dtype=object)
    if not index.is_unique:
        raise BadValue(str(index[index.duplicated()][0]), f"is in the table of {name} more than once")
    return index


def compare_label_spaces(first_name: str, first: LabelSpace, name: str, space: LabelSpace) -> None:
    """Checks that two label spaces hold the same classes in the same order.

    Raises:
        BadValue: with the labels that differ.
    """
    if space.names == first.names:
        return
    only_first = [n for n in first.names if n not in set(space.names)]
    only_second = [n for n in space.names if n not in set(first.names)]
    told = [
        f"only {who} has {', '.join(map(repr, some[:3]))}{f' and {len(some) - 3} more' if len(some) > 3 else ''}"
        for who, some in ((first_name, only_first), (name, only_second))
        if some
    ]
    if not told:
        i = next(i for i, (a, b) in enumerate(zip(first.names, space.names, strict=True)) if a != b)
        told = [f"class {i} is {first.names[i]!r} in one and {space.names[i]!r} in the other"]
    raise BadValue(f"{first_name}, {name}", f"must have the same label space; {'; '.join(told)}")
