"""One-hot, k-hot and soft training, measured against given and reassessed labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondlook import tables
from secondlook.study import schema
from secondlook.study.measure import measured
from secondlook.study.plan import TEST_LABELS, DataSet, plan
from tests.audit import build


def test_every_row_is_measured_against_the_same_reassessed_sets(tmp_path: Path) -> None:
    """4 videos given c0; people add c1 to two of them. One-hot says c0 on one; k-hot says c1 on all."""
    given_N = [0] * 4
    build.save(build.videos(given_N, 3, true_labels=[[0]] * 4), tmp_path / "videos.parquet")
    said = {"one-hot": [0, 1, 2, 2], "k-hot": [1, 1, 1, 1]}
    paths = {
        row: {0: build.save(build.predictions(np.eye(3)[classes], given_N), tmp_path / f"{row}.parquet")}
        for row, classes in said.items()
    }
    sets = {"v00001": (0, [0, 1]), "v00002": (0, [0, 1]), "v00003": (0, [])}
    labels = {0: build.save(build.labels(sets, 3), tmp_path / TEST_LABELS)}
    part = measured("toy", "", tmp_path / "videos.parquet", paths, labels)
    assert part.rate("one-hot", "top1") == 0.25
    assert part.rate("one-hot", "real_top1") == 0.5
    assert part.rate("k-hot", "top1") == 0
    assert part.rate("k-hot", "real_top1") == 0.5
    assert part.hits["k-hot"][0]["real_top1"].tolist() == [False, True, True, False], "a dropped video keeps c0"
    assert "real_top1" not in measured("toy", "", tmp_path / "videos.parquet", paths).hits["k-hot"][0]


def test_the_study_compares_the_three_and_asks_about_the_test_split_once(tmp_path: Path) -> None:
    study = schema.load("label-targets")
    assert [row.name for row in study.rows] == ["one-hot", "k-hot", "soft"]
    drawn = DataSet("drawn-labels", "", tmp_path / "videos.parquet", tmp_path / "cache")
    units = {u.row.name: u for u in plan(study, [drawn], [0], tmp_path, tiny=True)}
    verbs = {name: [command[:2] for command in unit.commands()] for name, unit in units.items()}
    assert [command[0] for command in verbs["one-hot"]] == ["train", "predict", "audit", "annotate", "reassess"]
    asked = units["one-hot"].commands()
    assert asked[2][asked[2].index("--split") + 1] == "test"
    assert asked[-1][-1].endswith(TEST_LABELS)
    for name in ("k-hot", "soft"):
        command = next(c for c in units[name].commands() if c[0] == "train")
        assert command[command.index("--labels") + 1] == str(units[name].folder / "labels.parquet")
        assert ("--soft-targets" in command) == (name == "soft")
        assert not units[name].asks_test
    real = DataSet("something_something", "1", tmp_path / "videos.parquet", tmp_path / "cache")
    assert not any(u.asks_test for u in plan(study, [real], [0], tmp_path, tiny=False)), "nobody can be simulated there"


@pytest.mark.spec("label-reassessment", "H4")
def test_empty_sets_are_no_targets(tmp_path: Path) -> None:
    """What is learned from a set: its labels, by votes or alike; a dropped clip is not learned from."""
    from secondlook.train.data import choose_rows

    videos = build.videos([0, 1, 0], 3, split="train")
    labels = build.labels({"v00000": (0, [0, 2]), "v00001": (1, [])}, 3)
    rows = choose_rows(videos, tables.label_space(videos), labels)
    assert rows.train["video_id"].to_pylist() == ["v00000", "v00002"]
    assert rows.train_sets is not None
