"""What the tests of dealing ask of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace


def asked(workplace: Workplace, labels: LabelSpace, videos: int, name: str = "round1", **settings: object) -> Store:
    """A campaign of `videos` videos."""
    tasks = [Task(f"v{i:05}", f"c/v{i}.mp4", 0, (2, 0, 1)) for i in range(videos)]
    return workplace.add(tasks, labels, name=name, settings=Settings.from_dict(settings))


def answer_next(store: Store, person: str, now_s: float = 0.0) -> int | None:
    """Answers the next task and gives its number."""
    dealt = store.deal(person, now_s)
    if dealt is None:
        return None
    store.give(Answer(dealt.task.task_id, person, {0: "yes"}), now_s)
    return dealt.task.task_id


def check_places(store: Store) -> Counter[tuple[int, int]]:
    """Places that are taken are answers and held assignments, never more than asked; gives the answers a round."""
    answer, hold, row = schema.answers.c, schema.assignments.c, schema.rounds.c
    with store.reading() as connection:
        rounds = connection.execute(sa.select(row.task_id, row.round, row.votes, row.taken)).all()
        given = Counter(
            (a.task_id, a.round)
            for a in connection.execute(sa.select(answer.task_id, answer.round, answer.worker_id).distinct())
        )
        answers = {tuple(a) for a in connection.execute(sa.select(answer.task_id, answer.round, answer.worker_id))}
        holds = connection.execute(sa.select(hold.task_id, hold.round, hold.worker_id, hold.state)).all()
    held = Counter((h.task_id, h.round) for h in holds if h.state == "held")
    for task_id, number, votes, taken in rounds:
        assert taken == given[task_id, number] + held[task_id, number]
        assert taken <= votes
    for h in holds:
        assert ((h.task_id, h.round, h.worker_id) in answers) == (h.state == "answered")
    twice = Counter((h.task_id, h.worker_id) for h in holds)
    assert all(count == 1 for count in twice.values()), "nobody is dealt a task twice"
    return given


def states(store: Store, person: str) -> Sequence[str]:
    """State of each task of a person's present batch."""
    return [assignment.state for assignment in store.batch(person, 0.0).assignments]
