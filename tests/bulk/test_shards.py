"""Shards without a cluster: names, resuming, refusing, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.bulk.shards import TRIES, Shards, even
from secondlook.errors import BadValue
from tests.train.toy import row

MADE = {"settings": {"crf": 18, "gop": 8}, "command": "toy"}


@pytest.fixture
def rows() -> pa.Table:
    return tables.conform(tables.VIDEOS, [row(f"v{i}", i % 2, "test") for i in range(7)])


def shards_of(output: Path, rows: pa.Table, made: dict = MADE, size: int = 3) -> Shards:
    ranges = [range(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
    return Shards.of(tables.VIDEOS, output, rows, ranges, made)


def same(rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    return rows, {"seen": len(rows)}


def test_shards_joined_are_the_table(rows: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "deep" / "o.parquet", rows.replace_schema_metadata({"secondlook": '{"root": "r"}'}))
    assert [len(shards.rows(number)) for number in range(3)] == [3, 3, 1]
    assert tables.made(shards.rows(1)) == {"root": "r"}
    for number in (2, 0, 1):
        shards.do(number, same)
    assert pa.concat_tables([table for table, _ in shards.read_all()]).equals(rows)
    assert [counts["seen"] for _, counts in shards.read_all()] == [3, 3, 1]
    assert not [p for p in shards.folder.iterdir() if p.suffix in (".part", ".tries")]
    shards.clear()
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_is_done_is_kept_and_not_done_again(rows: pa.Table, tmp_path: Path) -> None:
    shards_of(tmp_path / "o.parquet", rows).do(1, same)
    shards = shards_of(tmp_path / "o.parquet", rows)
    assert shards.done() == [1]
    shards.do(1, lambda rows: pytest.fail("was done before"))
    shards.path(1).write_bytes(shards.path(1).read_bytes()[:40])
    assert shards.done() == []
    assert not shards.path(1).exists()


def test_work_that_fails_leaves_nothing(rows: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(tmp_path / "o.parquet", rows)
    with pytest.raises(BadValue, match="is missing from videos"):
        shards.do(0, lambda rows: (rows.drop_columns("path"), {}))
    assert {p.name for p in shards.folder.iterdir() if p.suffix != ".tries"} == {"about.json", "rows.parquet"}


def test_other_rows_or_settings_are_refused(rows: pa.Table, tmp_path: Path) -> None:
    first = shards_of(tmp_path / "o.parquet", rows)
    other = {**MADE, "settings": {"crf": 20, "gop": 8}}
    assert shards_of(tmp_path / "o.parquet", rows, other).key != first.key  # nothing was done: nothing is lost
    shards_of(tmp_path / "o.parquet", rows).do(0, same)
    with pytest.raises(BadValue, match=r"finished shards of another output \(crf changed\). Remove the folder"):
        shards_of(tmp_path / "o.parquet", rows, other)
    relabelled = rows.set_column(rows.column_names.index("label"), "label", pa.array([1] * 7, pa.int32()))
    with pytest.raises(BadValue, match=r"\(rows changed\)"):
        shards_of(tmp_path / "o.parquet", relabelled)
    with pytest.raises(BadValue, match=r"\(shards changed\)"):
        shards_of(tmp_path / "o.parquet", rows, size=2)
    assert shards_of(tmp_path / "o.parquet", rows).done() == [0]


def test_a_shard_that_kills_its_workers_is_given_up(rows: pa.Table, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def work(rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
        raise Killed

    shards = shards_of(tmp_path / "o.parquet", rows)
    for _ in range(TRIES):
        with pytest.raises(Killed):
            shards.do(1, work)
    with pytest.raises(BadValue, match=rf"'rows 3 to 5': ended their worker {TRIES} times"):
        shards.do(1, work)
    shards_of(tmp_path / "o.parquet", rows).do(1, same)  # a new run tries anew


@pytest.mark.parametrize(("rows", "sizes"), [(0, set()), (5, {1}), (600, {2}), (100_000, {32})])
def test_even_shards(rows: int, sizes: set[int]) -> None:
    cut = even(rows, 32)
    assert {len(r) for r in cut} == sizes
    assert [number for r in cut for number in r] == list(range(rows))
