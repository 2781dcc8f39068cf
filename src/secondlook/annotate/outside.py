"""What other platforms call our tasks and answers, and which of our decisions they were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.records import latest_verdicts
from secondlook.annotate.store import Store
from secondlook.errors import BadValue


@dataclass(frozen=True)
class Decision:
    """A decision about an answer that came from a platform."""

    answer_id: int
    outside_id: str
    """What the platform calls the answer."""
    approved: bool
    because: str
    """`reviewer`, or `blank`: an answer without a choice and without a flag is rejected by rule."""


def name_answers(store: Store, platform: str, outside_ids: Mapping[int, str]) -> None:
    """Keeps what a platform calls answers of ours; naming one again by the same name changes nothing.

    Raises:
        BadValue: if an answer, or a name, was kept for another one already.
    """
    known = schema.outside_answers.c
    same_name = sa.and_(known.platform == platform, known.outside_id.in_(list(outside_ids.values())))
    either = sa.or_(known.answer_id.in_(list(outside_ids)), same_name)
    with store.writing() as connection:
        there = connection.execute(sa.select(known.answer_id, known.outside_id, known.platform).where(either)).all()
        name_of: dict[int, str] = {row.answer_id: row.outside_id for row in there}
        answer_of: dict[str, int] = {row.outside_id: row.answer_id for row in there if row.platform == platform}
        fresh = []
        for answer_id, name in outside_ids.items():
            if name_of.get(answer_id, name) != name or answer_of.get(name, answer_id) != answer_id:
                raise BadValue(name, f"is the name of another answer on {platform}", "Was this file mended by hand?")
            if answer_id not in name_of:
                name_of[answer_id], answer_of[name] = name, answer_id
                fresh.append({"answer_id": answer_id, "platform": platform, "outside_id": name, "decided": ""})
        if fresh:
            connection.execute(schema.outside_answers.insert(), fresh)


def undecided(store: Store, platform: str) -> list[Decision]:
    """Decisions that the platform was not told yet, by number of the answer: last verdicts, and blank ones by rule."""
    named, answer, task = schema.outside_answers.c, schema.answers.c, schema.tasks.c
    latest = latest_verdicts().subquery()
    chosen = sa.exists().where(schema.answer_choices.c.answer_id == answer.answer_id)
    blank = ~chosen & ~answer.no_match & ~answer.unsuitable
    statement = (
        sa.select(named.answer_id, named.outside_id, latest.c.approved, blank.label("blank"))
        .select_from(schema.outside_answers)
        .join(schema.answers, answer.answer_id == named.answer_id)
        .join(schema.tasks, task.task_id == answer.task_id)
        .outerjoin(latest, latest.c.answer_id == named.answer_id)
        .where(named.platform == platform, named.decided == "", task.campaign_id == store.campaign_id)
        .where(sa.or_(latest.c.approved.is_not(None), blank))
        .order_by(named.answer_id)
    )
    with store.reading() as connection:
        rows = connection.execute(statement).all()
    return [
        Decision(r.answer_id, r.outside_id, bool(r.approved), "reviewer" if r.approved is not None else "blank")
        for r in rows
    ]


def told(store: Store, decision: Decision) -> None:
    """Keeps that the platform knows a decision, so that it is never told twice."""
    known = schema.outside_answers
    with store.writing() as connection:
        word = "approved" if decision.approved else "rejected"
        connection.execute(known.update().where(known.c.answer_id == decision.answer_id).values(decided=word))


def post(store: Store, platform: str, outside_id: str, task_id: int, number: int, now_s: float) -> None:
    """Keeps that a round of a task stands on a platform under this name."""
    row = {"outside_id": outside_id, "platform": platform, "task_id": task_id, "round": number, "posted_s": now_s}
    with store.writing() as connection:
        connection.execute(schema.postings.insert(), row)


def posted(store: Store, platform: str) -> dict[tuple[int, int], str]:
    """(task, round) -> its name on the platform."""
    row, task = schema.postings.c, schema.tasks.c
    statement = (
        sa.select(row.task_id, row.round, row.outside_id)
        .join_from(schema.postings, schema.tasks, task.task_id == row.task_id)
        .where(row.platform == platform, task.campaign_id == store.campaign_id)
    )
    with store.reading() as connection:
        return {(r.task_id, r.round): r.outside_id for r in connection.execute(statement)}


def open_rounds(store: Store) -> Sequence[tuple[int, int, int]]:
    """(task, round, votes) of the last round of each task that people are asked about, by task."""
    row, task = schema.rounds.c, schema.tasks.c
    last = sa.select(row.task_id, sa.func.max(row.round).label("round")).group_by(row.task_id).subquery()
    statement = (
        sa.select(row.task_id, row.round, row.votes)
        .join_from(schema.rounds, last, sa.and_(row.task_id == last.c.task_id, row.round == last.c.round))
        .join(schema.tasks, task.task_id == row.task_id)
        .where(task.campaign_id == store.campaign_id, ~task.gold)
        .order_by(row.task_id)
    )
    with store.reading() as connection:
        return [(r.task_id, r.round, r.votes) for r in connection.execute(statement)]
