"""Label sets for other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.reassess import _options, approval_rules
from secondlook.reassess._export import read_videos, write_repost, write_sets, write_workers
from secondlook.reassess._recovered import recovered

SPACE = LabelSpace.from_names(["up", "down", 'put "x", then y', "roll"], "toy")


@pytest.fixture
def result() -> approval_rules.Reassessed:
    rows = [("b", "w0", 1), ("b", "w0", 2), ("b", "w1", 1), ("a", "w0", 3), ("a", "w1", 3), ("c", "w0", 1)]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    frame["given_label"] = frame["task"].map({"a": 3, "b": 0, "c": -1})
    frame["verdict"] = np.where(frame["task"] == "c", "rejected", "approved")
    return approval_rules.fit(frame)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    usual = {"path": "", "split": "", "group": "", "status": "ok", "reason": ""}
    listed = [("d", 1), ("c", -1), ("b", 0), ("a", 3), ("e", -1)]
    rows = [{"video_id": v, "label": y} | usual for v, y in listed]
    return tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", {"label_space": SPACE.to_dict()})


@pytest.mark.spec("label-reassessment", "G10")
def test_three_formats_say_the_same(result: approval_rules.Reassessed, tmp_path: Path) -> None:
    for name in ("sets.json", "sets.csv", "sets.npy"):
        assert write_sets(result.labels, SPACE, tmp_path / name) == 3
    listed = json.loads((tmp_path / "sets.json").read_text())
    assert listed == [[3], [0, 1], []]
    k_hot_NK = np.load(tmp_path / "sets.npy", allow_pickle=False)
    assert k_hot_NK.shape == (3, 4)
    assert [np.flatnonzero(row).tolist() for row in k_hot_NK] == listed
    with (tmp_path / "sets.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["video_id"], r["given_label"], r["labels"], r["rule"]) for r in rows] == [
        ("a", "roll", "roll", "R2"), ("b", "up", "up|down", "R2"), ("c", "", "", "failed"),
    ]  # fmt: skip
    assert [[SPACE.index_of(x) for x in r["labels"].split("|") if x] for r in rows] == listed


@pytest.mark.spec("label-reassessment", "G10")
def test_a_whole_data_set_in_its_own_order(result: approval_rules.Reassessed, videos: Path, tmp_path: Path) -> None:
    """Videos that nobody reviewed keep {given label} (label-reassessment §1.9)."""
    listed = read_videos(videos, result.labels, SPACE)
    assert write_sets(result.labels, SPACE, tmp_path / "real.json", listed) == 5
    assert json.loads((tmp_path / "real.json").read_text()) == [[1], [], [0, 1], [3], []]
    write_sets(result.labels, SPACE, tmp_path / "real.npy", listed)
    assert np.load(tmp_path / "real.npy").sum(axis=1).tolist() == [1, 0, 2, 1, 0]


def test_exports_that_cannot_be(result: approval_rules.Reassessed, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"must end in \.json, \.csv, \.npy"):
        write_sets(result.labels, SPACE, tmp_path / "sets.xlsx")
    table = tables.read(tables.VIDEOS, videos)
    tables.write(tables.VIDEOS, table.slice(0, 2), tmp_path / "some.parquet", tables.made(table))
    with pytest.raises(BadValue, match="'a': was reassessed but is not in"):
        read_videos(tmp_path / "some.parquet", result.labels, SPACE)
    with pytest.raises(BadValue, match="other labels"):
        read_videos(videos, result.labels, LabelSpace.from_names(["x"]))


def test_worker_table_and_list_to_post_again(result: approval_rules.Reassessed, tmp_path: Path) -> None:
    write_workers(result, tmp_path / "new" / "workers.csv")
    write_repost(result, tmp_path / "new" / "repost.csv")
    workers = pd.read_csv(tmp_path / "new" / "workers.csv")
    assert workers["worker"].tolist() == ["w0", "w1"]
    assert workers["completed"].tolist() == [3, 2]
    assert workers["approval_rate"].tolist() == pytest.approx([2 / 3, 1.0])
    with (tmp_path / "new" / "repost.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["video_id", "rule", "approved", "answers"], ["c", "failed", "0", "1"]]


def test_recovered_by_hand(result: approval_rules.Reassessed) -> None:
    found = recovered(result.labels, {"a": {3}, "b": {1, 2}})
    assert found.videos == 2
    assert (found.given.precision, found.given.recall, found.given.exact) == pytest.approx((1 / 2, 1 / 3, 1 / 2))
    near = found.reassessed
    assert (near.precision, near.recall, near.exact) == pytest.approx((2 / 3, 2 / 3, 1 / 2))
    assert near.f1 == pytest.approx(2 / 3)
    with pytest.raises(BadValue, match="true labels of none"):
        recovered(result.labels, {})


def test_options_as_people_type_them() -> None:
    assert _options.parse(["two-disagree=union", " rounds = pool"]) == {"two_disagree": "union", "rounds": "pool"}
    for wrong in ("rounds", "=pool"):
        with pytest.raises(BadValue, match="name=value"):
            _options.parse([wrong])
    with pytest.raises(BadValue, match="given twice"):
        _options.parse(["rounds=pool", "rounds=last"])
