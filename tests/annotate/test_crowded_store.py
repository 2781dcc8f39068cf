"""Many at once, and writers that are killed: threads, processes, kill -9."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from secondlook.annotate.drafts import Draft
from secondlook.annotate.intake import Answer, Refused
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from tests.annotate.crowd import asked, check_places


def work(store: Store, person: str, given: list[tuple[str, int]], clock: list[float]) -> None:
    """Answers until nothing is left; now and then holds a task too long, and loads the next one first."""
    turn = 0
    while True:
        clock[0] += 1.0
        dealt = store.dealt(person, clock[0])
        if dealt.reason == "batch_done":
            store.next_batch(person, clock[0])
            continue
        if dealt.assignment is None:
            return
        turn += 1
        if turn % 3 == 0:
            store.prefetch(person, clock[0])
        task = dealt.assignment.task.task_id
        try:
            store.give(Answer(task, person, {0: "yes"}), clock[0])
        except Refused as error:
            if "another person has it now" not in str(error):  # the clock went on while this thread slept
                raise
        else:
            given.append((person, task))


def together(jobs: list[threading.Thread]) -> None:
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


@pytest.mark.spec("label-reassessment", "A5")
def test_many_people_at_once(workplace: Workplace, labels: LabelSpace) -> None:
    """Half of them through one store, half through another on the same folder; some hold a task and never come back."""
    store = asked(workplace, labels, 20, votes=3, batch=4, lease_s=10.0)
    for i in range(5):
        store.deal(f"gone {i}", 0.0)
        store.prefetch(f"gone {i}", 0.0)
    given: list[tuple[str, int]] = []
    clock = [20.0]
    with Store.open(store.folder) as other:
        stores = (store, other)
        jobs = [
            threading.Thread(target=work, args=(stores[i % 2], f"person {i}", given, clock), daemon=True)
            for i in range(10)
        ]
        together(jobs)
        last: list[tuple[str, int]] = []
        for i in range(4):  # what somebody held while the others looked
            work(store, f"late {i}", last, [1e6])
    everything = given + last
    assert len(set(everything)) == len(everything), "nobody was dealt a task twice"
    assert Counter(task for _, task in everything) == dict.fromkeys(range(1, 21), 3), (
        "all tasks get done, none too often"
    )
    assert Counter(check_places(store).values()) == {3: 20}


CHILD = """
import sys
from secondlook.annotate.intake import Answer, Refused
from secondlook.annotate.store import Store

with Store.open(sys.argv[1]) as store:
    while True:
        dealt = store.dealt(sys.argv[2], 0.0)
        if dealt.reason == "batch_done":
            store.next_batch(sys.argv[2], 0.0)
        elif dealt.assignment is None:
            break
        else:
            task = dealt.assignment.task.task_id
            receipt = store.give(Answer(task, sys.argv[2], {0: "yes", 1: "maybe"}), 0.0)
            sys.stdout.write(f"{task} {receipt.answer_id}\\n")
            sys.stdout.flush()
"""


def child(folder: Path, person: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), person], stdout=subprocess.PIPE, text=True)


def acknowledged(lines: list[str]) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, _, b in (line.strip().partition(" ") for line in lines) if b]


def test_many_processes_at_once(tmp_path: Path, labels: LabelSpace) -> None:
    with Workplace.create(tmp_path / "answers") as workplace:
        store = asked(workplace, labels, 30, votes=2, batch=7)
        children = [child(workplace.folder, f"person {i}") for i in range(3)]
        said = [acknowledged(c.communicate()[0].splitlines()) for c in children]
        assert [c.returncode for c in children] == [0, 0, 0]
        together([threading.Thread(target=work, args=(store, p, [], [0.0])) for p in ("x", "y")])
        assert all(len({task for task, _ in mine}) == len(mine) for mine in said)
        assert Counter(check_places(store).values()) == {2: 30}


@pytest.mark.spec("label-reassessment", "A6")
def test_no_acknowledged_answer_is_lost_when_the_writer_is_killed(tmp_path: Path, labels: LabelSpace) -> None:
    with Workplace.create(tmp_path / "answers", key=b"k" * 32) as workplace:
        asked(workplace, labels, 3000, votes=1, batch=1000)
    kept_ids: set[tuple[int, int]] = set()
    for stop_after in (3, 40, 17):
        writer = child(tmp_path / "answers", "ann")
        assert writer.stdout is not None
        lines: list[str] = []
        with writer.stdout:
            for line in writer.stdout:
                lines.append(line)
                if len(lines) == stop_after:
                    writer.send_signal(signal.SIGKILL)
                    break
            lines += writer.stdout.readlines()
        assert writer.wait() == -signal.SIGKILL
        kept_ids |= set(acknowledged(lines))
        with Store.open(tmp_path / "answers") as store:
            rows = [r for r in store.answers().to_pylist() if r["worker"]]
            found = {(r["task_id"], r["answer_id"], r["label"]) for r in rows}
            for task_id, answer_id in kept_ids:
                assert {(task_id, answer_id, 0), (task_id, answer_id, 1)} <= found
            assert len(found) == 2 * len({r["answer_id"] for r in rows}), "an answer is there whole or not at all"
            check_places(store)
            resumed = store.deal("ann", 1.0)
            assert resumed is not None
            assert resumed.position == len({r["answer_id"] for r in rows}) + 1
        connection = sqlite3.connect(tmp_path / "answers" / "store.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
    assert len(kept_ids) >= 60


def test_no_query_of_a_person_walks_through_all_tasks(tmp_path: Path, labels: LabelSpace) -> None:
    """What dealing and giving ask finds its rows by an index, in SQLite's own words."""
    asked_for: list[tuple[str, object]] = []

    def listen(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked_for.append((statement, parameters))

    with Workplace.create(tmp_path / "answers") as workplace:
        store = asked(workplace, labels, 300, votes=2, gold_share=0.3, qualify=1, lease_s=10.0)
        store.set_gold("v00007", [0])
        store.set_gold("v00008", [0])
        sa.event.listen(sa.Engine, "before_cursor_execute", listen)
        try:
            for now_s in (0.0, 1.0, 50.0, 51.0):
                task = store.deal("ann", now_s).task.task_id
                store.prefetch("ann", now_s)
                store.batch("ann", now_s)
                store.save_draft("ann", task, Draft({1: "yes"}), now_s)
                store.draft("ann", task)
                store.give(Answer(task, "ann", {0: "yes"}), now_s)
                store.give(Answer(task, "ann", {1: "yes"}), now_s)
                store.answer_of("ann", task)
                store.deal("bob", now_s)
                turn = store.turn("cy", now_s)
                assert turn.dealt.assignment is not None
                assert store.hand_in("cy", turn.dealt.assignment.task.task_id, Draft({0: "yes"}), now_s)
            store.gold_record("ann")
            workplace.accounts.session("cookie", 0.0)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    connection = sqlite3.connect(tmp_path / "answers" / "store.sqlite")
    plans = [
        (row[3], statement)
        for statement, parameters in asked_for
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
    ]
    connection.close()
    assert len(plans) > 100
    assert not {plan for plan in plans if plan[0].startswith("SCAN") and plan[0] != "SCAN CONSTANT ROW"}
    wanting = [plan for plan, statement in plans if "rounds.taken < rounds.votes" in statement]
    assert any("rounds_wanting (campaign_id=?" in plan for plan in wanting)
    assert any("answers_of_worker (worker_id=? AND task_id=?)" in plan for plan in wanting)
    assert not any("TEMP B-TREE" in plan for plan in wanting), "the order comes from the index"
