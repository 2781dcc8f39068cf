"""A toy label space, a small store, and tables made by code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.labels import LabelSpace
from tests.annotate.drawn import draw_tables

SPACE = LabelSpace.from_names(
    ["Moving [something] up", "Moving [something] down", "Pushing [something]", "Rolling [something]", "Throwing [it]"],
    "toy",
)


@pytest.fixture
def labels() -> LabelSpace:
    return SPACE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three tasks, two votes each."""
    tasks = [Task(f"v{i}", f"class/v{i}.mp4", i, (2, 0, 1)) for i in range(3)]
    with Store.create(tmp_path / "answers", tasks, SPACE, votes=2, key=b"k" * 32) as opened:
        yield opened


@pytest.fixture
def drawn_tables(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    return partial(draw_tables, tmp_path)


@pytest.fixture
def candidate_rows() -> Callable[..., pa.Table]:
    """A candidates table of the given rows; each has two options unless said otherwise."""

    def make(*rows: dict[str, object]) -> pa.Table:
        usual = {"path": "", "given_label": 0, "options": [1, 0], "suspicion": 0.5, "reason": "", "category": "top1"}
        return tables.conform(tables.CANDIDATES, [usual | row for row in rows])

    return make
