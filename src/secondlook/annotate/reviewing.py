"""Reviewing one task: all that was answered to it, its workers' records, verdicts and notes.

label-reassessment §1.7. A reviewer sees the given label (answers are judged by how close they are to
it) and no name: the workers of a task are Worker 1, 2, 3 in an order of the task's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from secondlook.annotate import intake, lookups, schema
from secondlook.annotate.intake import Verdict
from secondlook.annotate.standing import flag, is_rejected, standing
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

LONGEST_NOTE = 4000


@dataclass(frozen=True)
class Counts:
    """A worker's record so far (label-reassessment §1.7)."""

    done: int = 0
    blank: int = 0
    approved: int = 0
    rejected: int = 0
    """By a reviewer, or as blank by rule."""

    @property
    def approval_rate(self) -> float | None:
        """`approved / (approved + rejected)`; None where nothing was judged."""
        judged = self.approved + self.rejected
        return self.approved / judged if judged else None


@dataclass(frozen=True)
class Given:
    """One worker's answer as a reviewer sees it."""

    answer_id: int
    number: int
    """1, 2, ...: stands for the worker on this page, and says nothing about him."""
    round: int
    choices: tuple[tuple[int, str], ...]
    """Label and rating (yes or maybe), by label."""
    no_match: bool
    review: bool
    unsuitable: bool
    blank: bool
    seconds: float | None
    """From start to answer; None where the answer does not say."""
    approved: bool | None
    """The verdict that counts; None while there is none. A blank answer without one is rejected by rule."""
    second_review: bool
    counts: Counts

    @property
    def labels(self) -> frozenset[int]:
        """The chosen labels."""
        return frozenset(label for label, _ in self.choices)


@dataclass(frozen=True)
class Note:
    """What somebody wrote about a task; plain text, to be escaped by whoever shows it."""

    text: str
    role: str
    """The author's role; "import" where the author has no account."""
    written_s: float | None


@dataclass(frozen=True)
class Sheet:
    """A task and all its answers that count."""

    task_id: int
    given_label: int
    answers: tuple[Given, ...]
    notes: tuple[Note, ...]
    asked: int
    """Answers asked for in the present round."""
    round: int


def sheet(store: Store, task_id: int) -> Sheet:
    """A task with the answers that count, the notes, and every worker's record so far.

    Raises:
        BadValue: if there is no such task in this campaign.
    """
    task, choice = schema.tasks.c, schema.answer_choices.c
    s = standing(store.campaign_id, [task_id])
    known = sa.select(task.given_label).where(task.task_id == task_id, task.campaign_id == store.campaign_id)
    with store.reading() as connection:
        given_label = connection.scalar(known.where(sa.not_(task.gold)))
        if given_label is None:
            raise BadValue(task_id, "there is no such task in this campaign")
        rows = connection.execute(sa.select(s)).all()
        chosen: dict[int, list[tuple[int, str]]] = {row.answer_id: [] for row in rows}
        choices = sa.select(choice.answer_id, choice.label, choice.rating).where(choice.answer_id.in_(chosen))
        for answer_id, label, rating in connection.execute(choices.order_by(choice.answer_id, choice.label)):
            chosen[answer_id].append((label, rating))
        counts = _counts(connection, store.campaign_id, {row.worker_id for row in rows})
        notes = _notes(connection, task_id)
        present = lookups.progress(connection, [task_id])[task_id]
    order = sorted({row.worker_id for row in rows}, key=lambda worker: _shuffled(task_id, worker))
    number = {worker: i for i, worker in enumerate(order, start=1)}
    answers = [
        Given(
            row.answer_id, number[row.worker_id], row.round, tuple(chosen[row.answer_id]),
            bool(row.no_match), bool(row.review), bool(row.unsuitable), bool(row.blank), _seconds(row),
            None if row.verdict_id is None else bool(row.approved), bool(row.second_review), counts[row.worker_id],
        )
        for row in rows
    ]  # fmt: skip
    answers.sort(key=lambda a: (-a.round, a.number))
    return Sheet(task_id, given_label, tuple(answers), notes, present.votes, present.round)


def decide(store: Store, task_id: int, verdicts: Sequence[Verdict]) -> Sheet:
    """Stores verdicts about answers to one task, all or none, and gives the task as it stands then.

    Raises:
        BadValue: if an answer is not one of this task that counts: its worker may have changed it meanwhile.
    """
    s = standing(store.campaign_id, [task_id])
    with store.writing() as connection:
        stands = set(connection.scalars(sa.select(s.c.answer_id)))
        for verdict in verdicts:
            if verdict.answer_id not in stands:
                rule = "is not an answer of this task any more: its worker has changed it"
                raise BadValue(verdict.answer_id, rule, "Look at the task again.")
        intake.judge(connection, store.campaign_id, store.key(), verdicts)
    return sheet(store, task_id)


def write_note(store: Store, task_id: int, author: str, text: str, now_s: float) -> None:
    """Adds a note to a task.

    Raises:
        BadValue: if it is empty or too long, or there is no such task.
    """
    text = text.strip()
    if not 0 < len(text) <= LONGEST_NOTE:
        raise BadValue(len(text), f"a note has 1 to {LONGEST_NOTE} characters")
    store.note(task_id, author, text, now_s)


def _seconds(row: Any) -> float | None:
    return None if row.started_s is None or row.submitted_s is None else row.submitted_s - row.started_s


def _shuffled(task_id: int, worker_id: int) -> bytes:
    """A key to sort the workers of a task by, which differs from task to task."""
    return hashlib.blake2b(f"{task_id} {worker_id}".encode(), digest_size=8).digest()


def _counts(connection: sa.Connection, campaign_id: int, worker_ids: set[int]) -> dict[int, Counts]:
    s = standing(campaign_id, worker_ids=worker_ids)
    record = sa.select(
        s.c.worker_id,
        sa.func.count(),
        sa.func.sum(s.c.blank),
        sa.func.sum(flag(s.c.approved)),
        sa.func.sum(flag(is_rejected(s))),
    ).group_by(s.c.worker_id)
    found = {worker: Counts(*numbers) for worker, *numbers in connection.execute(record)}
    return {worker: found.get(worker, Counts()) for worker in worker_ids}


def _notes(connection: sa.Connection, task_id: int) -> tuple[Note, ...]:
    note, account = schema.notes.c, schema.accounts.c
    statement = (
        sa.select(note.text, account.role, note.written_s)
        .outerjoin_from(schema.notes, schema.accounts, account.worker_id == note.worker_id)
        .where(note.task_id == task_id)
        .order_by(note.note_id)
    )
    return tuple(Note(text, role or "import", written) for text, role, written in connection.execute(statement))
