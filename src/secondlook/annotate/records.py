"""Reads a store's answers as one long table, in batches, so that memory holds numbers and no rows."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.answers import VERDICTS
from secondlook.tables import UNLABELLED

_BATCH = 50_000


def read(connection: sa.Connection, campaign_id: int, gold: bool = False) -> pa.Table:
    """Every answer of a campaign that counts: the columns of `answers.COLUMNS`, and `task_id` and `answer_id`.

    Of an answer that was changed, the last revision counts. Rows stand in the order in which they came, then labels
    ascending; then one row for each task without an answer. Gold tasks are left out unless `gold`.
    """
    task, answer = schema.tasks.c, schema.answers.c
    names = connection.execute(
        sa.select(task.task_id, task.video_id, task.given_label)
        .where(task.campaign_id == campaign_id, task.gold.in_([False, gold]))
        .order_by(task.task_id)
    ).all()
    task_id_N = np.array([row[0] for row in names], np.int64)
    given_N = np.array([row[2] for row in names], np.int32)
    workers = connection.execute(sa.select(schema.workers).order_by(schema.workers.c.worker_id)).all()
    worker_id_W = np.array([row[0] for row in workers], np.int64)

    in_campaign = sa.select(task.task_id).where(task.campaign_id == campaign_id, task.gold.in_([False, gold]))
    newer = schema.answers.alias("newer").c
    is_changed = sa.exists().where(
        newer.task_id == answer.task_id,
        newer.round == answer.round,
        newer.slot == answer.slot,
        newer.revision > answer.revision,
    )
    counts = sa.and_(answer.task_id.in_(in_campaign), ~is_changed)
    statement = sa.select(
        *(answer.answer_id, answer.task_id, answer.worker_id, answer.round),
        *(answer.no_match, answer.review, answer.unsuitable),
    )
    facts_A = _integers(connection, statement.where(counts).order_by(answer.answer_id))
    answer_id_A = facts_A[:, 0]
    choice = schema.answer_choices.c
    is_maybe = sa.case((choice.rating == "maybe", 1), else_=0)
    choices_C = _integers(
        connection,
        sa.select(choice.answer_id, choice.label, is_maybe)
        .where(choice.answer_id.in_(sa.select(answer.answer_id).where(counts)))
        .order_by(choice.answer_id, choice.label),
    )

    # One row a choice; one row for an answer without a choice; one row for a task without an answer.
    per_answer = np.bincount(np.searchsorted(answer_id_A, choices_C[:, 0]), minlength=len(answer_id_A))
    rows_A = np.maximum(per_answer, 1)
    of_R = np.repeat(np.arange(len(answer_id_A)), rows_A)
    has_choice_R = per_answer[of_R] > 0
    label_R = np.full(len(of_R), UNLABELLED, np.int32)
    label_R[has_choice_R] = choices_C[:, 1]
    rating_R = np.zeros(len(of_R), np.int8)
    rating_R[has_choice_R] = np.where(choices_C[:, 2] == 1, 2, 1)
    task_A = np.searchsorted(task_id_N, facts_A[:, 1])
    verdict_A = _verdicts(connection, answer_id_A)
    lonely = np.setdiff1d(np.arange(len(task_id_N)), task_A)

    def column(values_A: npt.NDArray[Any], without_answer: Any) -> npt.NDArray[Any]:
        return np.concatenate([values_A[of_R], np.full(len(lonely), without_answer, values_A.dtype)])

    def unanswered(values_R: npt.NDArray[Any], value: int) -> npt.NDArray[Any]:
        return np.concatenate([values_R, np.full(len(lonely), value, values_R.dtype)])

    shown, options_N = np.unique(np.array(_options(connection, task_id_N), object), return_inverse=True)
    task_R = np.concatenate([task_A[of_R], lonely])
    worker_R = column(np.searchsorted(worker_id_W, facts_A[:, 2]), -1)
    return pa.table(
        {
            "task": _dictionary(task_R, [row[1] for row in names]),
            "worker": _dictionary(worker_R, [row[1] for row in workers]),
            "label": unanswered(label_R, UNLABELLED),
            "verdict": _dictionary(column(verdict_A, 2), list(VERDICTS)),
            "given_label": given_N[task_R],
            "round": column(facts_A[:, 3].astype(np.int16), 1),
            "rating": _dictionary(unanswered(rating_R, 0), ["", "yes", "maybe"]),
            "no_match": column(facts_A[:, 4].astype(np.bool_), False),
            "review": column(facts_A[:, 5].astype(np.bool_), False),
            "unsuitable": column(facts_A[:, 6].astype(np.bool_), False),
            "options": _dictionary(options_N[task_R], list(shown)),
            "task_id": task_id_N[task_R],
            "answer_id": column(answer_id_A, 0),
        }
    )


def latest_verdicts(answer_ids: Collection[int] | None = None) -> sa.Select[Any]:
    """The verdict of each answer that counts, its last one; of these answers only, if they are given."""
    verdict = schema.verdicts.c
    newest = sa.select(sa.func.max(verdict.verdict_id)).group_by(verdict.answer_id)
    if answer_ids is not None:
        newest = newest.where(verdict.answer_id.in_(answer_ids))
    return sa.select(schema.verdicts).where(verdict.verdict_id.in_(newest))


def _verdicts(connection: sa.Connection, answer_id_A: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Index in `VERDICTS` of each answer."""
    latest = latest_verdicts().subquery()
    rows = _integers(connection, sa.select(latest.c.answer_id, latest.c.approved).order_by(latest.c.answer_id))
    rows = rows[np.isin(rows[:, 0], answer_id_A)]
    found = np.full(len(answer_id_A), VERDICTS.index(""), np.int8)
    found[np.searchsorted(answer_id_A, rows[:, 0])] = 1 - rows[:, 1]
    return found


def _options(connection: sa.Connection, task_id_N: npt.NDArray[np.int64]) -> list[str]:
    """The labels that each task showed, in the order shown."""
    option = schema.task_options.c
    rows = _integers(connection, sa.select(option.task_id, option.label).order_by(option.task_id, option.position))
    shown: list[list[str]] = [[] for _ in task_id_N]
    rows = rows[np.isin(rows[:, 0], task_id_N)]
    for n, label in zip(np.searchsorted(task_id_N, rows[:, 0]).tolist(), rows[:, 1].tolist(), strict=True):
        shown[n].append(str(label))
    return [" ".join(labels) for labels in shown]


def _integers(connection: sa.Connection, statement: sa.Select[Any]) -> npt.NDArray[np.int64]:
    """The rows of a query that gives whole numbers and truth values, as one matrix."""
    width = len(statement.selected_columns)
    with connection.execute(statement.execution_options(yield_per=_BATCH)) as result:
        parts = [
            np.fromiter(itertools.chain.from_iterable(rows), np.int64, len(rows) * width).reshape(-1, width)
            for rows in result.partitions()
        ]
    return np.concatenate(parts) if parts else np.empty((0, width), np.int64)


def _dictionary(index_R: npt.NDArray[Any], values: list[str]) -> pa.DictionaryArray:
    """Texts kept once each; a negative index is a null."""
    index = pa.array(index_R, pa.int32(), mask=index_R < 0)
    return pa.DictionaryArray.from_arrays(index, pa.array(values, pa.string()))
