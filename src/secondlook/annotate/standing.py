"""The answers that count now, with what stands about each, as one query that others build upon."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import schema


def standing(
    campaign_id: int,
    task_ids: Collection[int] | None = None,
    *,
    worker_ids: Collection[int] | None = None,
    gold: bool = False,
) -> sa.Subquery:
    """One row an answer that counts: the highest revision of each worker's answer to each round of a task.

    Columns: `answer_id`, `task_id`, `round`, `worker_id`, `started_s`, `submitted_s`, `no_match`, `review`,
    `unsuitable`; `blank` (neither a choice nor a statement: rejected by rule); of the last verdict `verdict_id`,
    `approved` and `second_review` (null where nobody judged).

    Args:
        campaign_id: the campaign.
        task_ids: of these tasks only.
        worker_ids: of these workers only.
        gold: of gold tasks only; of all others when False.
    """
    answer, task, verdict = schema.answers.alias("answer"), schema.tasks.alias("task"), schema.verdicts.alias("verdict")
    newer, later, choice = schema.answers.alias("newer"), schema.verdicts.alias("later"), schema.answer_choices
    superseded = sa.exists().where(
        newer.c.task_id == answer.c.task_id,
        newer.c.round == answer.c.round,
        newer.c.worker_id == answer.c.worker_id,
        newer.c.revision > answer.c.revision,
    )
    last = sa.select(sa.func.max(later.c.verdict_id)).where(later.c.answer_id == answer.c.answer_id).scalar_subquery()
    chosen = sa.exists().where(choice.c.answer_id == answer.c.answer_id)
    blank = sa.and_(sa.not_(answer.c.no_match), sa.not_(answer.c.unsuitable), sa.not_(chosen))
    statement = (
        sa.select(
            *(answer.c[n] for n in ("answer_id", "task_id", "round", "worker_id", "started_s", "submitted_s")),
            *(answer.c[n] for n in ("no_match", "review", "unsuitable")),
            verdict.c.verdict_id,
            verdict.c.approved,
            verdict.c.second_review,
            flag(blank).label("blank"),
        )
        .select_from(answer)
        .join(task, task.c.task_id == answer.c.task_id)
        .outerjoin(verdict, verdict.c.verdict_id == last)
        .where(task.c.campaign_id == campaign_id, task.c.gold if gold else sa.not_(task.c.gold), sa.not_(superseded))
    )
    if task_ids is not None:
        statement = statement.where(answer.c.task_id.in_(task_ids))
    if worker_ids is not None:
        statement = statement.where(answer.c.worker_id.in_(worker_ids))
    return statement.subquery()


def flag(condition: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """1 where a condition holds, else 0 (also where it is unknown): something to sum in any database."""
    return sa.case((condition, 1), else_=0)


def is_open(row: sa.Subquery) -> sa.ColumnElement[bool]:
    """Whether an answer waits for a verdict: a blank one does not, a rule rejects it (label-reassessment §1.7)."""
    return sa.and_(row.c.verdict_id.is_(None), row.c.blank == 0)


def is_rejected(row: sa.Subquery) -> sa.ColumnElement[bool]:
    """Whether an answer is rejected: by its last verdict, or as blank by rule."""
    judged_no = sa.and_(row.c.verdict_id.is_not(None), sa.not_(row.c.approved))
    return sa.or_(judged_no, sa.and_(row.c.verdict_id.is_(None), row.c.blank == 1))
