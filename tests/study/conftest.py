"""A videos table without videos, for studies whose verbs are fake; and a study to run on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondlook import tables
from secondlook.labels import Label, LabelSpace
from secondlook.study.plan import DataSet

FAKE = "tests.study.fake_verbs"
STUDY = """
name: toy
title: A toy
source: {document: late-temporal-bert, table: "0"}
dataset: hmdb51
metrics: [top1, top3]
baseline: plain
claims:
  - {name: C1, says: Good beats plain., better: good, than: plain}
  - {name: C2, says: Plain beats good., better: plain, than: good}
  - {name: C3, says: Nobody can tell., untestable: there is no row}
rows:
  - {name: plain, train: {model: "plain:tiny"}, printed: {top1: 50.1, top3: 70.0, gmac: 1.5, params_m: 3.0}}
  - {name: good, pair: plain, train: {model: "good:tiny"}, printed: {top1: 60.25, gmac: 2.5, params_m: 4.0}}
  - {name: other-views, uses: good, predict: {views: 2x1}, printed: {top1: 61.0}}
  - {name: both, fuse: [plain, good], printed: {top1: 62.0}}
  - {name: theirs, label: Their network, literature: true, printed: {top1: 70.0, gmac: 9.0, params_m: 9.0}}
tiny: {data: [drawn], rows: {other-views: {predict: {views: 2x1}}}}
"""


@pytest.fixture(autouse=True)
def _children_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", "")))))


@pytest.fixture
def listed(tmp_path: Path) -> DataSet:
    """120 test videos of 4 classes in groups of 4."""
    space = LabelSpace(tuple(Label(name) for name in ("up", "down", "left", "right")), "toy")
    rows = [
        {"video_id": f"v{i:03d}", "path": f"{i}.mp4", "label": i % 4, "split": "test", "group": f"g{i // 4}",
         "status": "ok", "reason": ""}
        for i in range(120)
    ]  # fmt: skip
    path = tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", {"label_space": space.to_dict(), "root": "."})
    return DataSet("toy-set", "", path, tmp_path / "cache")
