"""Reviewing: sheets, queues, verdicts, approval together, what failed; suggestions with their reasons."""

from __future__ import annotations

import numpy as np
import pytest

from secondlook.annotate import review_queues, reviewing
from secondlook.annotate.answers import count
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.reviewing import Counts, Given
from secondlook.annotate.store import Store
from secondlook.annotate.suggesting import suggest
from secondlook.annotate.workers import record
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import Label, LabelSpace
from secondlook.reassess import approval_rules


def judge(store: Store, *verdicts: tuple[int, bool]) -> None:
    store.judge([Verdict(answer, approved, "rita") for answer, approved in verdicts])


@pytest.mark.spec("label-reassessment", "R1")
def test_a_sheet_has_every_answer_and_every_workers_record(store: Store) -> None:
    first, blank, other = store.submit(
        [Answer(1, "ann", {0: "yes", 2: "maybe"}), Answer(2, "ann"), Answer(1, "bob", {1: "yes"})]
    )
    store.submit([Answer(3, "bob", {0: "yes"})])
    judge(store, (first, True))
    sheet = reviewing.sheet(store, 1)
    by_id = {a.answer_id: a for a in sheet.answers}
    assert set(by_id) == {first, other}, "all answers to the task, and no other"
    assert by_id[first].choices == ((0, "yes"), (2, "maybe"))
    assert (by_id[first].approved, by_id[other].approved) == (True, None)
    assert by_id[first].counts == Counts(done=2, blank=1, approved=1, rejected=1), "a blank answer is rejected by rule"
    assert by_id[first].counts.approval_rate == 0.5
    assert by_id[other].counts == Counts(done=2)
    assert by_id[other].counts.approval_rate is None
    assert reviewing.sheet(store, 2).answers[0].blank
    assert blank
    with pytest.raises(BadValue, match="no such task"):
        reviewing.sheet(store, 99)


def test_numbers_of_workers_say_nothing_about_them(store: Store) -> None:
    tasks = list(store.task_ids().values())
    store.submit([Answer(task, who, {0: "yes"}) for task in tasks for who in ("ann", "bob")])
    sheets = [reviewing.sheet(store, task) for task in tasks]
    assert all([a.number for a in sheet.answers] == [1, 2] for sheet in sheets)
    assert sheets == [reviewing.sheet(store, task) for task in tasks], "the order stays"
    first = [min(sheet.answers, key=lambda a: a.number).answer_id for sheet in sheets]
    order = [min(a.answer_id for a in sheet.answers) == who for sheet, who in zip(sheets, first, strict=True)]
    # Over many made-up workers and tasks each of two workers comes first about half of the time.
    firsts = [reviewing._shuffled(t, 1) < reviewing._shuffled(t, 2) for t in range(400)]
    assert 150 < sum(firsts) < 250
    assert len(order) == 3


@pytest.mark.spec("label-reassessment", "R2")
def test_verdicts_second_reviews_and_their_queue(store: Store) -> None:
    ann, bob = store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob", {1: "yes"})])
    assert review_queues.waiting(store, "open") == [1]
    assert review_queues.count(store, "second") == 0
    sheet = reviewing.decide(store, 1, [Verdict(ann, True, "rita", second_review=True, given_s=1.0)])
    assert [a.second_review for a in sheet.answers if a.answer_id == ann] == [True]
    assert review_queues.waiting(store, "second") == [1]
    reviewing.decide(store, 1, [Verdict(ann, True, "rita"), Verdict(bob, False, "rita")])
    assert review_queues.waiting(store, "second") == [], "a later verdict without the mark ends the second review"
    assert review_queues.waiting(store, "open") == []
    assert review_queues.waiting(store, "answered") == [1]
    with pytest.raises(BadValue, match="not an answer of this task"):
        reviewing.decide(store, 2, [Verdict(ann, True, "rita")])


@pytest.mark.spec("label-reassessment", "R2")
def test_a_blank_answer_waits_for_nobody(store: Store) -> None:
    (blank,) = store.submit([Answer(1, "ann")])
    assert review_queues.count(store, "open") == 0, "it is rejected by rule"
    assert reviewing.sheet(store, 1).answers[0].counts.rejected == 1
    judge(store, (blank, True))
    assert reviewing.sheet(store, 1).answers[0].counts == Counts(done=1, blank=1, approved=1), (
        "unless a reviewer says so"
    )


def test_queues_go_on_where_they_are(store: Store) -> None:
    store.submit([Answer(t, "ann", {0: "yes"}) for t in (1, 2, 3)])
    store.submit([Answer(1, "bob", {1: "yes"}), Answer(2, "bob", {0: "yes"}), Answer(3, "bob", {0: "yes", 1: "yes"})])
    assert review_queues.waiting(store, "open") == [1, 2, 3]
    assert review_queues.following(store, "open", 1) == 2
    assert review_queues.following(store, "open", 3) is None
    assert review_queues.waiting(store, "disagreement") == [1, 3, 2]
    assert [review_queues.following(store, "disagreement", t) for t in (1, 3, 2)] == [3, 2, None]
    assert review_queues.waiting(store, "flagged") == []
    with pytest.raises(UnknownName):
        review_queues.count(store, "nothing")


def test_flagged_answers_have_a_queue(store: Store) -> None:
    store.submit(
        [Answer(1, "ann", {0: "yes"}, review=True), Answer(2, "ann", unsuitable=True), Answer(3, "ann", {1: "yes"})]
    )
    assert review_queues.waiting(store, "flagged") == [1, 2]


def test_answers_that_are_all_the_same_are_approved_together(store: Store) -> None:
    same = store.submit([Answer(1, "ann", {0: "yes", 1: "yes"}), Answer(1, "bob", {1: "maybe", 0: "yes"})])
    store.submit([Answer(2, "ann", {0: "yes"}), Answer(2, "bob", {0: "yes", 1: "yes"}), Answer(3, "ann", {0: "yes"})])
    assert review_queues.agreed(store) == (1, 2), "task 2 has another set, task 3 still waits for an answer"
    assert review_queues.waiting(store, "agreed") == [1]
    with pytest.raises(BadValue, match="by now this would approve 2 answers"):
        review_queues.approve_agreed(store, "rita", 5, 1.0)
    assert review_queues.approve_agreed(store, "rita", 2, 1.0) == [1]
    assert review_queues.agreed(store) == (0, 0)
    judge(store, (same[0], False))
    states = {a.answer_id: a.approved for a in reviewing.sheet(store, 1).answers}
    assert states == {same[0]: False, same[1]: True}, "a verdict is undone by another one"


@pytest.mark.parametrize(
    "doubt", [{"review": True}, {"unsuitable": True}, {"choices": {}}, {"choices": {}, "no_match": True}]
)
def test_doubtful_answers_are_not_approved_together(store: Store, doubt: dict[str, object]) -> None:
    about = {"choices": {0: "yes"}} | doubt
    store.submit([Answer(1, who, **about) for who in ("ann", "bob")])  # type: ignore[arg-type]
    assert review_queues.agreed(store) == (0, 0)


@pytest.mark.spec("label-reassessment", "R5")
def test_what_failed_is_what_the_rule_says(store: Store) -> None:
    """The given label of the fixture's tasks is that of their video's number."""
    given = {task.task_id: task.given_label for task in store.tasks()}
    rng = np.random.default_rng(5)
    for round_of in (1, 2, 3):
        for task, right in given.items():
            wrong = (right + 1) % 5
            for who in ("ann", "bob"):
                label = right if rng.random() < 0.3 else wrong
                (answer,) = store.submit([Answer(task, f"{who}{round_of}", {label: "yes"})])
                judge(store, (answer, bool(rng.random() < 0.4)))
        video = {task_id: video_id for video_id, task_id in store.task_ids().items()}
        found = {video[f.task_id] for f in review_queues.failed(store)}
        assert found == set(approval_rules.fit(store.answers()).failed)
        store.repost(given, votes=2)
        assert review_queues.failed(store) == [], "a task that was posted again waits for its answers"


def test_unjudged_and_unsuitable_tasks_have_not_failed(store: Store) -> None:
    store.submit([Answer(1, "ann", {4: "yes"}), Answer(1, "bob")])
    assert review_queues.failed(store) == []
    ids = store.submit([Answer(2, "ann", unsuitable=True), Answer(2, "bob", unsuitable=True)])
    judge(store, *((i, True) for i in ids))
    assert review_queues.failed(store) == []


def test_notes_are_kept_as_written(store: Store) -> None:
    reviewing.write_note(store, 1, "rita", "  <b>dark</b>, look again ", 5.0)
    (note,) = reviewing.sheet(store, 1).notes
    assert (note.text, note.role, note.written_s) == ("<b>dark</b>, look again", "import", 5.0)
    for text in (" ", "x" * 4001):
        with pytest.raises(BadValue, match="1 to 4000"):
            reviewing.write_note(store, 1, "rita", text, 5.0)


def test_a_record_is_that_of_the_worker_table(store: Store) -> None:
    ids = store.submit([Answer(1, "ann", {0: "yes"}), Answer(2, "ann"), Answer(3, "ann", {1: "yes"})])
    judge(store, (ids[0], True), (ids[1], False))
    (row,) = record(count(store.answers())).to_pylist()
    counts = reviewing.sheet(store, 1).answers[0].counts
    assert (counts.done, counts.blank, counts.approved, counts.rejected) == tuple(
        row[name] for name in ("completed", "blank", "approved", "rejected")
    )


# -- suggestions -------------------------------------------------------------------------------------------------------

SPACE = LabelSpace(
    (Label("lift", "up"), Label("raise", "up"), Label("drop", "down"), Label("roll", "side"), Label("push", "side"))
)


def given(number: int, labels: set[int] = frozenset(), **about: bool) -> Given:  # type: ignore[assignment]
    flags = {"no_match": False, "review": False, "unsuitable": False, "blank": False} | about
    choices = tuple((label, "yes") for label in sorted(labels))
    return Given(number, number, 1, choices, seconds=None, approved=None, second_review=False, counts=Counts(), **flags)


@pytest.mark.parametrize(
    ("answer", "others", "approve", "reason"),
    [
        (given(1, blank=True), [], False, "Blank"),
        (given(1, unsuitable=True), [], None, "unsuitable"),
        (given(1, {0, 2, 3}), [], False, "Every one of the 3"),
        (given(1, {0}), [], True, "the given label"),
        (given(1, {2}), [given(2, {2, 3}), given(3, {3})], True, "1 of 2 others chose “drop” too"),
        (given(1, no_match=True), [given(2, no_match=True)], True, "no label fits"),
        (given(1, no_match=True), [given(2, {3})], None, "nobody else"),
        (given(1, {1}), [given(2, {3})], True, "group, up"),
        (given(1, {2}), [given(2, {3}), given(3, {3})], False, "Shares no label"),
        (given(1, {2}), [given(2, {3}), given(3, {4})], None, "Nobody chose the same"),
    ],
)
def test_suggestions_come_with_their_reason(
    answer: Given, others: list[Given], approve: bool | None, reason: str
) -> None:
    found = suggest(answer, others, 0, (0, 2, 3), SPACE)
    assert found.approve is approve
    assert reason in found.reason


def test_label_vectors_say_what_is_near() -> None:
    vectors_KD = np.array([[1, 0], [0, 1], [0.9, 0.1], [0, 1], [0, 0]], np.float32)
    found = suggest(given(1, {2}), [given(2, {3})], 0, (0, 2, 3), SPACE, vectors_KD)
    assert found.approve
    assert "cosine 0.99" in found.reason
    assert suggest(given(1, {4}), [], 0, (0, 2, 3), SPACE, vectors_KD).approve is None, (
        "a vector of zeros is near nothing"
    )


def test_what_is_the_same_is_the_last_revision(store: Store) -> None:
    held = {who: store.deal(who, 0.0) for who in ("ann", "bob")}
    assert held["ann"] is not None
    assert held["bob"] is not None
    task = held["ann"].task.task_id
    store.give(Answer(task, "ann", {0: "yes"}), 1.0)
    if held["bob"].task.task_id != task:
        store.submit([Answer(task, "bob", {1: "yes"})])
    else:
        store.give(Answer(task, "bob", {1: "yes"}), 1.0)
    assert review_queues.agreed(store) == (0, 0)
    store.give(Answer(task, "ann", {1: "yes"}), 2.0)
    assert review_queues.agreed(store) == (1, 2)
    assert review_queues.waiting(store, "agreed") == [task]
    assert review_queues.following(store, "agreed", task) is None
    assert review_queues.approve_agreed(store, "rita", 2, 3.0) == [task]
