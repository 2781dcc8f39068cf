"""One answer from a person who was given the task: stored for the first time, or a new revision of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import intake, lookups, schema
from secondlook.annotate.intake import Answer, Receipt, Refused


def give(
    connection: sa.Connection, campaign_id: int, label_count: int, key: bytes, answer: Answer, now_s: float
) -> Receipt:
    """Stores an answer, marks its assignment answered and deletes its draft; the caller's transaction writes.

    Whose time ran out may still answer while nobody else took the place. An answer that says what the worker's last
    one says is acknowledged and not stored again.

    Raises:
        Refused: if the answer makes no sense, the worker was not given the task, or a reviewer judged it already.
    """
    if answer.submitted_s is None:
        answer = dataclasses.replace(answer, submitted_s=now_s)
    problem = intake.problem_of(answer, label_count)
    if problem:
        raise problem
    place = place_of(connection, campaign_id, key, answer.task_id, answer.worker)
    if place is None or answer.round not in (None, place.round):
        raise Refused("video_id", answer.task_id, "this task was not given to this person", "Ask for the next one.")
    last = last_answer(connection, place)
    if last is not None:
        slot, revision = last.slot, last.revision + 1
        if intake.said(intake.read(connection, last.answer_id, answer.worker)) == intake.said(answer):
            _delete_draft(connection, place)
            return Receipt(last.answer_id, False)
        if _is_judged(connection, place):
            raise Refused("worker", answer.task_id, "this answer was reviewed already", "It stays as it is.")
    else:
        retake(connection, place)
        given = schema.answers.c
        found = sa.select(sa.func.max(given.slot)).where(given.task_id == place.task_id, given.round == place.round)
        slot, revision = (connection.scalar(found) or 0) + 1, 1
    row = intake.row_of(answer, place.round, slot, place.worker_id, revision)
    (answer_id,) = intake.insert(connection, [(answer, row)])
    if place.state != "answered":
        hold = schema.assignments
        connection.execute(hold.update().where(hold.c.assignment_id == place.assignment_id).values(state="answered"))
    _delete_draft(connection, place)
    return Receipt(answer_id, True)


def place_of(connection: sa.Connection, campaign_id: int, key: bytes, task_id: int, worker: str) -> Any | None:
    """The assignment of a task to a person, with `votes` and `taken` of its round; None if there was none."""
    worker_id = lookups.worker_id(connection, key, worker)
    hold, row = schema.assignments, schema.rounds.c
    is_its_round = sa.and_(row.task_id == hold.c.task_id, row.round == hold.c.round)
    statement = (
        sa.select(hold, row.votes, row.taken)
        .join_from(hold, schema.rounds, is_its_round)
        .where(hold.c.task_id == task_id, hold.c.worker_id == worker_id)
        .order_by(hold.c.round.desc())
    )
    found = connection.execute(statement).first()
    return found if found is not None and found.campaign_id == campaign_id else None


def retake(connection: sa.Connection, place: Any) -> None:
    """Counts the place of a person whose time ran out as theirs again.

    Raises:
        Refused: if another person has it now.
    """
    if place.state != "expired":
        return
    if place.taken >= place.votes:
        rule = "the time for this task ran out and another person has it now"
        raise Refused("video_id", place.task_id, rule, "Ask for the next one.")
    intake.take_places(connection, place.task_id, place.round)


def last_answer(connection: sa.Connection, place: Any) -> Any | None:
    """Number, slot and revision of the last answer given on an assignment."""
    given = schema.answers.c
    statement = sa.select(given.answer_id, given.slot, given.revision).where(
        given.task_id == place.task_id, given.round == place.round, given.worker_id == place.worker_id
    )
    return connection.execute(statement.order_by(given.revision.desc()).limit(1)).first()


def _is_judged(connection: sa.Connection, place: Any) -> bool:
    given, verdict = schema.answers.c, schema.verdicts.c
    mine = sa.select(given.answer_id).where(
        given.task_id == place.task_id, given.round == place.round, given.worker_id == place.worker_id
    )
    return connection.scalar(sa.select(verdict.verdict_id).where(verdict.answer_id.in_(mine)).limit(1)) is not None


def _delete_draft(connection: sa.Connection, place: Any) -> None:
    draft = schema.drafts
    mine = (draft.c.task_id == place.task_id, draft.c.round == place.round, draft.c.worker_id == place.worker_id)
    connection.execute(draft.delete().where(*mine))
