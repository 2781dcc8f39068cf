"""Which task a person gets next, in batches, so that nobody gets one twice and no task is asked more often than asked.

A task is *held* for a person from the moment it is dealt until it is answered or its time runs out. The places of a
round (`rounds.taken`) are its answers and its held assignments: every change of one of them counts places in the same
transaction, and a database check keeps `taken <= votes`.

New tasks come from the round with the fewest places taken, so that all videos have the same number of answers to
within one while a campaign runs.

**When time runs out** the place is free, and the next person may be dealt it. Whoever comes back gets the task again,
the draft with it, while nobody else took the place: it is the same assignment, held once more. If somebody did, the
assignment leaves its batch (batch 0) and another task takes its position. A person is never dealt a task a second time
in any other way, neither in a later round nor after answering it from outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from secondlook.annotate import campaigns, gold, intake, lookups, schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.tasks import Task

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

AT_ONCE = 2
"""Tasks that a person may hold: the one on the page, and the next one, whose clip is loading."""
RELEASED_AT_ONCE = 50
PAUSED, NOT_QUALIFIED, BATCH_DONE, NOTHING_LEFT = "paused", "not_qualified", "batch_done", "nothing_left"
"""Why nothing is dealt."""


@dataclass(frozen=True)
class Assignment:
    """A task that was dealt to a person."""

    task: Task
    round: int
    batch: int
    position: int
    """1, 2, ... in the batch."""
    state: str
    """held, answered, or expired (still theirs if they come back before another person takes it)."""
    expires_s: float


@dataclass(frozen=True)
class Batch:
    """The tasks that a person works through before a pause."""

    number: int
    """1, 2, ... of this person; 1 before the first task is dealt, too."""
    size: int
    """The batch's size, or less where there is less left."""
    done: int
    assignments: tuple[Assignment, ...]
    """Those dealt so far, by position."""


@dataclass(frozen=True)
class Dealt:
    """A task, or why there is none."""

    assignment: Assignment | None
    reason: str = ""


@dataclass(frozen=True)
class Turn:
    """All that a person's page shows next, found at once."""

    dealt: Dealt
    after: Assignment | None
    """The task after it, held from now on, so that its clip can be loaded."""
    number: int
    size: int
    done: int
    """Of the batch, as in `Batch`."""
    places: tuple[tuple[int, str], ...]
    """Position and state of every task of the batch dealt so far."""
    settings: Settings


@dataclass
class _Desk:
    """What one person has before them, read inside a transaction."""

    connection: sa.Connection
    campaign_id: int
    key: bytes
    settings: Settings
    paused: bool
    worker_id: int | None
    number: int = 1
    rows: list[Any] = field(default_factory=list)
    """Assignments of the present batch by position, with `votes` and `taken` of their rounds; no lost ones."""
    lost: list[int] = field(default_factory=list)

    @property
    def held(self) -> list[Any]:
        """The one on the page first: those held the longest, so that a page never changes under its reader."""
        held = [row for row in self.rows if row.state == "held"]
        return sorted(held, key=lambda row: (row.given_s, row.assignment_id))

    @property
    def done(self) -> int:
        return sum(row.state == "answered" for row in self.rows)


def deal(store: Store, worker: str, now_s: float) -> Dealt:
    """The task to answer now: one that is held first, then one whose time ran out, then a new one."""
    with store.reading() as connection:
        desk = _desk(connection, store, worker)
        if _has_task(desk, now_s):
            return Dealt(_assignments(store, desk, desk.held[:1])[0])
    with store.writing() as connection:
        if desk.worker_id is None:
            lookups.worker_ids(connection, store.key(), {worker})
        desk = _desk(connection, store, worker)
        reason = _hand_out(desk, now_s)
        if reason:
            return Dealt(None, reason)
        return Dealt(_assignments(store, desk, desk.held[:1])[0])


def prefetch(store: Store, worker: str, now_s: float) -> Assignment | None:
    """The task after the present one, held from now on; None if nothing is held or nothing follows in this batch."""
    with store.reading() as connection:
        desk = _desk(connection, store, worker)
        if not desk.held or desk.paused:
            return None
        if len(desk.held) >= AT_ONCE:
            return _assignments(store, desk, desk.held[AT_ONCE - 1 : AT_ONCE])[0]
    with store.writing() as connection:
        desk = _desk(connection, store, worker)
        if not desk.held or desk.paused:
            return None
        if len(desk.held) < AT_ONCE and not _retake(desk, now_s) and _deal_new(desk, now_s):
            return None
        return _assignments(store, desk, desk.held[AT_ONCE - 1 : AT_ONCE])[0]


def turn(store: Store, worker: str, now_s: float) -> Turn:
    """`deal`, `prefetch` and `batch` at once: one look and one commit instead of three and two."""
    with store.reading() as connection:
        desk = _desk(connection, store, worker)
        if _has_task(desk, now_s) and len(desk.held) >= AT_ONCE:
            return _turn(store, desk, "")
    with store.writing() as connection:
        if desk.worker_id is None:
            lookups.worker_ids(connection, store.key(), {worker})
        desk = _desk(connection, store, worker)
        reason = _hand_out(desk, now_s)
        if not reason and len(desk.held) < AT_ONCE and not _retake(desk, now_s):
            _deal_new(desk, now_s)
    with store.reading() as desk.connection:  # others may write meanwhile
        return _turn(store, desk, reason)


def batch(store: Store, worker: str, now_s: float) -> Batch:
    """The present batch of a person; looking at it deals nothing."""
    with store.reading() as connection:
        desk = _desk(connection, store, worker)
        more = _left(desk, desk.settings.batch - len(desk.rows))
        return Batch(desk.number, len(desk.rows) + more, desk.done, tuple(_assignments(store, desk, desk.rows)))


def next_batch(store: Store, worker: str, now_s: float) -> Batch:
    """Begins the next batch by dealing its first task, if the present one is done; else nothing changes."""
    with store.writing() as connection:
        lookups.worker_ids(connection, store.key(), {worker})
        desk = _desk(connection, store, worker)
        if not desk.paused and desk.done >= desk.settings.batch and not desk.held:
            desk.number, desk.rows = desk.number + 1, []
            _deal_new(desk, now_s)
    return batch(store, worker, now_s)


def release_expired(store: Store, now_s: float) -> int:
    """Frees the place of every held task whose time ran out; gives how many."""
    released = 0
    while True:
        with store.writing() as connection:
            now = _release(connection, store.campaign_id, now_s, lookups.AT_ONCE)
        released += now
        if now < lookups.AT_ONCE:
            return released


def hold_again(connection: sa.Connection, assignment_id: int, now_s: float, lease_s: float) -> None:
    """Holds a task for its person whose time had run out; its place is counted by the caller."""
    hold = schema.assignments
    this = hold.update().where(hold.c.assignment_id == assignment_id)
    connection.execute(this.values(state="held", given_s=now_s, expires_s=now_s + lease_s))


def hold_longer(connection: sa.Connection, place: Any, now_s: float, lease_s: float) -> bool:
    """After a sign of life: a held task is held for the whole time from now on, if less than half of it is left."""
    hold = schema.assignments
    if place.expires_s >= now_s + lease_s / 2:
        return False
    this = hold.update().where(hold.c.assignment_id == place.assignment_id)
    connection.execute(this.values(expires_s=now_s + lease_s))
    return True


def _desk(connection: sa.Connection, store: Store, worker: str) -> _Desk:
    hold = schema.assignments
    settings, paused = campaigns.state(connection, store.campaign_id)
    key = store.key()
    worker_id = lookups.worker_id(connection, key, worker)
    desk = _Desk(connection, store.campaign_id, key, settings, paused, worker_id)
    mine = (hold.c.campaign_id == store.campaign_id, hold.c.worker_id == worker_id)
    desk.number = connection.scalar(sa.select(sa.func.max(hold.c.batch)).where(*mine)) or 1
    _look(desk)
    return desk


def _look(desk: _Desk) -> None:
    """Reads the rows of the present batch."""
    hold, row = schema.assignments, schema.rounds.c
    mine = (hold.c.campaign_id == desk.campaign_id, hold.c.worker_id == desk.worker_id, hold.c.batch == desk.number)
    statement = sa.select(hold, row.votes, row.taken).join_from(
        hold, schema.rounds, sa.and_(row.task_id == hold.c.task_id, row.round == hold.c.round)
    )
    found = desk.connection.execute(statement.where(*mine).order_by(hold.c.position)).all()
    is_lost = [row.state == "expired" and row.taken >= row.votes for row in found]
    desk.rows = [row for row, lost in zip(found, is_lost, strict=True) if not lost]
    desk.lost = [row.assignment_id for row, lost in zip(found, is_lost, strict=True) if lost]


def _has_task(desk: _Desk, now_s: float) -> bool:
    """Whether the person holds a task that nobody else will be given soon, so that nothing need be written."""
    held = desk.held
    return bool(held) and not desk.paused and held[0].expires_s > now_s + desk.settings.lease_s / 2


def _hand_out(desk: _Desk, now_s: float) -> str:
    """Sees to it that the person holds a task; else says why not."""
    _release(desk.connection, desk.campaign_id, now_s, RELEASED_AT_ONCE, but=desk.worker_id)
    if desk.paused:
        return PAUSED
    if desk.held or _retake(desk, now_s):
        _renew(desk, now_s)
        return ""
    return _deal_new(desk, now_s)


def _turn(store: Store, desk: _Desk, reason: str) -> Turn:
    shown = _assignments(store, desk, [] if reason else desk.held[:AT_ONCE])
    present, after = [*shown, None, None][:2]
    size = len(desk.rows) + _left(desk, desk.settings.batch - len(desk.rows))
    places = tuple((row.position, row.state) for row in desk.rows)
    return Turn(Dealt(present, reason), after, desk.number, size, desk.done, places, desk.settings)


def _retake(desk: _Desk, now_s: float) -> bool:
    """Holds the first task whose time ran out once more; whether there was one whose place is free."""
    back = next((row for row in desk.rows if row.state == "expired"), None)
    if back is None:
        return False
    intake.take_places(desk.connection, back.task_id, back.round)
    hold_again(desk.connection, back.assignment_id, now_s, desk.settings.lease_s)
    _look(desk)
    return True


def _renew(desk: _Desk, now_s: float) -> None:
    changed = [hold_longer(desk.connection, row, now_s, desk.settings.lease_s) for row in desk.held]
    if any(changed):
        _look(desk)


def _deal_new(desk: _Desk, now_s: float) -> str:
    """Holds a new task for the person; else says why not."""
    position = _free_position(desk)
    found, reason = _pick(desk, position)
    if found is None:
        return reason
    if len(desk.rows) >= desk.settings.batch:
        return BATCH_DONE
    hold = schema.assignments
    for assignment_id in desk.lost:
        lost = hold.update().where(hold.c.assignment_id == assignment_id)
        desk.connection.execute(lost.values(batch=0, position=assignment_id))
    task_id, number = found
    about = {"batch": desk.number, "position": position, "state": "held"}
    times = {"given_s": now_s, "expires_s": now_s + desk.settings.lease_s}
    who = {"campaign_id": desk.campaign_id, "task_id": task_id, "round": number, "worker_id": desk.worker_id}
    desk.connection.execute(hold.insert(), who | about | times)
    intake.take_places(desk.connection, task_id, number)
    _look(desk)
    return ""


def _free_position(desk: _Desk) -> int:
    used = {row.position for row in desk.rows}
    return next(i for i in range(1, len(used) + 2) if i not in used)


def _pick(desk: _Desk, position: int) -> tuple[tuple[int, int] | None, str]:
    """Task and round of what is dealt at a position; without one, why."""
    if desk.settings.qualify:
        record = gold.record(desk.connection, desk.campaign_id, desk.worker_id, desk.settings)
        if record.decided and not record.qualified:
            return None, NOT_QUALIFIED
        if not record.decided:
            golden = _golden(desk)
            asked = record.given + sum(row.task_id not in golden and row.votes == gold.EVERYBODY for row in desk.held)
            if golden and asked < desk.settings.qualify:
                return (golden[_draw(desk, position, "which") * len(golden) // 2**64], 1), ""
            return None, NOTHING_LEFT  # what decides is held and not answered yet
    if _draw(desk, position, "gold") < desk.settings.gold_share * 2**64:
        golden = _golden(desk)
        if golden:
            return (golden[_draw(desk, position, "which") * len(golden) // 2**64], 1), ""
    found = desk.connection.execute(_wanting(desk).limit(1)).first()
    return ((found.task_id, found.round), "") if found else (None, NOTHING_LEFT)


def _draw(desk: _Desk, position: int, what: str) -> int:
    """A number below 2**64 that nobody without the key can foresee, the same for the same place."""
    place = f"{what} {desk.campaign_id} {desk.worker_id} {desk.number} {position}"
    return int.from_bytes(hashlib.blake2b(place.encode(), key=desk.key, digest_size=8).digest(), "big")


def _wanting(desk: _Desk) -> sa.Select[Any]:
    """Rounds with a free place for this person, those with the fewest answers first. Only last rounds have any."""
    row, task, hold, given = schema.rounds.c, schema.tasks.c, schema.assignments.c, schema.answers.c
    return (
        sa.select(row.task_id, row.round)
        .join_from(schema.rounds, schema.tasks, task.task_id == row.task_id)
        .where(
            row.campaign_id == desk.campaign_id,
            row.taken < row.votes,
            task.gold.is_(False),
            ~sa.exists().where(hold.task_id == row.task_id, hold.worker_id == desk.worker_id),
            ~sa.exists().where(given.task_id == row.task_id, given.worker_id == desk.worker_id),
        )
        .order_by(row.taken, row.task_id)
    )


def _golden(desk: _Desk) -> Sequence[int]:
    """Gold tasks that this person never had."""
    task, hold, given = schema.tasks.c, schema.assignments.c, schema.answers.c
    statement = sa.select(task.task_id).where(
        task.campaign_id == desk.campaign_id,
        task.gold.is_(True),
        ~sa.exists().where(hold.task_id == task.task_id, hold.round == 1, hold.worker_id == desk.worker_id),
        ~sa.exists().where(given.task_id == task.task_id, given.worker_id == desk.worker_id),
    )
    return desk.connection.scalars(statement.order_by(task.task_id)).all()


def _left(desk: _Desk, most: int) -> int:
    """How many more tasks this person could be dealt, counted up to `most`."""
    if most <= 0:
        return 0
    open_rounds = desk.connection.execute(_wanting(desk).limit(most)).all()
    return min(most, len(open_rounds) + (len(_golden(desk)) if desk.settings.qualify else 0))


def _release(connection: sa.Connection, campaign_id: int, now_s: float, most: int, but: int | None = None) -> int:
    """Frees places whose time ran out; not those of the person who is here (`but`)."""
    hold = schema.assignments
    late = sa.select(hold.c.assignment_id, hold.c.task_id, hold.c.round).where(
        hold.c.campaign_id == campaign_id, hold.c.state == "held", hold.c.expires_s < now_s
    )
    if but is not None:
        late = late.where(hold.c.worker_id != but)
    rows = connection.execute(late.order_by(hold.c.expires_s).limit(most)).all()
    if rows:
        ids = [row.assignment_id for row in rows]
        connection.execute(hold.update().where(hold.c.assignment_id.in_(ids)).values(state="expired"))
        for row in rows:
            intake.take_places(connection, row.task_id, row.round, -1)
    return len(rows)


def _assignments(store: Store, desk: _Desk, rows: Sequence[Any]) -> list[Assignment]:
    found = store.read_tasks(desk.connection, [row.task_id for row in rows])
    return [
        Assignment(found[row.task_id], row.round, row.batch, row.position, row.state, row.expires_s) for row in rows
    ]
