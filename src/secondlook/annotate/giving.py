"""One answer from a person who was given the task: stored for the first time, or a new revision of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import intake, schema
from secondlook.annotate.intake import Answer, Receipt, Refused
from secondlook.annotate.workers import pseudonym

_HOLD, _ROUND, _GIVEN, _DRAFT = schema.assignments.c, schema.rounds.c, schema.answers.c, schema.drafts.c
_PLACE = (
    sa.select(schema.assignments, _ROUND.votes, _ROUND.taken, schema.campaigns.c.settings)
    .join_from(schema.workers, schema.assignments, _HOLD.worker_id == schema.workers.c.worker_id)
    .join(schema.rounds, sa.and_(_ROUND.task_id == _HOLD.task_id, _ROUND.round == _HOLD.round))
    .join(schema.campaigns, schema.campaigns.c.campaign_id == _HOLD.campaign_id)
    .where(schema.workers.c.pseudonym == sa.bindparam("who"), _HOLD.task_id == sa.bindparam("task_id"))
    .order_by(_HOLD.round.desc())
    .limit(1)
)
_IN_ROUND = sa.and_(_GIVEN.task_id == sa.bindparam("task_id"), _GIVEN.round == sa.bindparam("round"))
_LAST = (
    sa.select(_GIVEN.answer_id, _GIVEN.slot, _GIVEN.revision)
    .where(_IN_ROUND, _GIVEN.worker_id == sa.bindparam("worker_id"))
    .order_by(_GIVEN.revision.desc())
    .limit(1)
)
_LAST_SLOT = sa.select(sa.func.max(_GIVEN.slot)).where(_IN_ROUND)
_ANSWERED = (
    schema.assignments.update().where(_HOLD.assignment_id == sa.bindparam("of_assignment")).values(state="answered")
)
_FORGET = schema.drafts.delete().where(
    _DRAFT.task_id == sa.bindparam("task_id"),
    _DRAFT.round == sa.bindparam("round"),
    _DRAFT.worker_id == sa.bindparam("worker_id"),
)


def give(
    connection: sa.Connection, campaign_id: int, label_count: int, key: bytes, answer: Answer, now_s: float
) -> Receipt:
    """Stores an answer, marks its assignment answered and deletes its draft; the caller's transaction writes.

    Whose time ran out may still answer while nobody else took the place. An answer that says what the worker's last
    one says is acknowledged and not stored again.

    Raises:
        Refused: if the answer makes no sense, the worker was not given the task, or a reviewer judged it already.
    """
    place = place_of(connection, campaign_id, key, answer.task_id, answer.worker)
    return give_at(connection, place, label_count, answer, now_s)


def give_at(connection: sa.Connection, place: Any | None, label_count: int, answer: Answer, now_s: float) -> Receipt:
    """`give`, where the assignment was looked up already (`place_of`)."""
    if answer.submitted_s is None:
        answer = dataclasses.replace(answer, submitted_s=now_s)
    problem = intake.problem_of(answer, label_count)
    if problem:
        raise problem
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
        in_round = {"task_id": place.task_id, "round": place.round}
        slot, revision = (connection.scalar(_LAST_SLOT, in_round) or 0) + 1, 1
    row = intake.row_of(answer, place.round, slot, place.worker_id, revision)
    (answer_id,) = intake.insert(connection, [(answer, row)])
    if place.state != "answered":
        connection.execute(_ANSWERED, {"of_assignment": place.assignment_id})
    _delete_draft(connection, place)
    return Receipt(answer_id, True)


def place_of(connection: sa.Connection, campaign_id: int, key: bytes, task_id: int, worker: str) -> Any | None:
    """The assignment of a task to a person, with `votes` and `taken` of its round and `settings` of its campaign.

    None if there was none.
    """
    found = connection.execute(_PLACE, {"who": pseudonym(key, worker), "task_id": task_id}).first()
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
    return connection.execute(_LAST, _mine(place)).first()


def _is_judged(connection: sa.Connection, place: Any) -> bool:
    given, verdict = schema.answers.c, schema.verdicts.c
    mine = sa.select(given.answer_id).where(
        given.task_id == place.task_id, given.round == place.round, given.worker_id == place.worker_id
    )
    return connection.scalar(sa.select(verdict.verdict_id).where(verdict.answer_id.in_(mine)).limit(1)) is not None


def _delete_draft(connection: sa.Connection, place: Any) -> None:
    connection.execute(_FORGET, _mine(place))


def _mine(place: Any) -> dict[str, int]:
    return {"task_id": place.task_id, "round": place.round, "worker_id": place.worker_id}
