"""Which rows are trained on, and how an epoch is cut into batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.train.data import Batches, choose_rows
from tests.train.toy import LABELS, row, write_table


@given(
    rows=st.integers(1, 60), batch_size=st.integers(1, 20), world=st.integers(1, 4), epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)  # fmt: skip
def test_an_epoch_holds_every_row_once(rows: int, batch_size: int, world: int, epoch: int, shuffle: bool) -> None:
    if rows < world:
        return
    of_ranks = []
    for rank in range(world):
        batches = Batches(rows, batch_size, shuffle=shuffle, seed=1, rank=rank, world=world)
        batches.set_epoch(epoch)
        of_ranks.append(list(batches))
        assert len(of_ranks[-1]) == len(batches)
    sizes = [len(batch) for batches in of_ranks for batch in batches]
    assert sorted(key.row for batches in of_ranks for batch in batches for key in batch) == list(range(rows))
    assert {key.epoch for batches in of_ranks for batch in batches for key in batch} == {epoch}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert len({len(batches) for batches in of_ranks}) == 1
    assert max(sizes) <= batch_size + (world > 1)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, shuffle: bool = True) -> list[int]:
        batches = Batches(50, 7, shuffle=shuffle, seed=seed)
        batches.set_epoch(epoch)
        return [key.row for batch in batches for key in batch]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    assert order(0, 3, shuffle=False) == list(range(50))


def test_fewer_rows_than_devices_is_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"fewer than the 4 devices. Give --devices 3"):
        Batches(3, 8, shuffle=True, world=4)


def rows_table(tmp_path: Path) -> pa.Table:
    rows = [
        row("a", 0, "train"), row("b", 1, "train", "partial", "cut"), row("c", 1, "train", "unreadable", "broken"),
        row("d", -1, "train"), row("e", 1, "val"), row("f", 0, "val", "excluded", "private"), row("g", 0, "test"),
        row("h", 0, ""),
    ]  # fmt: skip
    return write_table(tmp_path, rows)


def test_usable_labelled_rows_are_trained_on_and_the_rest_is_said(tmp_path: Path) -> None:
    rows = choose_rows(rows_table(tmp_path), LABELS)
    assert rows.train["video_id"].to_pylist() == ["a", "b"]
    assert rows.val["video_id"].to_pylist() == ["e"]
    assert rows.unusable["video_id"].to_pylist() == ["c", "f"]
    assert rows.notes == ("1 videos of split train have no given label and are left out",)


def labels_table(tmp_path: Path, sets: dict[str, list[int]], space: LabelSpace = LABELS) -> pa.Table:
    rows = [
        {"video_id": name, "given_label": 0, "labels": found, "rule": "R1", "approved": 3, "answers": 3, "voted": found,
         "votes": [3] * len(found)}
        for name, found in sets.items()
    ]  # fmt: skip
    path = tables.write(tables.LABELS, rows, tmp_path / "labels.parquet", {"label_space": space.to_dict()})
    return tables.read(tables.LABELS, path)


def test_reassessed_sets_replace_given_labels(tmp_path: Path) -> None:
    reassessed = labels_table(tmp_path, {"a": [0, 1], "d": [1], "e": []})
    rows = choose_rows(rows_table(tmp_path), LABELS, reassessed)
    assert rows.train["video_id"].to_pylist() == ["a", "b"]
    assert rows.train_sets is not None
    assert rows.train_sets.starts_N.tolist() == [0, 2, 3]
    assert rows.train_sets.labels.tolist() == [0, 1, 1]
    assert len(rows.val) == 0
    assert "1 videos of split val have an empty reassessed set and are left out" in rows.notes


def test_a_labels_table_of_other_labels_is_refused(tmp_path: Path) -> None:
    other = labels_table(tmp_path, {"a": [0]}, LabelSpace.from_names(["x", "y"]))
    with pytest.raises(BadValue, match=r"about different labels"):
        choose_rows(rows_table(tmp_path), LABELS, other)


def test_too_little_to_train_on_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"1: a recogniser needs at least two classes"):
        choose_rows(rows_table(tmp_path), LabelSpace.from_names(["one"]))
    only_test = write_table(tmp_path, [row("g", 0, "test")])
    with pytest.raises(BadValue, match=r"no usable, labelled video is in this split .splits of the table: 'test'"):
        choose_rows(only_test, LABELS)
    outside = write_table(tmp_path, [row("a", 2, "train")])
    with pytest.raises(BadValue, match=r"2: a label of the videos table must lie in 0\.\.1"):
        choose_rows(outside, LABELS)


def test_sizes_are_those_of_array_split() -> None:
    batches = Batches(10, 4, shuffle=False)
    assert [len(b) for b in batches] == [len(b) for b in np.array_split(np.arange(10), 3)] == [4, 3, 3]
