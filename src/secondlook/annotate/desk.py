"""What one person has before them: the present batch, what is still to be had, read inside the caller's transaction.

The statements are made once, when this file is imported: a server asks them with every answer, and to build one takes
longer than to run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from secondlook.annotate import schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.workers import pseudonym

_HOLD, _ROUND, _TASK, _GIVEN = schema.assignments.c, schema.rounds.c, schema.tasks.c, schema.answers.c
_CAMPAIGN, _WORKER = sa.bindparam("campaign_id", type_=sa.Integer), sa.bindparam("worker_id", type_=sa.Integer)


class Place(NamedTuple):
    """An assignment of a batch, with `votes` and `taken` of its round."""

    assignment_id: int
    task_id: int
    round: int
    batch: int
    position: int
    state: str
    given_s: float
    expires_s: float
    votes: int
    taken: int

    @property
    def lost(self) -> bool:
        """Whether its time ran out and somebody else has its place."""
        return self.state == "expired" and self.taken >= self.votes


class Free(NamedTuple):
    """The round of a task that has a free place."""

    task_id: int
    round: int
    votes: int
    taken: int


@dataclass
class Desk:
    """What one person has before them."""

    connection: sa.Connection
    campaign_id: int
    key: bytes
    settings: Settings
    paused: bool
    worker_id: int | None
    number: int = 1
    """Of the present batch."""
    rows: list[Place] = field(default_factory=list)
    """Assignments of the present batch by position; no lost ones."""
    lost: list[int] = field(default_factory=list)
    open_rounds: list[Free] | None = None
    """What the person could be given besides, as far as it was asked for; None: not asked yet."""
    counted: bool = False
    """Whether what is left will be counted (`left`), so that all of it is asked for with the next one."""

    @property
    def held(self) -> list[Place]:
        """The one on the page first: those held the longest, so that a page never changes under its reader."""
        held = [row for row in self.rows if row.state == "held"]
        return sorted(held, key=lambda row: (row.given_s, row.assignment_id))

    @property
    def done(self) -> int:
        """Tasks of the batch that are answered."""
        return sum(row.state == "answered" for row in self.rows)

    @property
    def room(self) -> int:
        """How many more tasks the batch could have."""
        return max(0, self.settings.batch - len(self.rows))


_ABOUT = (
    sa.select(
        schema.campaigns.c.settings,
        schema.campaigns.c.paused,
        schema.workers.c.worker_id,
        sa.select(sa.func.max(_HOLD.batch))
        .where(_HOLD.campaign_id == schema.campaigns.c.campaign_id, _HOLD.worker_id == schema.workers.c.worker_id)
        .scalar_subquery(),
    )
    .join_from(schema.campaigns, schema.workers, schema.workers.c.pseudonym == sa.bindparam("who"), isouter=True)
    .where(schema.campaigns.c.campaign_id == _CAMPAIGN)
)
_ROWS = (
    sa.select(*(_HOLD[name] for name in Place._fields[:-2]), _ROUND.votes, _ROUND.taken)
    .join_from(schema.assignments, schema.rounds, sa.and_(_ROUND.task_id == _HOLD.task_id, _ROUND.round == _HOLD.round))
    .where(_HOLD.campaign_id == _CAMPAIGN, _HOLD.worker_id == _WORKER, _HOLD.batch == sa.bindparam("batch"))
    .order_by(_HOLD.position)
)
_WANTING = (
    sa.select(*(_ROUND[name] for name in Free._fields))
    .join_from(schema.rounds, schema.tasks, _TASK.task_id == _ROUND.task_id)
    .where(
        _ROUND.campaign_id == _CAMPAIGN,
        _ROUND.taken < _ROUND.votes,
        _TASK.gold.is_(False),
        ~sa.exists().where(_HOLD.task_id == _ROUND.task_id, _HOLD.worker_id == _WORKER),
        ~sa.exists().where(_GIVEN.task_id == _ROUND.task_id, _GIVEN.worker_id == _WORKER),
    )
    .order_by(_ROUND.taken, _ROUND.task_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
"""Rounds with a free place for a person, those with the fewest answers first. Only last rounds have any."""
_GOLDEN = (
    sa.select(_TASK.task_id)
    .where(
        _TASK.campaign_id == _CAMPAIGN,
        _TASK.gold.is_(True),
        ~sa.exists().where(_HOLD.task_id == _TASK.task_id, _HOLD.round == 1, _HOLD.worker_id == _WORKER),
        ~sa.exists().where(_GIVEN.task_id == _TASK.task_id, _GIVEN.worker_id == _WORKER),
    )
    .order_by(_TASK.task_id)
)


def at(connection: sa.Connection, campaign_id: int, key: bytes, worker: str) -> Desk:
    """The desk of a person."""
    about = {"campaign_id": campaign_id, "who": pseudonym(key, worker)}
    settings, paused, worker_id, number = connection.execute(_ABOUT, about).one()
    desk = Desk(connection, campaign_id, key, Settings.from_dict(settings), bool(paused), worker_id, number or 1)
    if number:
        look(desk)
    return desk


def look(desk: Desk) -> None:
    """Reads the rows of the present batch."""
    mine = {"campaign_id": desk.campaign_id, "worker_id": desk.worker_id, "batch": desk.number}
    found = list(map(Place._make, desk.connection.execute(_ROWS, mine).all()))
    desk.rows = [place for place in found if not place.lost]
    desk.lost = [place.assignment_id for place in found if place.lost]
    desk.open_rounds = None


def wanting(desk: Desk) -> list[Free]:
    """What this person could be given, the next one first; all that the batch has room for where it is `counted`."""
    if desk.open_rounds is None:
        mine = {
            "campaign_id": desk.campaign_id,
            "worker_id": desk.worker_id,
            "most": max(1, desk.room if desk.counted else 1),
        }
        desk.open_rounds = list(map(Free._make, desk.connection.execute(_WANTING, mine).all()))
    return desk.open_rounds


def golden(desk: Desk) -> Sequence[int]:
    """Gold tasks that this person never had."""
    mine = {"campaign_id": desk.campaign_id, "worker_id": desk.worker_id}
    return desk.connection.scalars(_GOLDEN, mine).all()


def left(desk: Desk) -> int:
    """How many more tasks this person could be dealt in this batch."""
    if not desk.room:
        return 0
    if not desk.counted:
        desk.counted, desk.open_rounds = True, None
    return min(desk.room, len(wanting(desk)) + (len(golden(desk)) if desk.settings.qualify else 0))


def put(desk: Desk, place: Place) -> None:
    """Puts a task on the desk that was just dealt, so that what is known need not be read again."""
    desk.rows = sorted([*desk.rows, place], key=lambda row: row.position)
    desk.lost = []
    if not desk.counted:
        desk.open_rounds = None
    elif desk.open_rounds is not None:
        desk.open_rounds = [free for free in desk.open_rounds if free.task_id != place.task_id]
