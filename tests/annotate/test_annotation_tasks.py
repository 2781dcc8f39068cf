"""Tasks: from candidates, what annotators see of them, who is dealt which, what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondlook import tables
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task, deal, estimate, from_candidates, public_view
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace

Candidates = Callable[..., pa.Table]


def test_candidates_become_tasks(candidate_rows: Candidates, labels: LabelSpace) -> None:
    table = candidate_rows(
        {"video_id": "a", "options": [3, 1], "given_label": 1, "path": "x/a.mp4"}, {"video_id": "b", "given_label": -1}
    )
    assert from_candidates(table, labels) == [Task("a", "x/a.mp4", 1, (3, 1)), Task("b", "", -1, (1, 0))]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"options": []}, "no options"),
        ({"options": [1, 0, 1]}, "a label twice"),
        ({"options": [1, 5]}, "5: is not a label of toy"),
        ({"options": [-1, 0]}, "-1: is not a label of toy"),
        ({"given_label": 7}, "7: is not a label of toy"),
    ],
)
def test_candidates_that_cannot_be_asked_about(
    candidate_rows: Candidates, labels: LabelSpace, row: dict[str, object], words: str
) -> None:
    with pytest.raises(BadValue, match=words):
        from_candidates(candidate_rows({"video_id": "a"} | row), labels)


def test_annotators_see_the_options_and_nothing_else(tmp_path: Path, labels: LabelSpace) -> None:
    hidden = Task("Throwing/clip-0007", "Throwing/clip-0007.webm", 4, (2, 4, 0))
    with Store.create(tmp_path / "answers", [hidden], labels, made={"why": "models disagree"}) as store:
        (task,) = store.tasks()
    view = public_view(task, labels)
    assert set(view) == {"task", "video", "options"}
    assert [option["text"] for option in view["options"]] == [labels.names[i] for i in (2, 4, 0)]
    assert all(set(option) == {"label", "text"} for option in view["options"])
    assert "clip" not in json.dumps(view)
    assert "webm" not in json.dumps(view)
    for other in (replace(task, given_label=2), replace(task, video_id="Rolling/1"), replace(task, path="Rolling/1")):
        assert public_view(other, labels) == view, "what is hidden leaves no trace in what is shown"


def test_numbers_of_tasks_do_not_follow_the_candidates(tmp_path: Path, labels: LabelSpace) -> None:
    """Candidates come most suspicious first; task numbers must not say so."""
    tasks = [Task(f"v{i:03}", "", 0, (0, 1)) for i in range(200)]
    with Store.create(tmp_path / "answers", tasks, labels, key=b"k" * 32) as store:
        numbers = [store.task_ids()[task.video_id] for task in tasks]
    assert sorted(numbers) == list(range(1, 201))
    assert abs(np.corrcoef(numbers, np.arange(200))[0, 1]) < 0.3


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 15), st.integers(1, 6), st.integers(0, 5))
def test_tasks_are_dealt_evenly(tasks: int, workers: int, votes: int, seed: int) -> None:
    if workers < votes:
        with pytest.raises(BadValue, match="at least"):
            deal(tasks, workers, votes, np.random.default_rng(seed))
        return
    dealt = deal(tasks, workers, votes, np.random.default_rng(seed))
    assert dealt.shape == (tasks, votes)
    assert all(len(set(row)) == votes for row in dealt.tolist()), "nobody answers a task twice"
    loads = np.bincount(dealt.ravel(), minlength=workers)
    assert loads.max(initial=0) - loads.min(initial=tasks * votes) <= 1


def test_the_same_people_do_not_always_meet() -> None:
    dealt = deal(120, 12, 3, np.random.default_rng(0))
    assert len({tuple(sorted(row)) for row in dealt.tolist()}) > 60


@pytest.mark.spec("label-reassessment", "M3")
def test_volume_and_cost() -> None:
    """label-reassessment §3.5: 3 x 11,857 = 35,571 assignments, about $1,067."""
    found = estimate(11_857, votes=3, reward=0.03)
    assert (found.videos, found.answers) == (11_857, 35_571)
    assert round(found.cost) == 1067
    assert estimate(0).answers == 0
    for bad in ((-1, 3, 0.03), (1, 0, 0.03), (1, 3, -0.01)):
        with pytest.raises(BadValue, match="at least"):
            estimate(*bad)


def test_unlabelled_is_the_only_label_outside_the_space(candidate_rows: Candidates, labels: LabelSpace) -> None:
    assert from_candidates(candidate_rows({"video_id": "a", "given_label": tables.UNLABELLED}), labels)
    with pytest.raises(BadValue, match="-2"):
        from_candidates(candidate_rows({"video_id": "a", "given_label": -2}), labels)
