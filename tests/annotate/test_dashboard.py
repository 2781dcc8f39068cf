"""The dashboard's counts, each by hand on a small store, and against slow twins on a drawn one."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import sqlalchemy as sa

from secondlook.annotate import dashboard, review_queues
from secondlook.annotate.answers import count
from secondlook.annotate.intake import Answer, Verdict
from secondlook.annotate.standing import standing
from secondlook.annotate.store import Store
from secondlook.annotate.workers import record


def test_progress_by_hand(store: Store) -> None:
    first, _ = store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob")])
    second, _ = store.submit([Answer(2, "ann", {1: "yes"}), Answer(3, "ann", {1: "yes"}, review=True)])
    store.judge([Verdict(first, True, "rita", second_review=True), Verdict(second, False, "rita")])
    found = dashboard.progress(store)
    assert (found.tasks, found.answered, found.complete) == (3, 3, 1)
    assert (found.asked, found.given, found.held) == (6, 4, 0)
    assert (found.blank, found.approved, found.rejected, found.open) == (1, 1, 2, 1)
    assert (found.waiting, found.second) == (1, 1)
    assert found.approval_rate == pytest.approx(1 / 3)
    assert dashboard.cost(found, 0.3) == dashboard.Cost(pytest.approx(0.3), pytest.approx(0.6), pytest.approx(1.8))


def test_an_empty_campaign_counts_nothing(store: Store) -> None:
    found = dashboard.progress(store)
    assert (found.tasks, found.asked, found.given, found.complete, found.approved) == (3, 6, 0, 0, 0)
    assert found.approval_rate is None
    assert dashboard.cost(found, 0.5).expected == 3.0, "where nothing was judged, the most"
    assert dashboard.workers(store) == []
    assert dashboard.pace(store, 1e9, hours=3) == [0, 0, 0]
    assert dashboard.stuck(store, 1e9).waiting_count == 3


def test_a_task_posted_again_is_not_complete(store: Store) -> None:
    store.submit([Answer(1, "ann", {0: "yes"}), Answer(1, "bob", {0: "yes"})])
    assert dashboard.progress(store).complete == 1
    store.repost([1], votes=1)
    found = dashboard.progress(store)
    assert (found.complete, found.asked, found.answered) == (0, 7, 1)
    store.submit([Answer(1, "cat", {0: "yes"})])
    assert dashboard.progress(store).complete == 1


def fill(store: Store, seed: int = 0) -> None:
    """Answers and verdicts at random."""
    rng = np.random.default_rng(seed)
    for task in (1, 2, 3):
        for who in rng.permutation(["ann", "bob", "cat"])[:2]:
            choices = {int(label): "yes" for label in rng.choice(5, int(rng.integers(0, 3)), replace=False)}
            start = float(rng.integers(0, 9000))
            about = Answer(task, str(who), choices, started_s=start, submitted_s=start + float(rng.integers(1, 90)))  # type: ignore[arg-type]
            (answer,) = store.submit([about])
            if rng.random() < 0.7:
                store.judge([Verdict(answer, bool(rng.random() < 0.6), "rita")])


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_the_answers_table(store: Store, seed: int) -> None:
    fill(store, seed)
    votes = count(store.answers())
    found = dashboard.progress(store)
    by_rule_A = votes.blank_A & ~votes.judged_A
    assert found.given == len(votes.task_A)
    assert found.blank == votes.blank_A.sum()
    assert found.approved == votes.approved_A.sum()
    assert found.rejected == (votes.rejected_A | by_rule_A).sum()
    assert found.open == (~votes.judged_A & ~votes.blank_A).sum()
    told = {row["worker"]: row for row in record(votes).to_pylist()}
    rows = dashboard.workers(store)
    assert [row.pseudonym for row in rows] == sorted(told)
    for row in rows:
        by_rule = int((by_rule_A & (votes.workers_W[votes.worker_A] == row.pseudonym)).sum())
        assert (row.answers, row.blank, row.approved) == tuple(
            told[row.pseudonym][name] for name in ("completed", "blank", "approved")
        )
        assert row.rejected == told[row.pseudonym]["rejected"] + by_rule


def test_median_seconds(store: Store) -> None:
    took = {1: 10.0, 2: 40.0, 3: 15.0}
    store.submit([Answer(t, "ann", {0: "yes"}, started_s=100.0, submitted_s=100.0 + s) for t, s in took.items()])
    store.submit([Answer(t, "bob", {0: "yes"}, started_s=0.0, submitted_s=s) for t, s in took.items() if t < 3])
    found = {row.pseudonym: row.seconds for row in dashboard.workers(store)}
    assert found[store.pseudonym("ann")] == statistics.median(took.values())
    assert found[store.pseudonym("bob")] == 25.0, "of an even number, the mean of the two in the middle"


def test_pace_counts_by_the_hour(store: Store) -> None:
    now = 1_000_000.0
    for task, ago_h in ((1, 0.5), (2, 1.5), (3, 99)):
        store.submit([Answer(task, "ann", {0: "yes"}, submitted_s=now - ago_h * 3600)])
    store.submit([Answer(1, "bob", {0: "yes"}, submitted_s=now), Answer(2, "bob", {0: "yes"}, submitted_s=now + 60)])
    assert dashboard.pace(store, now, hours=3) == [0, 1, 2], "neither the old one nor the one of the future"


def test_gold_answers_are_counted_apart(store: Store) -> None:
    store.set_gold(1, [0, 1])
    store.submit(
        [Answer(1, "ann", {0: "yes", 4: "maybe"}), Answer(1, "bob", {0: "yes", 4: "yes"}), Answer(2, "ann", {0: "yes"})]
    )
    found = {row.pseudonym: row for row in dashboard.workers(store)}
    ann, bob = found[store.pseudonym("ann")], found[store.pseudonym("bob")]
    assert (ann.answers, ann.gold_given, ann.gold_right) == (1, 1, 1)
    assert (bob.answers, bob.gold_given, bob.gold_right) == (0, 1, 0), "a Yes that does not hold"
    assert dashboard.progress(store).tasks == 2


def test_what_is_held_and_what_waits(store: Store) -> None:
    held = store.deal("ann", 1000.0)
    assert held is not None
    now = 1000.0 + 10 * 3600
    found = dashboard.stuck(store, now)
    assert found.held_count == 1
    assert found.held == ((held.task.task_id, store.pseudonym("ann"), 1000.0),)
    assert dashboard.stuck(store, 1001.0).held_count == 0
    assert dashboard.stuck(store, 1001.0).waiting_count == 2, "somebody is at one of the three"
    assert found.waiting_count == 3, "his time is over"
    store.submit([Answer(2, "bob", {0: "yes"}, submitted_s=now)])
    assert 2 not in {row[0] for row in dashboard.stuck(store, now + 60).waiting}


def test_only_the_last_revision_counts(store: Store) -> None:
    given = store.deal("ann", 1.0)
    assert given is not None
    task = given.task.task_id
    store.give(Answer(task, "ann", {0: "yes"}, started_s=1.0, submitted_s=11.0), 11.0)
    store.give(Answer(task, "ann", {1: "yes"}, started_s=1.0, submitted_s=99.0), 99.0)
    assert dashboard.progress(store).given == 1
    assert dashboard.workers(store)[0].seconds == 10.0, "the time of the first one"
    s = standing(store.campaign_id)
    with store.reading() as connection:
        assert len(connection.execute(sa.select(s.c.answer_id)).all()) == 1


@pytest.mark.parametrize("query", ["one", "queue"])
def test_a_task_is_looked_up_and_not_searched_for(store: Store, query: str) -> None:
    """No query of the review page may walk through all answers to find those of one task."""
    s = standing(store.campaign_id, [1])
    statement = sa.select(s) if query == "one" else review_queues._queue(store.campaign_id, "open", after=5)
    with store.reading() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("plans are read as SQLite writes them")
        text = str(statement.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    walks = [step for step in plan if step.startswith("SCAN") and "subquery" not in step.lower() and "(" not in step]
    assert not walks, plan


def test_who_judged_and_when(store: Store) -> None:
    ids = store.submit([Answer(t, who, {0: "yes"}) for t in (1, 2) for who in ("ann", "bob")])
    rita = store.workplace.accounts.accept(store.workplace.accounts.invite("reviewer", 0.0), "Rita", 0.0)[0]
    store.judge(
        [Verdict(ids[0], True, rita.person, given_s=7200.0), Verdict(ids[1], False, rita.person, given_s=10799)]
    )
    store.judge([Verdict(ids[1], True, rita.person, given_s=10801.0), Verdict(ids[2], True, "imported")])
    store.judge([Verdict(ids[3], True, "sam", given_s=7300.0)])
    found = store.workplace.judged()
    assert [(j.account_id, j.verdicts, j.approved, j.last_s) for j in found] == [
        (rita.account_id, 1, 1, 10801.0),
        (rita.account_id, 2, 1, 10799.0),
        (None, 1, 1, 7300.0),
    ], "a verdict without a time is of no hour"
    assert {j.campaign for j in found} == {store.name}
    assert found[2].pseudonym == store.pseudonym("sam")
    assert store.workplace.judged(limit=1) == found[:1]
    judged = {row.pseudonym: row.judged for row in dashboard.workers(store)}
    assert judged == {rita.pseudonym: 2, store.pseudonym("ann"): 0, store.pseudonym("bob"): 0}
