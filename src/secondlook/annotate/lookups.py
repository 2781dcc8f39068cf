"""What the store knows already, asked for many tasks or people at once, inside the caller's transaction."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from secondlook.annotate import schema
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
    given: int = 0


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


def check_tasks(connection: sa.Connection, campaign_id: int, task_ids: Collection[int]) -> None:
    """Raises BadValue if a task is not of this campaign."""
    unknown = set(task_ids) - known_tasks(connection, campaign_id, task_ids)
    if unknown:
        raise BadValue(min(unknown), "there is no such task in this campaign")


def progress(connection: sa.Connection, task_ids: Collection[int]) -> dict[int, Progress]:
    """The last round of each task, what it asks for and what it has."""
    found: dict[int, Progress] = {}
    for chunk in chunks(sorted(task_ids)):
        rounds = sa.select(schema.rounds).where(schema.rounds.c.task_id.in_(chunk)).order_by(schema.rounds.c.round)
        for task_id, number, votes in connection.execute(rounds):
            found[task_id] = Progress(number, votes)
        answer = schema.answers.c
        given = sa.select(answer.task_id, answer.round, sa.func.count()).where(answer.task_id.in_(chunk))
        for task_id, number, count in connection.execute(given.group_by(answer.task_id, answer.round)):
            if found[task_id].round == number:
                found[task_id].given = count
    return found


def answers_by(connection: sa.Connection, task_ids: Collection[int]) -> dict[tuple[int, int], dict[int, int]]:
    """(task, worker) -> {round: answer}."""
    answer = schema.answers.c
    statement = sa.select(answer.task_id, answer.worker_id, answer.round, answer.answer_id)
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


def chunks(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
