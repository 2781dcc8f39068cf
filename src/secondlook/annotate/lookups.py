"""What the store knows already, asked for many tasks or people at once, inside the caller's transaction."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.tasks import Task
from secondlook.annotate.workers import pseudonym
from secondlook.errors import BadValue

AT_ONCE = 1000
"""Rows that one statement asks for or inserts."""
T = TypeVar("T")


@dataclass
class Progress:
    """How far a task's last round is."""

    round: int
    votes: int
    """Answers asked for."""
    taken: int
    """Answers given and assignments held: never more than votes."""
    given: int = 0


@dataclass(frozen=True)
class Counts:
    """How far a campaign is; gold tasks are counted apart."""

    tasks: int
    asked: int
    """Answers asked for, in all rounds."""
    answers: int
    held: int
    """Tasks that people are answering just now."""
    judged: int
    """Answers with a verdict."""
    gold: int


def counts(connection: sa.Connection, campaign_id: int) -> Counts:
    """How far a campaign is."""
    task, row, answer = schema.tasks.c, schema.rounds.c, schema.answers.c
    hold, verdict = schema.assignments.c, schema.verdicts.c

    def number(of: sa.FromClause, column: sa.ColumnElement[int], *where: sa.ColumnElement[bool]) -> int:
        of_campaign = (task.campaign_id == campaign_id, *where)
        return int(connection.scalar(sa.select(sa.func.coalesce(column, 0)).select_from(of).where(*of_campaign)) or 0)

    every, voting = sa.func.count(), sa.not_(task.gold)
    rounds = schema.tasks.join(schema.rounds, row.task_id == task.task_id)
    answers = schema.tasks.join(schema.answers, answer.task_id == task.task_id)
    holds = schema.tasks.join(schema.assignments, hold.task_id == task.task_id)
    verdicts = answers.join(schema.verdicts, verdict.answer_id == answer.answer_id)
    return Counts(
        tasks=number(schema.tasks, every, voting),
        asked=number(rounds, sa.func.sum(row.votes), voting),
        answers=number(answers, every, voting, answer.revision == 1),
        held=number(holds, every, hold.state == "held"),
        judged=number(verdicts, sa.func.count(answer.answer_id.distinct()), voting),
        gold=number(schema.tasks, every, task.gold),
    )


def worker_ids(connection: sa.Connection, key: bytes, raw: Collection[str]) -> dict[str, int]:
    """Number of each person by raw id; who is new gets one."""
    pseudonyms = {person: pseudonym(key, person) for person in raw}
    worker = schema.workers.c

    def known() -> dict[str, int]:
        found = {}
        for chunk in chunks(sorted(set(pseudonyms.values()))):
            rows = connection.execute(sa.select(worker.pseudonym, worker.worker_id).where(worker.pseudonym.in_(chunk)))
            found.update(dict(rows.all()))
        return found

    missing = sorted(set(pseudonyms.values()) - set(known()))
    if missing:
        connection.execute(schema.workers.insert(), [{"pseudonym": name} for name in missing])
    numbers = known()
    return {person: numbers[name] for person, name in pseudonyms.items()}


_WORKER_ID = sa.select(schema.workers.c.worker_id).where(schema.workers.c.pseudonym == sa.bindparam("who"))


def worker_id(connection: sa.Connection, key: bytes, person: str) -> int | None:
    """Number of a person; None for one who was never here."""
    found: int | None = connection.scalar(_WORKER_ID, {"who": pseudonym(key, person)})
    return found


def check_tasks(connection: sa.Connection, campaign_id: int, task_ids: Collection[int]) -> None:
    """Raises BadValue if a task is not of this campaign."""
    unknown = set(task_ids) - known_tasks(connection, campaign_id, task_ids)
    if unknown:
        raise BadValue(min(unknown), "there is no such task in this campaign")


def progress(connection: sa.Connection, task_ids: Collection[int]) -> dict[int, Progress]:
    """The last round of each task, what it asks for and what it has."""
    found: dict[int, Progress] = {}
    for chunk in chunks(sorted(task_ids)):
        row, answer = schema.rounds.c, schema.answers.c
        rounds = sa.select(row.task_id, row.round, row.votes, row.taken)
        for r in connection.execute(rounds.where(row.task_id.in_(chunk)).order_by(row.round)):
            found[r.task_id] = Progress(r.round, r.votes, r.taken)
        given = (
            sa.select(answer.task_id, answer.round, sa.func.count())
            .where(answer.task_id.in_(chunk), answer.revision == 1)
            .group_by(answer.task_id, answer.round)
        )
        for task_id, number, count in connection.execute(given):
            if number == found[task_id].round:
                found[task_id].given = count
    return found


def answers_by(connection: sa.Connection, task_ids: Collection[int]) -> dict[tuple[int, int], dict[int, int]]:
    """(task, worker) -> {round: answer}, of every answer its last revision."""
    answer = schema.answers.c
    statement = sa.select(answer.task_id, answer.worker_id, answer.round, answer.answer_id).order_by(answer.revision)
    found: dict[tuple[int, int], dict[int, int]] = {}
    for task_id, worker_id, number, answer_id in connection.execute(statement.where(answer.task_id.in_(task_ids))):
        found.setdefault((task_id, worker_id), {})[number] = answer_id
    return found


def known_tasks(connection: sa.Connection, campaign_id: int, task_ids: Collection[int]) -> set[int]:
    """Those of the tasks that are of this campaign."""
    found: set[int] = set()
    task = schema.tasks.c
    for chunk in chunks(sorted(task_ids)):
        # The campaign is compared here: in the query, SQLite would walk through every task of the campaign.
        statement = sa.select(task.task_id, task.campaign_id).where(task.task_id.in_(chunk))
        found |= {task_id for task_id, of_campaign in connection.execute(statement) if of_campaign == campaign_id}
    return found


def read_tasks(
    connection: sa.Connection, campaign_id: int, key: bytes, task_ids: Sequence[int] | None = None
) -> dict[int, Task]:
    """Tasks of a campaign by number, options in shown order; only these tasks, if they are given."""
    task, option = schema.tasks.c, schema.task_options.c
    facts = sa.select(task.task_id, task.campaign_id, task.video_id, task.path, task.given_label).order_by(task.task_id)
    shown = sa.select(option.task_id, option.label).order_by(option.task_id, option.position)
    if task_ids is None:
        rows = connection.execute(facts.where(task.campaign_id == campaign_id)).all()
        pairs = connection.execute(shown).all()
    else:
        rows, pairs = [], []
        for chunk in chunks(sorted(set(task_ids))):
            found = connection.execute(facts.where(task.task_id.in_(chunk)))
            rows += [row for row in found if row.campaign_id == campaign_id]
            pairs += connection.execute(shown.where(option.task_id.in_(chunk))).all()
    options = defaultdict(list)
    for task_id, label in pairs:
        options[task_id].append(label)
    return {
        r.task_id: Task(
            r.video_id, r.path, r.given_label, tuple(options[r.task_id]), r.task_id, pseudonym(key, r.video_id, "v")
        )
        for r in rows
    }


def chunks(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
