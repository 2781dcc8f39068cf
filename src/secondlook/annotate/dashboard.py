"""How a campaign is doing: progress, pace, cost, every worker's record, and what is stuck; counted by the database."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.standing import flag, is_open, is_rejected, standing

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

HOUR_S = 3600.0
MOST_STUCK = 20
"""Rows that a list of what is stuck holds; its count says how many there are."""


@dataclass(frozen=True)
class Progress:
    """Counts of a campaign; gold tasks, whose answer is known, are not among them."""

    tasks: int
    answered: int
    """Tasks with an answer in their present round, or an earlier one."""
    complete: int
    """Tasks whose present round has all answers asked for."""
    asked: int
    """Answers asked for, over all rounds."""
    given: int
    held: int
    """Answers that people are giving just now."""
    blank: int
    """Of the given, those that a rule rejects because they say nothing."""
    approved: int
    rejected: int
    """By a reviewer, or as blank."""
    open: int
    """Given, not blank, and not judged."""
    waiting: int
    """Tasks with an open answer."""
    second: int
    """Tasks with an answer marked for a second review."""

    @property
    def approval_rate(self) -> float | None:
        """`approved / (approved + rejected)`; None where nothing was judged."""
        judged = self.approved + self.rejected
        return self.approved / judged if judged else None


@dataclass(frozen=True)
class Cost:
    """What the campaign pays: only approved answers are paid."""

    so_far: float
    """`approved * reward`."""
    expected: float
    """`asked * approval rate so far * reward`; where nothing was judged, the most."""
    most: float
    """`asked * reward`."""


@dataclass(frozen=True)
class WorkerRow:
    """One worker's record in a campaign (label-reassessment §1.7)."""

    worker_id: int
    pseudonym: str
    answers: int
    blank: int
    approved: int
    rejected: int
    """By a reviewer, or as blank."""
    seconds: float | None
    """Median time from start to answer."""
    last_s: float | None
    gold_given: int = 0
    gold_right: int = 0
    judged: int = 0
    """Answers of others that this person judged."""
    account_id: int | None = None
    nickname: str = ""
    role: str = ""
    disabled: bool = False

    @property
    def approval_rate(self) -> float | None:
        """`approved / (approved + rejected)`; None where nothing was judged."""
        judged = self.approved + self.rejected
        return self.approved / judged if judged else None


@dataclass(frozen=True)
class Stuck:
    """What does not move."""

    held: tuple[tuple[int, str, float], ...]
    """Task, worker's pseudonym and since when, of assignments held for long; the oldest first."""
    held_count: int
    waiting: tuple[tuple[int, int, int, float | None], ...]
    """Task, answers given, answers asked and when the last one came, of incomplete tasks on which nobody works and
    nothing came for long."""
    waiting_count: int


def progress(store: Store) -> Progress:
    """Counts the campaign's tasks, answers and verdicts."""
    s = standing(store.campaign_id)
    row, task = schema.rounds.c, schema.tasks.c
    by_round = (
        sa.select(
            s.c.task_id,
            s.c.round,
            sa.func.count().label("given"),
            sa.func.sum(s.c.blank).label("blank"),
            sa.func.sum(flag(s.c.approved)).label("approved"),
            sa.func.sum(flag(is_rejected(s))).label("rejected"),
            sa.func.sum(flag(is_open(s))).label("open"),
            sa.func.sum(flag(s.c.second_review)).label("second"),
        )
        .group_by(s.c.task_id, s.c.round)
        .cte("by_round")
    )
    later = schema.rounds.alias("later")
    has_later = sa.exists().where(later.c.task_id == row.task_id, later.c.round > row.round)
    is_complete = sa.and_(by_round.c.given >= row.votes, sa.not_(has_later))
    sums = {
        n: sa.func.coalesce(sa.func.sum(by_round.c[n]), 0) for n in ("given", "blank", "approved", "rejected", "open")
    }
    of_rounds = sa.select(
        *(total.label(n) for n, total in sums.items()),
        sa.func.count(sa.distinct(by_round.c.task_id)).label("answered"),
        sa.func.count(sa.distinct(sa.case((by_round.c.open > 0, by_round.c.task_id)))).label("waiting"),
        sa.func.count(sa.distinct(sa.case((by_round.c.second > 0, by_round.c.task_id)))).label("second"),
        sa.func.coalesce(sa.func.sum(flag(is_complete)), 0).label("complete"),
    ).join_from(by_round, schema.rounds, sa.and_(row.task_id == by_round.c.task_id, row.round == by_round.c.round))
    asked = sa.select(sa.func.coalesce(sa.func.sum(row.votes), 0), sa.func.count(sa.distinct(row.task_id)))
    asked = asked.join(schema.tasks, task.task_id == row.task_id).where(row.campaign_id == store.campaign_id)
    hold = schema.assignments.c
    held = sa.select(sa.func.count()).where(hold.state == "held", hold.campaign_id == store.campaign_id)
    with store.reading() as connection:
        counts = connection.execute(of_rounds).one()
        votes, tasks = connection.execute(asked.where(sa.not_(task.gold))).one()
        now_held = connection.scalar(held) or 0
    return Progress(
        tasks=tasks, asked=votes, held=now_held, **{name: int(value) for name, value in counts._mapping.items()}
    )


def cost(found: Progress, reward: float) -> Cost:
    """What the campaign costs at this reward an approved answer; fees of a platform come on top."""
    rate = 1.0 if found.approval_rate is None else found.approval_rate
    return Cost(found.approved * reward, found.asked * rate * reward, found.asked * reward)


def workers(store: Store) -> list[WorkerRow]:
    """One row a worker who answered or has an account, by pseudonym."""
    s, worker, account = standing(store.campaign_id), schema.workers.c, schema.accounts.c
    record = (
        sa.select(
            s.c.worker_id,
            sa.func.count(),
            sa.func.sum(s.c.blank),
            sa.func.sum(flag(s.c.approved)),
            sa.func.sum(flag(is_rejected(s))),
            sa.func.max(s.c.submitted_s),
        )
        .group_by(s.c.worker_id)
    )  # fmt: skip
    people = sa.select(
        worker.worker_id, worker.pseudonym, account.account_id, account.nickname, account.role, account.disabled
    ).outerjoin_from(schema.workers, schema.accounts, account.worker_id == worker.worker_id)
    with store.reading() as connection:
        records = {row[0]: row[1:] for row in connection.execute(record)}
        median = _median_seconds(connection, store.campaign_id)
        gold = {row[0]: (row[1], row[2]) for row in connection.execute(_gold(store.campaign_id))}
        judged: dict[int, int] = dict(connection.execute(_judged(store.campaign_id)).all())
        known = connection.execute(people.order_by(worker.pseudonym)).all()
    found = []
    for row in known:
        if row.worker_id not in records and row.worker_id not in gold and row.account_id is None:
            continue  # a reviewer of imported verdicts, or a worker of another campaign
        answers, blank, approved, rejected, last_s = records.get(row.worker_id, (0, 0, 0, 0, None))
        given, right = gold.get(row.worker_id, (0, 0))
        about = {"account_id": row.account_id, "nickname": row.nickname or "", "role": row.role or ""}
        found.append(
            WorkerRow(
                row.worker_id, row.pseudonym, answers, blank, approved, rejected, median.get(row.worker_id), last_s,
                given, right, judged.get(row.worker_id, 0), disabled=bool(row.disabled), **about,
            )
        )  # fmt: skip
    return found


def pace(store: Store, now_s: float, hours: int = 48) -> list[int]:
    """Answers that came in each of the last `hours` hours, the oldest first."""
    answer, task = schema.answers.c, schema.tasks.c
    since_s = now_s - hours * HOUR_S
    statement = (
        sa.select(answer.submitted_s)
        .join_from(schema.answers, schema.tasks, task.task_id == answer.task_id)
        .where(answer.submitted_s > since_s, answer.submitted_s <= now_s, answer.revision == 1)
        .where(task.campaign_id == store.campaign_id)
    )
    with store.reading() as connection:
        times_A = np.fromiter(connection.scalars(statement), np.float64)
    ago_A = np.clip(((now_s - times_A) // HOUR_S).astype(np.int64), 0, hours - 1)
    return [int(n) for n in np.bincount(ago_A, minlength=hours)[::-1]]


def stuck(store: Store, now_s: float, *, held_s: float = 2 * HOUR_S, quiet_s: float = 24 * HOUR_S) -> Stuck:
    """What was held for longer than `held_s`, and which incomplete tasks had no answer for longer than `quiet_s`."""
    hold, row, worker = schema.assignments, schema.rounds, schema.workers.c
    old = sa.and_(hold.c.state == "held", hold.c.campaign_id == store.campaign_id, hold.c.given_s < now_s - held_s)
    oldest = sa.select(hold.c.task_id, worker.pseudonym, hold.c.given_s).join(
        schema.workers, worker.worker_id == hold.c.worker_id
    )
    s = standing(store.campaign_id)
    by_round = sa.select(
        s.c.task_id, s.c.round, sa.func.count().label("given"), sa.func.max(s.c.submitted_s).label("last_s")
    )
    by_round = by_round.group_by(s.c.task_id, s.c.round)
    g = by_round.cte("by_round")
    given = sa.func.coalesce(g.c.given, 0)
    busy = sa.exists().where(
        hold.c.task_id == row.c.task_id, hold.c.round == row.c.round, hold.c.state == "held", hold.c.expires_s > now_s
    )
    quiet = (
        sa.select(row.c.task_id, given.label("given"), row.c.votes, g.c.last_s)
        .select_from(row)
        .join(schema.tasks, schema.tasks.c.task_id == row.c.task_id)
        .outerjoin(g, sa.and_(g.c.task_id == row.c.task_id, g.c.round == row.c.round))
        .where(row.c.campaign_id == store.campaign_id, sa.not_(schema.tasks.c.gold), given < row.c.votes)
        .where(sa.or_(g.c.last_s.is_(None), g.c.last_s < now_s - quiet_s), sa.not_(busy))
    )
    counted = quiet.cte("quiet")
    shown = sa.select(counted, sa.func.count().over().label("all_of_them"))
    shown = shown.order_by(sa.func.coalesce(counted.c.last_s, 0), counted.c.task_id).limit(MOST_STUCK)
    with store.reading() as connection:
        held_count = connection.scalar(sa.select(sa.func.count()).select_from(hold).where(old)) or 0
        held = connection.execute(oldest.where(old).order_by(hold.c.given_s).limit(MOST_STUCK)).all()
        rows = connection.execute(shown).all()
    return Stuck(
        held=tuple((t, name, since) for t, name, since in held),
        held_count=held_count,
        waiting=tuple((r.task_id, r.given, r.votes, r.last_s) for r in rows),
        waiting_count=rows[0].all_of_them if rows else 0,
    )


def _median_seconds(connection: sa.Connection, campaign_id: int) -> dict[int, float]:
    """Median seconds from start to first answer by worker (changing it later takes no account of the clip)."""
    answer, task = schema.answers.c, schema.tasks.c
    seconds = answer.submitted_s - answer.started_s
    statement = (
        sa.select(answer.worker_id, seconds)
        .join_from(schema.answers, schema.tasks, task.task_id == answer.task_id)
        .where(task.campaign_id == campaign_id, sa.not_(task.gold), answer.revision == 1, seconds.is_not(None))
    )
    rows_A2 = np.fromiter(chain.from_iterable(connection.execute(statement)), np.float64).reshape(-1, 2)
    rows_A2 = rows_A2[np.lexsort((rows_A2[:, 1], rows_A2[:, 0]))]
    worker_W, first_W, many_W = np.unique(rows_A2[:, 0], return_index=True, return_counts=True)
    median_W = (rows_A2[first_W + (many_W - 1) // 2, 1] + rows_A2[first_W + many_W // 2, 1]) / 2
    return dict(zip(worker_W.astype(int).tolist(), median_W.tolist(), strict=True))


def _judged(campaign_id: int) -> sa.Select[Any]:
    """Reviewer, and how many answers he or she gave a verdict about."""
    verdict, answer, task = schema.verdicts.c, schema.answers.c, schema.tasks.c
    statement = (
        sa.select(verdict.worker_id, sa.func.count(sa.distinct(verdict.answer_id)))
        .join_from(schema.verdicts, schema.answers, answer.answer_id == verdict.answer_id)
        .join(schema.tasks, task.task_id == answer.task_id)
    )
    return statement.where(task.campaign_id == campaign_id).group_by(verdict.worker_id)


def _gold(campaign_id: int) -> sa.Select[Any]:
    """Worker, gold tasks answered, and those answered rightly: some label is a Yes, and every Yes holds."""
    s, known, choice = standing(campaign_id, gold=True), schema.gold_labels, schema.answer_choices
    yes = sa.and_(choice.c.answer_id == s.c.answer_id, choice.c.rating == "yes")
    holds = sa.exists().where(known.c.task_id == s.c.task_id, known.c.label == choice.c.label)
    right = sa.and_(sa.exists().where(yes), sa.not_(sa.exists().where(yes, sa.not_(holds))))
    statement = sa.select(s.c.worker_id, sa.func.count(), sa.func.sum(flag(right)))
    return statement.group_by(s.c.worker_id)
