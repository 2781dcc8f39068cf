"""Tables: round trips, checks, streams, atomic writes, how they were made."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from secondlook import __version__, tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace


def video(name: str, **change) -> dict:
    plain = {"video_id": name, "path": f"{name}.mp4", "label": 0, "split": "train", "group": name}
    return {**plain, "status": "ok", "reason": "", **change}


def prediction(name: str, view: int, logits) -> dict:
    return {
        "video_id": name, "view": view, "label": 0, "split": "test", "start_s": 0.0, "crop": "center",
        "logits": logits, "status": "ok", "reason": "",
    }  # fmt: skip


EXAMPLES = {
    "embeddings": [
        {"video_id": "a", "path": "a.mp4", "label": 1, "split": "test", "vector": [0.5, -1.0]}
        | {"status": "ok", "reason": ""}
    ],
    "label_vectors": [{"index": i, "label": f"label {i}", "vector": [0.5, float(i)]} for i in range(2)],
    "videos": [video("a", frames=12, true_labels=[0, 2]), video("b", label=-1, true_labels=None, frames=None)],
    "predictions": [
        prediction("a", 0, [0.5, -1.0]),
        {**prediction("a", -1, np.array([0.5, np.nan])), "start_s": np.nan},
    ],
    "candidates": [
        {"video_id": "a", "path": "a.mp4", "given_label": 1, "options": [2, 1], "suspicion": 0.5}
        | {"reason": "both", "category": "top1"}
    ],
    "labels": [
        {"video_id": "a", "given_label": 1, "labels": [], "rule": "none-2", "approved": 2, "answers": 5}
        | {"voted": [1], "votes": [2]}
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", tables.SCHEMAS)
@pytest.mark.parametrize("form", [list, pa.Table, pd.DataFrame])
def test_every_table_survives_its_file(tmp_path, name, form):
    schema, rows = tables.SCHEMAS[name], EXAMPLES[name]
    given = {list: rows, pa.Table: tables.conform(schema, rows), pd.DataFrame: pd.DataFrame(rows)}[form]
    path = tables.write(schema, given, tmp_path / "deep" / "table.parquet", {"seed": 3})
    table = tables.read(schema, path)
    assert tables.made(table) == {"table": name, "seed": 3}
    assert table.equals(tables.conform(schema, rows), check_metadata=False) or name == "predictions"  # NaN != NaN
    for row, given_row in zip(table.to_pylist(), rows, strict=True):
        for column, value in given_row.items():
            np.testing.assert_equal(row[column], None if value is None else np.asarray(value).tolist())


@pytest.mark.parametrize("schema", tables.SCHEMAS.values(), ids=lambda s: s.name)
def test_a_table_without_rows_survives_too(tmp_path, schema):
    table = tables.read(schema, tables.write(schema, [], tmp_path / "t.parquet", {}))
    assert table.num_rows == 0
    assert set(table.column_names) == {c.name for c in schema.columns if not c.optional}
    if schema is tables.PREDICTIONS:
        assert tables.matrix(table, "logits").shape[0] == 0


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([{k: v for k, v in video("a").items() if k != "label"}], "'label': this column is missing"),
        ([video("a", colour="red")], "'colour': is not a column of videos"),
        ([video("a", label="wave")], "'label': column must be int32"),
        ([video("a", label=2**40)], "'label': column must be int32"),
        ([video("a", label=1.5)], "'label': column must be int32"),
        ([video("a", label=None)], "holds 1 nulls"),
        ([video("a"), {**video("b"), "path": None}], "holds 1 nulls"),
        ([video("a", status="fine")], "status must be one of unchecked, ok"),
        ([video("a"), video("b"), video("a")], "'a': video_id must be unique"),
    ],
)
def test_what_breaks_the_schema_is_named_and_leaves_no_file(tmp_path, rows, match):
    with pytest.raises(BadValue, match=match):
        tables.write(tables.VIDEOS, rows, tmp_path / "t.parquet", {})
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_two_columns_and_ragged_logits(tmp_path):
    path = tmp_path / "t.parquet"
    tables.write(tables.PREDICTIONS, [prediction("a", 0, [1.0]), prediction("a", 1, [1.0])], path, {})
    with pytest.raises(BadValue, match="video_id and view must be unique"):
        tables.write(tables.PREDICTIONS, [prediction("a", 0, [1.0])] * 2, path, {})
    with pytest.raises(BadValue, match="same length"):
        tables.write(tables.PREDICTIONS, [prediction("a", 0, [1.0]), prediction("a", 1, [1.0, 2.0])], path, {})
    assert tables.read(tables.PREDICTIONS, path).num_rows == 2  # a failed write leaves the file before it alone


def stream(path, batches):
    with tables.Writer(tables.VIDEOS, path, {}) as writer:
        for batch in batches:
            writer.write(batch)


def test_a_stream_equals_one_write_and_keys_are_checked_over_all_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_RECENT_KEYS", 7)
    rows = [video(f"v{i}", frames=i) for i in range(50)]
    with tables.Writer(tables.VIDEOS, tmp_path / "stream.parquet", {}) as writer:
        for start in range(0, 50, 3):
            writer.write(rows[start : start + 3])
        assert not (tmp_path / "stream.parquet").exists()  # a reader never sees half a file
    assert writer.rows_written == 50
    tables.write(tables.VIDEOS, rows, tmp_path / "once.parquet", {})
    assert tables.read(tables.VIDEOS, tmp_path / "stream.parquet").equals(
        tables.read(tables.VIDEOS, tmp_path / "once.parquet")
    )
    for again in (0, 13, 49):
        with pytest.raises(BadValue, match=f"'v{again}': video_id must be unique"):
            stream(tmp_path / "twice.parquet", [*(rows[i : i + 3] for i in range(0, 50, 3)), [rows[again]]])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["once.parquet", "stream.parquet"]


def test_a_later_batch_may_not_change_the_columns(tmp_path):
    with pytest.raises(BadValue, match="other columns than the first"):
        stream(tmp_path / "t.parquet", [[video("a")], [video("b", frames=3)]])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_the_old_table_as_it_was(tmp_path):
    path = tables.write(tables.VIDEOS, [video("old")], tmp_path / "t.parquet", {})

    def batches():
        yield [video("new")]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(path, batches())
    assert tables.read(tables.VIDEOS, path)["video_id"].to_pylist() == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_reading_what_is_not_such_a_table(tmp_path):
    with pytest.raises(MissingFile, match="videos table"):
        tables.read(tables.VIDEOS, tmp_path / "none.parquet")
    path = tables.write(tables.VIDEOS, [video("a")], tmp_path / "t.parquet", {})
    with pytest.raises(BadValue, match="is a table of videos"):
        tables.read(tables.LABELS, path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(BadValue, match="is a table of unknown kind"):
        tables.read(tables.VIDEOS, tmp_path / "foreign.parquet")
    whole = path.read_bytes()
    for name, data in {
        "text": b"video_id,path\n",
        "cut": whole[:-20],
        "hole": whole[:-200] + b"\0" * 100 + whole[-100:],
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadValue, match="is not a Parquet file"):
            tables.read(tables.VIDEOS, tmp_path / name)


def test_a_matrix_is_the_logits_row_by_row(tmp_path):
    logits_NK = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    logits_NK[2] = np.nan
    rows = [prediction(f"v{i}", -1, logits_K) for i, logits_K in enumerate(logits_NK)]
    with tables.Writer(tables.PREDICTIONS, tmp_path / "t.parquet", {}) as writer:
        writer.write(rows[:4])
        writer.write(rows[4:])
    table = tables.read(tables.PREDICTIONS, tmp_path / "t.parquet")
    np.testing.assert_array_equal(tables.matrix(table, "logits"), logits_NK)
    np.testing.assert_array_equal(tables.matrix(table.slice(1, 3), "logits"), logits_NK[1:4])
    np.testing.assert_array_equal(tables.matrix(table.take([5, 0]), "logits"), logits_NK[[5, 0]])


def test_lists_and_label_space(tmp_path):
    space = LabelSpace.from_names(["run", "walk"], "legs", directional=True)
    rows = [video("a", true_labels=[0, 1]), video("b")]
    table = tables.read(
        tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "t.parquet", {"label_space": space.to_dict()})
    )
    assert tables.lists(table, "true_labels") == [[0, 1], []]
    assert tables.label_space(table) == space
    with pytest.raises(BadValue, match="keeps no label space"):
        tables.label_space(tables.conform(tables.VIDEOS, rows))


def test_provenance_has_hashes_and_no_clock(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc" * 100_000)
    made = tables.provenance("index", {"split": "1"}, [tmp_path / "a.txt"], 5)
    assert made == tables.provenance("index", {"split": "1"}, [tmp_path / "a.txt"], 5)
    assert made["inputs"] == {str(tmp_path / "a.txt"): hashlib.sha256(b"abc" * 100_000).hexdigest()}
    assert (made["version"], made["seed"], made["command"]) == (__version__, 5, "index")


def test_every_schema_is_whole():
    for schema in tables.SCHEMAS.values():
        names = [column.name for column in schema.columns]
        assert len(set(names)) == len(names)
        assert set(schema.key) <= set(names)
        assert all(column.doc for column in schema.columns)
    assert set(tables.STATUSES) > tables.USABLE
