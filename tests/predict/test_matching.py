"""Classes of a model and of a videos table are matched by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from secondlook.errors import BadValue
from secondlook.labels import Label, LabelSpace
from secondlook.predict.matching import match_labels
from tests.train.toy import row, write_table

KNOWN = LabelSpace.from_names(["push", "pull", "[Something] falls"])


def table(tmp_path: Path, space: LabelSpace) -> pa.Table:
    return write_table(tmp_path, [row("a", 0, "test"), row("b", 1, "test"), row("c", -1, "test")], space)


def test_the_same_classes_in_another_order_keep_the_order_of_the_table(tmp_path: Path) -> None:
    given = LabelSpace.from_names(["something falls", "push", "pull"])
    match = match_labels(KNOWN, table(tmp_path, given))
    assert match.labels == given
    assert match.columns_K.tolist() == [2, 0, 1]
    assert match.relabel(table(tmp_path, given))["label"].to_pylist() == [0, 1, -1]


def test_a_model_that_knows_more_keeps_its_own_space(tmp_path: Path) -> None:
    given = LabelSpace((Label("drag", synonyms=("pull",)), Label("push")))
    match = match_labels(KNOWN, table(tmp_path, given))
    assert match.labels == KNOWN
    assert match.columns_K.tolist() == [0, 1, 2]
    assert match.relabel(table(tmp_path, given))["label"].to_pylist() == [1, 0, -1]


def test_a_table_without_labels_gets_those_of_the_model(tmp_path: Path) -> None:
    videos = write_table(tmp_path, [row("a", -1, "")], LabelSpace(()))
    match = match_labels(KNOWN, videos)
    assert match.labels == KNOWN
    assert match.relabel(videos)["label"].to_pylist() == [-1]


def test_strangers_are_named(tmp_path: Path) -> None:
    given = LabelSpace.from_names(["push", "roll", "spin"])
    with pytest.raises(BadValue, match=r"'roll, spin': the model knows no such label \(2 of the 3 of the videos table"):
        match_labels(KNOWN, table(tmp_path, given))
