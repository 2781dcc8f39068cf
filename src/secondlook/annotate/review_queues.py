"""Which tasks wait for a reviewer and in what order, those that can be approved together, and those that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from secondlook.annotate import intake, schema
from secondlook.annotate.intake import Verdict
from secondlook.annotate.standing import flag, is_open, standing
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

QUEUES = {
    "open": "answers without a verdict",
    "disagreement": "answers without a verdict, those that agree least first",
    "second": "marked for a second review",
    "flagged": "flagged by a worker: unsuitable, or marked for review",
    "agreed": "answers without a verdict, all the same",
    "answered": "every task with an answer",
}
"""What each queue holds."""
_ALL = 2**62
"""More rows than there are: a subquery with a limit is computed once, and not again for each use of its columns."""


@dataclass(frozen=True)
class Failed:
    """A task to be posted again (label-reassessment §1.8)."""

    task_id: int
    rounds: int
    """How often it was posted."""
    approved: int
    """Approved answers of its best round: 0, or 1 that did not choose the given label."""


def count(store: Store, queue: str) -> int:
    """Tasks in a queue."""
    found = _queue(store.campaign_id, queue).subquery()
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(found)) or 0


def waiting(store: Store, queue: str, limit: int = 100) -> list[int]:
    """The first tasks of a queue, in its order."""
    found = _queue(store.campaign_id, queue).subquery()
    statement = sa.select(found.c.task_id).order_by(found.c.rank, found.c.task_id).limit(limit)
    with store.reading() as connection:
        return list(connection.scalars(statement))


def following(store: Store, queue: str, task_id: int) -> int | None:
    """The task after this one in a queue's order, whether or not this one is still in it; None: it was the last."""
    found = _queue(store.campaign_id, queue, after=task_id if queue != "disagreement" else 0).subquery()
    statement = sa.select(found.c.task_id).order_by(found.c.rank, found.c.task_id).limit(1)
    with store.reading() as connection:
        if queue == "disagreement":
            s = standing(store.campaign_id, [task_id])
            rank = connection.scalar(sa.select(_likeness(s).c.likeness))
            rank = 1.0 if rank is None else rank
            later = sa.and_(found.c.rank == rank, found.c.task_id > task_id)
            statement = statement.where(sa.or_(found.c.rank > rank, later))
        return connection.scalar(statement)


def _queue(campaign_id: int, queue: str, after: int = 0) -> sa.Select[Any]:
    """`task_id` and `rank` (sorted by rank, then number) of the tasks of a queue with a number above `after`."""
    if queue not in QUEUES:
        raise UnknownName("queue", queue, QUEUES)
    s = standing(campaign_id)
    if queue == "agreed":
        same = _agreed(campaign_id, after).subquery()
        return sa.select(same.c.task_id, sa.literal(0.0).label("rank")).distinct()
    if queue == "disagreement":
        like = _likeness(s)
        return sa.select(like.c.task_id, like.c.likeness.label("rank")).where(like.c.open > 0)
    wanted = {
        "open": is_open(s),
        "second": s.c.second_review,
        "flagged": sa.or_(s.c.unsuitable, s.c.review),
        "answered": sa.true(),
    }
    tasks = sa.select(s.c.task_id, sa.literal(0.0).label("rank"))
    return tasks.where(wanted[queue], s.c.task_id > after).distinct()


def _likeness(s: sa.Subquery) -> sa.Subquery:
    """Of each task how much its answers are alike, and how many are open.

    The share of its answers that chose a label, averaged over the labels that any chose: 1 where all are the same.
    """
    choice = schema.answer_choices.c
    counted = (
        sa.select(
            s.c.task_id,
            sa.func.count(sa.distinct(sa.case((s.c.blank == 0, s.c.answer_id)))).label("said"),
            sa.func.count(sa.distinct(choice.label)).label("labels"),
            sa.func.count(choice.label).label("chosen"),
            sa.func.sum(flag(is_open(s))).label("open"),
        )
        .outerjoin_from(s, schema.answer_choices, choice.answer_id == s.c.answer_id)
        .group_by(s.c.task_id)
        .limit(_ALL)
        .subquery()
    )
    possible = counted.c.said * counted.c.labels
    likeness = sa.case((possible > 0, 1.0 * counted.c.chosen / sa.func.nullif(possible, 0)), else_=1.0)
    return sa.select(counted.c.task_id, likeness.label("likeness"), counted.c.open).subquery("likeness")


def agreed(store: Store) -> tuple[int, int]:
    """Tasks whose answers are all the same, and how many of these answers wait for a verdict: see `approve_agreed`."""
    found = _agreed(store.campaign_id).subquery()
    statement = sa.select(sa.func.count(sa.distinct(found.c.task_id)), sa.func.coalesce(sa.func.sum(found.c.open), 0))
    with store.reading() as connection:
        tasks, answers = connection.execute(statement).one()
    return tasks, int(answers)


def approve_agreed(store: Store, reviewer: str, expected: int, now_s: float) -> list[int]:
    """Approves every open answer of the tasks whose answers are all the same.

    That is: a round with all answers asked for, two or more, each of the same labels, none blank, flagged, rejected or
    marked for a second review.

    Args:
        store: the campaign.
        reviewer: who says so.
        expected: how many answers the reviewer was told this concerns.
        now_s: the time.

    Returns:
        The tasks, by number. A verdict is undone by another one.

    Raises:
        BadValue: if it concerns another number of answers by now.
    """
    found, s = _agreed(store.campaign_id).subquery(), standing(store.campaign_id)
    here = sa.and_(found.c.task_id == s.c.task_id, found.c.round == s.c.round)
    statement = sa.select(s.c.answer_id, s.c.task_id).join_from(s, found, here).where(is_open(s))
    with store.writing() as connection:
        rows = connection.execute(statement.order_by(s.c.answer_id)).all()
        if len(rows) != expected:
            raise BadValue(
                expected, f"by now this would approve {len(rows)} answers", "Look at the number and say it again."
            )
        verdicts = [Verdict(answer_id, True, reviewer, given_s=now_s) for answer_id, _ in rows]
        intake.judge(connection, store.campaign_id, store.key(), verdicts)
    return sorted({task_id for _, task_id in rows})


def _agreed(campaign_id: int, after: int = 0) -> sa.Select[Any]:
    """`task_id`, `round` and `open` (answers without a verdict) of the rounds that `approve_agreed` speaks of.

    Only of tasks with a number above `after`.
    """
    s, choice, row = standing(campaign_id), schema.answer_choices.c, schema.rounds.c
    answers = sa.func.count()
    rejected = sa.and_(s.c.verdict_id.is_not(None), sa.not_(s.c.approved))
    doubts = sa.or_(s.c.review, s.c.unsuitable, s.c.no_match, s.c.second_review, rejected, s.c.blank == 1)
    unjudged = answers - sa.func.count(s.c.verdict_id)  # all that are open, as none is blank
    sure = (
        sa.select(s.c.task_id, s.c.round, unjudged.label("open"), answers.label("answers"))
        .join_from(s, schema.rounds, sa.and_(row.task_id == s.c.task_id, row.round == s.c.round))
        .where(s.c.task_id > after)
        .group_by(s.c.task_id, s.c.round, row.votes)
        .having(answers >= 2, answers >= row.votes, unjudged > 0, sa.func.sum(flag(doubts)) == 0)
        .limit(_ALL)
        .subquery()
    )
    # Labels are read of these rounds alone: they are few.
    given, newer = schema.answers.alias("given"), schema.answers.alias("changed")
    is_changed = sa.exists().where(
        newer.c.task_id == given.c.task_id,
        newer.c.round == given.c.round,
        newer.c.worker_id == given.c.worker_id,
        newer.c.revision > given.c.revision,
    )
    return (
        sa.select(sure.c.task_id, sure.c.round, sure.c.open)
        .join_from(sure, given, sa.and_(given.c.task_id == sure.c.task_id, given.c.round == sure.c.round))
        .join(schema.answer_choices, choice.answer_id == given.c.answer_id)
        .where(sa.not_(is_changed))
        .group_by(sure.c.task_id, sure.c.round, sure.c.open, sure.c.answers)
        .having(sa.func.count() == sure.c.answers * sa.func.count(sa.distinct(choice.label)))
    )


def failed(store: Store) -> list[Failed]:
    """Tasks to post again: all answers are in and judged, and of the best round none is approved, or one that did not
    choose the given label (label-reassessment §1.8; `reassess.approval_rules` says the same with its defaults).

    Tasks whose clip the approved answers call unsuitable have not failed.
    """
    s, task, choice, row = standing(store.campaign_id), schema.tasks.c, schema.answer_choices.c, schema.rounds.c
    any_label = sa.exists().where(choice.answer_id == s.c.answer_id)
    given = sa.exists().where(choice.answer_id == s.c.answer_id, choice.label == task.given_label)
    by_round = (
        sa.select(
            s.c.task_id,
            s.c.round,
            sa.func.count().label("answers"),
            sa.func.sum(flag(is_open(s))).label("open"),
            sa.func.sum(flag(s.c.approved)).label("approved"),
            sa.func.sum(flag(sa.and_(s.c.approved, s.c.unsuitable))).label("unsuitable"),
            sa.func.sum(flag(sa.and_(s.c.approved, any_label))).label("chose"),
            sa.func.sum(flag(sa.and_(s.c.approved, given))).label("given"),
        )
        .join(schema.tasks, task.task_id == s.c.task_id)
        .group_by(s.c.task_id, s.c.round)
        .cte("by_round")
    )
    doubtful = sa.select(by_round.c.task_id).group_by(by_round.c.task_id)
    doubtful = doubtful.having(sa.func.max(by_round.c.approved) <= 1, sa.func.sum(by_round.c.open) == 0)
    statement = (
        sa.select(row.task_id, row.round, row.votes, by_round)
        .outerjoin_from(
            schema.rounds, by_round, sa.and_(by_round.c.task_id == row.task_id, by_round.c.round == row.round)
        )
        .where(row.task_id.in_(doubtful))
        .order_by(row.task_id, row.round)
    )
    rounds: dict[int, list[Any]] = {}
    with store.reading() as connection:
        for found in connection.execute(statement):
            rounds.setdefault(found[0], []).append(found)
    tasks = []
    for task_id, rows in rounds.items():
        last = rows[-1]
        if last.answers is None or last.answers < last.votes:
            continue  # answers are still to come
        best = max((r for r in rows if r.answers), key=lambda r: (r.approved, r.chose > 0, r.round))
        if 2 * best.unsuitable > best.approved or best.given:
            continue
        tasks.append(Failed(task_id, last.round, best.approved))
    return tasks
