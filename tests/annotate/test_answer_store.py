"""The store: what it takes, what it refuses, what it keeps."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from secondlook.annotate import schema, workers
from secondlook.annotate.answers import count
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.store import Store, making
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace


def rows(store: Store) -> list[dict[str, object]]:
    return [row for row in store.answers().to_pylist() if row["worker"]]


def test_an_answer_comes_back_as_it_was_given(store: Store) -> None:
    task = store.task_ids()["v1"]
    store.submit([Answer(task, "ann", {2: "yes", 4: "maybe"}, review=True, started_s=1.0, submitted_s=2.5)])
    store.submit([Answer(task, "bob", no_match=True)])
    with Store.open(store.folder) as again:
        found = rows(again)
    assert {r["task"] for r in found} == {"v1"}
    assert [(r["label"], r["rating"]) for r in found] == [(2, "yes"), (4, "maybe"), (-1, "")]
    assert [(r["review"], r["no_match"], r["unsuitable"]) for r in found] == [
        (True, False, False), (True, False, False), (False, True, False),
    ]  # fmt: skip
    assert {r["given_label"] for r in found} == {1}
    assert {r["verdict"] for r in found} == {""}
    assert len({r["worker"] for r in found}) == 2


def test_tasks_without_an_answer_keep_a_row(store: Store) -> None:
    store.submit([Answer(store.task_ids()["v1"], "ann", {0: "yes"})])
    table = store.answers().to_pylist()
    assert sorted((r["task"], r["worker"] is None) for r in table) == [("v0", True), ("v1", False), ("v2", True)]
    assert count(store.answers()).tasks_N.tolist() == ["v0", "v1", "v2"]


def test_options_keep_the_order_in_which_they_are_shown(store: Store) -> None:
    assert {task.options for task in store.tasks()} == {(2, 0, 1)}
    assert sorted(task.video_id for task in store.tasks()) == ["v0", "v1", "v2"]


def test_a_worker_answers_a_task_once_but_may_send_it_again(store: Store) -> None:
    first = store.submit([Answer(1, "ann", {0: "yes"})])
    assert store.submit([Answer(1, "ann", {0: "yes"})]) == first
    with pytest.raises(BadValue, match="already answered the task otherwise"):
        store.submit([Answer(1, "ann", {0: "maybe"})])
    with pytest.raises(BadValue, match="already answered the task otherwise"):
        store.submit([Answer(1, "ann", {0: "yes"}, review=True)])
    assert len(rows(store)) == 1


def test_one_batch_cannot_answer_twice_either(store: Store) -> None:
    same, other = Answer(1, "ann", {0: "yes"}), Answer(1, "ann", {1: "yes"})
    receipts = store.offer([same, same, other])
    assert [r.new for r in receipts] == [True, False, False]
    assert receipts[0].answer_id == receipts[1].answer_id
    assert receipts[2].problem is not None
    assert receipts[2].problem.about == "worker"


def test_votes_never_exceed_what_was_asked(store: Store) -> None:
    store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob", {0: "yes"})])
    with pytest.raises(BadValue, match="already has the 2 answers asked for"):
        store.submit([Answer(1, "cy", {0: "yes"})])
    assert store.submit([Answer(1, "bob", {0: "yes"})]), "an answer that is there is acknowledged, full or not"


def test_votes_never_exceed_what_was_asked_when_many_write_at_once(store: Store) -> None:
    refused: list[BadValue] = []

    def write(through: Store, person: str) -> None:
        for task in (1, 2, 3):
            try:
                through.submit([Answer(task, person, {0: "yes"})])
            except BadValue as error:
                refused.append(error)

    with Store.open(store.folder) as other:  # three people through one store, three through another on the same folder
        threads = [
            threading.Thread(target=write, args=((store, other)[i % 2], f"person {i}"), daemon=True) for i in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(r["task"] for r in rows(store)) == {"v0": 2, "v1": 2, "v2": 2}
    assert len(refused) == 6 * 3 - 6


def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    good, bad = Answer(1, "ann", {0: "yes"}), Answer(99, "ann", {0: "yes"})
    with pytest.raises(BadValue, match="no such task"):
        store.submit([good, bad])
    assert rows(store) == []
    receipts = store.offer([bad, good])
    assert [bool(r.problem) for r in receipts] == [True, False]
    assert len(rows(store)) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(1, "ann", {5: "yes"}), "from 0 to 4"),
        (Answer(1, "ann", {-1: "yes"}), "from 0 to 4"),
        (Answer(1, "ann", {0: "perhaps"}), "yes or maybe"),  # type: ignore[dict-item]
        (Answer(1, "  ", {0: "yes"}), "must not be empty"),
        (Answer(1, "ann", {0: "yes"}, no_match=True), "no label fits"),
        (Answer(1, "ann", {0: "yes"}, started_s=2.0, submitted_s=1.0), "before the start"),
        (Answer(1, "ann", {0: "yes"}, round=2), "is in round 1"),
    ],
)
def test_answers_that_make_no_sense_are_refused(store: Store, answer: Answer, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        store.submit([answer])
    assert rows(store) == []


def test_labels_and_notes_are_data_only(tmp_path: Path) -> None:
    nasty = "Robert'); DROP TABLE answers;-- <script>alert(1)</script>"
    space = LabelSpace.from_names([nasty, "b"])
    with Store.create(tmp_path / nasty.replace("/", ""), [Task(nasty, nasty, 0, (1, 0))], space) as store:
        store.submit([Answer(1, nasty, {0: "yes"})])
        store.note(1, nasty, nasty, 3.0)
        assert rows(store)[0]["task"] == nasty
        assert store.notes() == [(1, store.pseudonym(nasty), nasty)]
        assert store.labels.names[0] == nasty


@pytest.mark.parametrize("table", schema.APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = NULL", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_was_given_cannot_be_changed(store: Store, table: str, change: str) -> None:
    ids = store.submit([Answer(1, "ann", {0: "yes"})])
    store.judge([Verdict(ids[0], True, "rita")])
    store.note(1, "ann", "dark")
    store.workplace.record("looked", 1.0)
    statement = change.format(table, schema.metadata.tables[table].columns.keys()[-1])
    with store.reading() as connection:
        unknown = connection.dialect.name == "sqlite" and change.startswith("TRUNCATE")
    with pytest.raises(sa.exc.DBAPIError, match="syntax" if unknown else "append-only"), store.writing() as connection:
        connection.exec_driver_sql(statement)


def test_the_last_verdict_counts(store: Store) -> None:
    (answer,) = store.submit([Answer(1, "ann", {0: "yes"})])
    assert store.judge([Verdict(answer, True, "rita")]) == 1
    assert store.judge([Verdict(answer, True, "rita")]) == 0, "saying the same again adds nothing"
    assert rows(store)[0]["verdict"] == "approved"
    assert store.judge([Verdict(answer, False, "rita")]) == 1
    assert rows(store)[0]["verdict"] == "rejected"
    with pytest.raises(BadValue, match="no such answer"):
        store.judge([Verdict(answer, True, "rita"), Verdict(77, True, "rita")])
    assert rows(store)[0]["verdict"] == "rejected"


@pytest.mark.spec("label-reassessment", "R3")
def test_the_approval_rate_follows_every_decision(store: Store) -> None:
    ids = store.submit([Answer(task, "ann", {0: "yes"}) for task in (1, 2, 3)])

    def rate() -> float | None:
        (row,) = workers.record(count(store.answers())).to_pylist()
        return None if row["approval_rate"] is None else round(row["approval_rate"], 3)

    seen = [rate()]
    for answer, approved in ((ids[0], True), (ids[1], False), (ids[2], True), (ids[1], True)):
        store.judge([Verdict(answer, approved, "rita")])
        seen.append(rate())
    assert seen == [None, 1.0, 0.5, 0.667, 1.0]


def test_worker_record_by_hand(store: Store) -> None:
    ids = store.submit([Answer(1, "ann", {0: "yes", 1: "yes"}), Answer(2, "ann"), Answer(3, "ann", unsuitable=True)])
    store.judge([Verdict(ids[0], True, "rita"), Verdict(ids[1], False, "rita")])
    (row,) = workers.record(count(store.answers())).to_pylist()
    assert row == {
        "worker": store.pseudonym("ann"), "completed": 3, "blank": 1, "approved": 1, "rejected": 1, "unjudged": 1,
        "approval_rate": 0.5, "labels_per_answer": pytest.approx(2 / 3),
    }  # fmt: skip


def test_a_task_can_be_posted_again_when_its_round_is_full(store: Store) -> None:
    store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob", {0: "yes"}), Answer(2, "ann", {0: "yes"})])
    assert store.repost([1, 2], votes=3) == [1], "task 2 still waits for an answer in its first round"
    assert store.submit([Answer(1, "ann", {0: "yes"})]) == [1], "the same answer is the one of round 1"
    assert len(store.submit([Answer(1, "ann", {1: "yes"})])) == 1
    assert sorted(r["round"] for r in rows(store) if r["task_id"] == 1) == [1, 1, 2]
    with pytest.raises(BadValue, match="from 1 to 100"):
        store.repost([1], votes=0)
    with pytest.raises(BadValue, match="no such task"):
        store.repost([9], votes=3)


def test_create_refuses_what_makes_no_sense(tmp_path: Path, labels: LabelSpace) -> None:
    task = Task("v", "", 0, (0, 1))
    with pytest.raises(BadValue, match="nothing to ask"):
        Store.create(tmp_path / "a", [], labels)
    with pytest.raises(BadValue, match="comes twice"):
        Store.create(tmp_path / "a", [task, task], labels)
    with pytest.raises(BadValue, match="from 1 to 100"):
        Store.create(tmp_path / "a", [task], labels, votes=0)
    assert list(tmp_path.iterdir()) == []


def test_answers_are_never_overwritten(store: Store, tmp_path: Path, labels: LabelSpace) -> None:
    store.submit([Answer(1, "ann", {0: "yes"})])
    with pytest.raises(BadValue, match="secondlook annotate import"):
        Store.create(store.folder, [Task("v", "", 0, (0,))], labels)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").touch()
    with pytest.raises(BadValue, match="not an empty folder"):
        Store.create(tmp_path / "full", [Task("v", "", 0, (0,))], labels)
    assert len(rows(store)) == 1
    (tmp_path / "empty").mkdir()
    Store.create(tmp_path / "empty", [Task("v", "", 0, (0,))], labels).close()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with making(tmp_path / "a") as part:
            part.mkdir()
            (part / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert list(tmp_path.iterdir()) == []


def test_the_key_stays_beside_the_database(store: Store) -> None:
    key = store.folder / "pseudonym.key"
    assert key.stat().st_mode & 0o077 == 0
    store.submit([Answer(1, "ann", {0: "yes"})])
    key.unlink()
    with Workplace.open(store.folder) as again, pytest.raises(MissingFile, match=r"pseudonym\.key"):
        again.campaign().submit([Answer(1, "bob", {0: "yes"})])
    assert len(rows(store)) == 1, "what is there can still be read"


def test_pseudonyms_need_the_key() -> None:
    assert workers.pseudonym(b"a" * 32, " ann ") == workers.pseudonym(b"a" * 32, "ann")
    assert workers.pseudonym(b"a" * 32, "ann") != workers.pseudonym(b"b" * 32, "ann")
    assert workers.pseudonym(b"a" * 32, "ann", "v")[2:] != workers.pseudonym(b"a" * 32, "ann", "w")[2:]


def test_taking_answers_never_walks_through_all_tasks(tmp_path: Path, labels: LabelSpace) -> None:
    """Every query that a saved answer needs finds its rows by a key, whatever else the store holds."""
    tasks = [Task(f"v{i:04}", "", 0, (0, 1)) for i in range(700)]
    asked: list[tuple[str, object]] = []

    def listen(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    with Store.create(tmp_path / "answers", tasks, labels) as store:
        sa.event.listen(sa.Engine, "before_cursor_execute", listen)
        try:
            for size in (1, 700):
                ids = store.submit([Answer(t, f"person {size}", {0: "yes"}) for t in range(1, size + 1)])
                store.judge([Verdict(i, True, "rita") for i in ids])
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    database = sqlite3.connect(tmp_path / "answers" / "store.sqlite")
    plans = [
        row[3]
        for statement, parameters in asked
        if statement.startswith("SELECT")
        for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
    ]
    database.close()
    assert len(plans) > 12
    assert not [plan for plan in plans if plan.startswith("SCAN") or "campaign_id=?" in plan]
