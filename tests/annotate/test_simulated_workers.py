"""Simulated workers and reviewer: repeatable, and as good or bad as they are said to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondlook import tables
from secondlook.annotate.answers import count, fingerprint
from secondlook.annotate.intake import Answer
from secondlook.annotate.simulate import SPAM, Crowd, answer_one, review_one, simulate, true_sets
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task, from_candidates
from secondlook.errors import BadValue

Draw = Callable[..., tuple[Path, Path]]
TASK = Task("v", "", 0, (3, 0, 1, 2), task_id=1)
TRUTH = frozenset({0, 3})


def answered(folder: Path, candidates: Path, videos: Path, crowd: Crowd, seed: int = 0, votes: int = 3) -> Store:
    table = tables.read(tables.CANDIDATES, candidates)
    labels = tables.label_space(table)
    store = Store.create(folder, from_candidates(table, labels), labels, votes=votes, key=b"k" * 32)
    simulate(store, true_sets(tables.read(tables.VIDEOS, videos)), votes=votes, crowd=crowd, seed=seed)
    return store


def test_the_same_seed_gives_the_same_answers(drawn_tables: Draw, tmp_path: Path) -> None:
    paths = drawn_tables(20)
    prints = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with answered(tmp_path / name, *paths, Crowd(), seed) as store:
            prints.append(fingerprint(store.answers()))
    assert prints[0] == prints[1] != prints[2]


def test_every_video_gets_its_votes_and_every_worker_their_share(drawn_tables: Draw, tmp_path: Path) -> None:
    with answered(tmp_path / "a", *drawn_tables(50), Crowd(workers=7), votes=4) as store:
        votes = count(store.answers())
    assert set(np.bincount(votes.task_A)) == {4}
    assert np.ptp(np.bincount(votes.worker_A)) <= 1
    assert votes.judged_A.all()
    assert not votes.approved_A[votes.blank_A].any(), "blank answers are rejected by rule"


def test_times_are_simulated_and_nobody_does_two_things_at_once(drawn_tables: Draw, tmp_path: Path) -> None:
    from secondlook.annotate import database, schema

    with answered(tmp_path / "a", *drawn_tables(30), Crowd(workers=4)) as store:
        engine = database.connect(store.folder / "store.sqlite")
        with engine.connect() as connection:
            found = connection.execute(schema.answers.select().order_by(schema.answers.c.answer_id)).all()
        engine.dispose()
    ends: dict[int, float] = {}
    for row in found:
        assert row.started_s >= ends.get(row.worker_id, 0.0)
        assert row.submitted_s > row.started_s
        ends[row.worker_id] = row.submitted_s


def test_skilled_workers_see_what_holds_as_often_as_said() -> None:
    generator = np.random.default_rng(0)
    crowd = Crowd(skill=0.8, false_pick=0.1, slip=0.0)
    answers = [answer_one(TASK, TRUTH, "ann", "skilled", crowd, generator) for _ in range(4000)]
    picked = Counter(label for answer in answers for label in answer.choices)
    for label in TASK.options:
        assert picked[label] / 4000 == pytest.approx(0.8 if label in TRUTH else 0.1, abs=0.03)
    assert all(answer.no_match == (not answer.choices) for answer in answers)
    sure = [answer.choices[0] for answer in answers if 0 in answer.choices]
    assert sure.count("yes") / len(sure) == pytest.approx(crowd.sure, abs=0.03)


def test_perfect_workers_answer_the_truth(drawn_tables: Draw, tmp_path: Path) -> None:
    paths = drawn_tables(25)
    perfect = Crowd(skill=1.0, false_pick=0.0, sloppy=0.0, spam=0.0, slip=0.0, reviewer_error=0.0)
    with answered(tmp_path / "a", *paths, perfect) as store:
        votes = count(store.answers())
    truth = true_sets(tables.read(tables.VIDEOS, paths[1]))
    assert votes.approved_A.all()
    for a in range(len(votes.task_A)):
        assert set(votes.label_C[votes.answer_C == a]) == truth[votes.tasks_N[votes.task_A[a]]]


def test_spammers() -> None:
    generator = np.random.default_rng(0)
    first, blank = (answer_one(TASK, TRUTH, "s", kind, Crowd(), generator) for kind in ("spam_first", "spam_blank"))
    assert list(first.choices) == [3]
    assert blank.blank
    sizes = {len(answer_one(TASK, TRUTH, "s", "spam_random", Crowd(), generator).choices) for _ in range(100)}
    assert sizes == {1, 2, 3}


def test_kinds_of_a_crowd() -> None:
    kinds = Crowd(workers=40, spam=0.25, sloppy=0.1).kinds(np.random.default_rng(0))
    found = Counter(kinds)
    assert sum(found[kind] for kind in SPAM) == 10
    assert max(found[kind] for kind in SPAM) - min(found[kind] for kind in SPAM) <= 1
    assert (found["sloppy"], found["skilled"]) == (4, 26)
    assert Counter(Crowd(workers=3, spam=1.0, sloppy=0.0).kinds(np.random.default_rng(0)))["skilled"] == 0


@pytest.mark.parametrize(
    ("answer", "approved"),
    [
        (Answer(1, "w"), False),
        (Answer(1, "w", {0: "yes"}), True),
        (Answer(1, "w", {0: "yes", 1: "yes"}), True),
        (Answer(1, "w", {0: "yes", 1: "yes", 2: "yes"}), False),
        (Answer(1, "w", {2: "maybe"}), False),
        (Answer(1, "w", no_match=True), False),
        (Answer(1, "w", unsuitable=True), False),
    ],
)
def test_reviewer_approves_what_is_correct_or_close(answer: Answer, approved: bool) -> None:
    generator = np.random.default_rng(0)
    assert review_one(answer, TASK, TRUTH, 0.0, generator) is approved
    assert review_one(answer, TASK, TRUTH, 1.0, generator) is (not approved and not answer.blank)


def test_reviewer_approves_no_match_where_nothing_fits() -> None:
    assert review_one(Answer(1, "w", no_match=True), TASK, frozenset({4}), 0.0, np.random.default_rng(0))


def test_videos_without_true_labels(drawn_tables: Draw) -> None:
    videos = tables.read(tables.VIDEOS, drawn_tables(5)[1])
    with pytest.raises(BadValue, match=r"true_labels.*secondlook annotate create"):
        true_sets(videos.drop_columns("true_labels"))
    empty = videos.slice(0, 0)
    with pytest.raises(BadValue, match="secondlook annotate import"):
        true_sets(empty)


def test_a_task_whose_truth_is_not_known(store: Store) -> None:
    with pytest.raises(BadValue, match=r"'v\d': the true labels of this video are not known"):
        simulate(store, {"v": {0}}, votes=2)
    assert count(store.answers()).task_A.size == 0


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"skill": 1.5}, {"spam": -0.1}, {"spam": 0.7, "sloppy": 0.7}, {"reviewer_error": 2.0}]
)
def test_crowds_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(BadValue):
        Crowd(**wrong)  # type: ignore[arg-type]
