"""Every table that passes between rooms: columns, units, keys, checks; Parquet with how it was made inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secondlook import __version__
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_METADATA_KEY = b"secondlook"
_RECENT_KEYS = 16384

STATUSES: Mapping[str, str] = {
    "unchecked": "listed, not yet decoded",
    "ok": "decodes whole",
    "partial": "decodes, but has fewer frames than its header says or is damaged part of the way; usable",
    "missing": "no such file",
    "empty": "zero bytes",
    "not_a_video": "no video format is recognised",
    "no_video_stream": "a media file without pictures (audio only)",
    "no_frames": "a video stream from which no frame comes out",
    "unreadable": "the decoder gave up",
    "timeout": "decoding did not end in the time allowed",
    "excluded": "set aside by a person or a list",
    "failed": "decodes, but what was to be made of it could not be made",
}
"""What a row's `status` may say. Every row stays in the table; rooms that need pixels use the usable ones only."""
USABLE = frozenset({"unchecked", "ok", "partial"})
"""Statuses of rows that can be trained on and predicted."""
UNLABELLED = -1
"""`label` of a video without a given label."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    """`string`, `int8`..`int64`, `float32`, `float64`, `list<T>`, or `vector<T>` (fixed length, set when written)."""
    doc: str
    unit: str = ""
    optional: bool = False
    """An optional column may be absent; a required one may not, and holds no nulls."""


@dataclass(frozen=True)
class Schema:
    """A table that passes between rooms."""

    name: str
    doc: str
    key: tuple[str, ...]
    """Columns that together name a row; no two rows may share them."""
    columns: tuple[Column, ...]


_VIDEO_ID = Column("video_id", "string", "name of the video within its dataset; unique")
_STATUS = (
    Column("status", "string", "one of the statuses listed below"),
    Column("reason", "string", "why, in words; empty when all is well"),
)

VIDEOS = Schema(
    "videos",
    "one row a video: where it is, what it is labelled, in which split it falls",
    ("video_id",),
    (
        _VIDEO_ID,
        Column("path", "string", "file, or folder of frames, relative to `root` (kept in the table's metadata)"),
        Column("label", "int32", f"index of the given label in the label space; {UNLABELLED} where there is none"),
        Column("split", "string", "train, val, test, or empty"),
        Column("group", "string", "source video, person or scene; rows of one group are never in two splits"),
        *_STATUS,
        Column("bytes", "int64", "size of the file", "bytes", optional=True),
        Column("sha256", "string", "hash of the file (of names and sizes for a folder of frames)", optional=True),
        Column("frames", "int32", "frames that come out of the decoder", "frames", optional=True),
        Column("fps", "float64", "mean frame rate", "frames/s", optional=True),
        Column("width", "int32", "as shown, after rotation", "pixels", optional=True),
        Column("height", "int32", "as shown, after rotation", "pixels", optional=True),
        Column("duration_s", "float64", "from first frame to the end of the last", "s", optional=True),
        Column("true_labels", "list<int32>", "every label that holds (drawn data only)", optional=True),
        Column("action_start_s", "float64", "when the action starts (drawn data only)", "s", optional=True),
        Column("action_end_s", "float64", "when it ends (drawn data only)", "s", optional=True),
        Column("truth_path", "string", "per-frame masks, relative to `root` (drawn data only)", optional=True),
    ),
)
PREDICTIONS = Schema(
    "predictions",
    "one row a view and one a video (view -1): the logits of one model",
    ("video_id", "view"),
    (
        _VIDEO_ID,
        Column("view", "int16", "0, 1, ...: one clip and crop; -1: the video, all views fused"),
        Column("label", "int32", f"given label; {UNLABELLED} where there is none"),
        Column("split", "string", "split the video falls in"),
        Column("start_s", "float64", "time of the view's first frame; NaN for the video row", "s"),
        Column("crop", "string", "center, left, right, ...; empty for the video row"),
        Column("logits", "vector<float32>", "one score a class, before softmax; NaN where status is not usable"),
        *_STATUS,
    ),
)
CANDIDATES = Schema(
    "candidates",
    "one row a video worth asking people about, with the options they will be shown",
    ("video_id",),
    (
        _VIDEO_ID,
        Column("path", "string", "as in the videos table; empty if it was not at hand"),
        Column("given_label", "int32", "the label under suspicion; never shown to annotators"),
        Column("options", "list<int32>", "label indices in the order in which they are shown: shuffled by the seed"),
        Column("suspicion", "float32", "in [0, 1]; high means look here"),
        Column("reason", "string", "why this video is here, in words; never shown to annotators"),
        Column("category", "string", "top1 (wrong), topk (missed at k by all), right (not wrong) or control (random)"),
    ),
)
LABELS = Schema(
    "labels",
    "one row a reassessed video: the set of labels that people found to hold",
    ("video_id",),
    (
        _VIDEO_ID,
        Column("given_label", "int32", "label before reassessment"),
        Column("labels", "list<int32>", "reassessed set in ascending order; empty: leave the video out of evaluation"),
        Column("rule", "string", "rule that made the set (R1, R1-partial, R2, R3, none-2, none-1, failed, ...)"),
        Column("approved", "int8", "answers approved by the reviewer"),
        Column("answers", "int8", "answers given"),
        Column("voted", "list<int32>", "labels chosen in an approved answer, ascending"),
        Column("votes", "list<int32>", "approved answers that chose each label of `voted`"),
    ),
)
EMBEDDINGS = Schema(
    "embeddings",
    "one row a video: the vector that one model's classifier reads of it",
    ("video_id",),
    (
        _VIDEO_ID,
        Column("path", "string", "as in the videos table"),
        Column("label", "int32", f"given label; {UNLABELLED} where there is none"),
        Column("split", "string", "split the video falls in"),
        Column("vector", "vector<float32>", "input of the classifier for the centre view; NaN where not usable"),
        *_STATUS,
    ),
)
_LABEL_VECTOR = (
    Column("index", "int32", "index of the label in the label space"),
    Column("label", "string", "its name"),
    Column("vector", "vector<float32>", "made by the method that the metadata name"),
)
LABEL_VECTORS = Schema("label_vectors", "one row a label: its text as a vector", ("index",), _LABEL_VECTOR)
_ALL = (VIDEOS, PREDICTIONS, CANDIDATES, LABELS, EMBEDDINGS, LABEL_VECTORS)
SCHEMAS: Mapping[str, Schema] = {s.name: s for s in _ALL}


def write(
    schema: Schema,
    rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]],
    path: str | Path,
    made: Mapping[str, Any],
) -> Path:
    """Checks `rows` against `schema` and writes Parquet in one step (a reader never sees half a file).

    Args:
        schema: what the table must be.
        rows: an arrow table, a data frame, or a list of dictionaries; columns in any order.
        path: file to write; its folder is made.
        made: how the table was made (`provenance`), and what it needs to be read alone: `root`, `label_space`, `card`.

    Raises:
        BadValue: if a column is missing, unknown, of another type, null where it may not be, or a key repeats.
    """
    with Writer(schema, path, made) as writer:
        writer.write(rows)
    return Path(path)


class Writer:
    """Writes a table batch by batch, so that its size never has to fit in memory; the file appears when closed.

    On an exception nothing is left behind. Keys are checked over all batches (by 8-byte hash: 8 bytes a row are kept).
    """

    def __init__(self, schema: Schema, path: str | Path, made: Mapping[str, Any]) -> None:
        self.schema, self.path = schema, Path(path)
        self.made = {"table": schema.name, **made}
        self.rows_written = 0
        self._part = self.path.with_name(self.path.name + ".part")
        self._writer: Any = None
        self._recent: set[int] = set()
        self._older_N = np.zeros(0, np.uint64)

    def __enter__(self) -> Writer:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Checks and appends a batch."""
        import pyarrow.parquet as pq

        table = conform(self.schema, rows)
        self._check_keys(table)
        if self._writer is None:
            metadata = {_METADATA_KEY: json.dumps(self.made, sort_keys=True).encode()}
            self._arrow_schema = table.schema.with_metadata(metadata)
            self._writer = pq.ParquetWriter(self._part, self._arrow_schema, compression="zstd")
        elif not table.schema.equals(self._arrow_schema):
            raise BadValue(table.schema.names, f"a later batch of {self.schema.name} has other columns than the first")
        self._writer.write_table(table)
        self.rows_written += table.num_rows

    def _check_keys(self, table: pa.Table) -> None:
        columns = [table[k].to_pylist() for k in self.schema.key]
        keys = list(zip(*columns, strict=True))
        digests = [int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") for key in keys]
        at_N = np.searchsorted(self._older_N, np.array(digests, np.uint64))
        for key, digest, at in zip(keys, digests, at_N.tolist(), strict=True):
            if digest in self._recent or (at < len(self._older_N) and int(self._older_N[at]) == digest):
                names = " and ".join(self.schema.key)
                raise BadValue(key if len(key) > 1 else key[0], f"{names} must be unique in {self.schema.name}")
            self._recent.add(digest)
        if len(self._recent) >= _RECENT_KEYS:  # a set takes ten times the memory of an array
            recent_N = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._older_N = np.sort(np.concatenate([self._older_N, recent_N]), kind="stable")
            self._recent.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._writer is None:
            self.write([])
        if self._writer is not None:
            self._writer.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)


def conform(schema: Schema, rows: pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]) -> pa.Table:
    """`rows` as an arrow table with exactly the schema's columns, in its order and types.

    Raises:
        BadValue: see `write`.
    """
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        given = rows
    elif hasattr(rows, "columns"):
        frame: Any = rows
        given = pa.Table.from_pandas(frame, preserve_index=False)
        for column in schema.columns:  # pandas reads NaN as "no value"; in a required column it is a value
            if "float" in column.type and not column.optional and column.name in given.column_names:
                values = pa.array(list(frame[column.name]), from_pandas=False)
                given = given.set_column(given.column_names.index(column.name), column.name, values)
    else:
        names = list(dict.fromkeys(name for row in rows for name in row)) or [
            c.name for c in schema.columns if not c.optional
        ]
        given = pa.table({n: _array(schema, n, [row.get(n) for row in rows]) for n in names})
    known = {c.name: c for c in schema.columns}
    for name in given.column_names:
        if name not in known:
            raise BadValue(name, f"is not a column of {schema.name}", f"Columns: {', '.join(known)}.")
    arrays: dict[str, Any] = {}
    for column in schema.columns:
        if column.name not in given.column_names:
            if not column.optional:
                raise BadValue(column.name, f"this column is missing from {schema.name}", column.doc.capitalize() + ".")
            continue
        array = given[column.name]
        try:
            array = array.cast(_arrow_type(column, array))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadValue(column.name, f"column must be {column.type}, got {array.type} ({error})") from None
        if array.null_count and not column.optional:
            raise BadValue(column.name, f"column of {schema.name} holds {array.null_count} nulls and may hold none")
        if column.name == "status":
            for status in array.unique().to_pylist():
                if status not in STATUSES:
                    raise BadValue(status, f"status must be one of {', '.join(STATUSES)}")
        arrays[column.name] = array
    return pa.table(arrays)


def _array(schema: Schema, name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    column = next((c for c in schema.columns if c.name == name), None)
    if column is None or column.type.startswith("vector"):
        return pa.array([None if v is None else list(v) for v in values]) if column else pa.array(values)
    try:
        if column.type.startswith("int") and any(isinstance(v, float) for v in values):
            return pa.array(values).cast(_arrow_type(column, None))  # a type given outright would cut 1.5 to 1
        return pa.array(values, type=_arrow_type(column, None))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadValue(name, f"column must be {column.type} ({error})") from None


def _arrow_type(column: Column, array: Any) -> Any:
    import pyarrow as pa

    kind, _, inner = column.type.rstrip(">").partition("<")
    if kind == "list":
        return pa.list_(pa.type_for_alias(inner))
    if kind == "vector":
        if pa.types.is_fixed_size_list(array.type):
            return pa.list_(pa.type_for_alias(inner), array.type.list_size)
        lengths = {len(v) for v in array.to_pylist() if v is not None}
        if len(lengths) > 1:
            raise BadValue(sorted(lengths), f"every row of {column.name} must have the same length")
        return pa.list_(pa.type_for_alias(inner), lengths.pop() if lengths else 0)
    return pa.type_for_alias(kind)


def read(schema: Schema, path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a table that a room wrote; `made(table)` gives how it was made.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not a Parquet file, or holds another table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, f"It should be a {schema.name} table ({schema.doc}).")
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns), partitioning=None)
    except pa.ArrowInvalid as error:
        raise BadValue(str(path), f"is not a Parquet file ({error})", f"Give a {schema.name} table.") from None
    kind = made(table).get("table")
    if kind != schema.name:
        raise BadValue(str(path), f"is a table of {kind or 'unknown kind'}", f"Give a {schema.name} table here.")
    return table


def made(table: pa.Table) -> dict[str, Any]:
    """How a table was made: what was given to `write` as `made`."""
    metadata = table.schema.metadata or {}
    return dict(json.loads(metadata.get(_METADATA_KEY, b"{}")))


def label_space(table: pa.Table) -> LabelSpace:
    """The label space kept inside a table.

    Raises:
        BadValue: if it keeps none.
    """
    data = made(table).get("label_space")
    if data is None:
        raise BadValue(made(table).get("table"), "this table keeps no label space", "Make it again with secondlook.")
    return LabelSpace.from_dict(data)


def matrix(table: pa.Table, column: str) -> npt.NDArray[np.float32]:
    """A `vector` column as an `N x K` array, without a Python object a row."""
    array = table[column].combine_chunks()
    if hasattr(array, "chunks"):
        array = array.chunk(0) if array.num_chunks else array
    flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False))
    return flat.reshape(table.num_rows, table.schema.field(column).type.list_size)


def lists(table: pa.Table, column: str) -> list[list[int]]:
    """A `list` column as Python lists; nulls become empty lists."""
    return [[] if x is None else x for x in table[column].to_pylist()]


def provenance(
    command: str, settings: Mapping[str, Any], inputs: Iterable[str | Path] = (), seed: int | None = None
) -> dict[str, Any]:
    """How an output was made: command, settings, seed, version, hash of each input. No clock: runs repeat."""
    return {
        "command": command,
        "settings": dict(settings),
        "seed": seed,
        "version": __version__,
        "inputs": {str(p): file_sha256(p) for p in inputs},
    }


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
