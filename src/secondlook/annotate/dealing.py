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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from secondlook.annotate import desk as desks
from secondlook.annotate import gold, intake, lookups, schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.desk import Desk, Free, Place
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
    draft: Mapping[str, Any] | None = None
    """What stood on the page of the dealt task last (`Draft.to_dict`)."""


_FREE = (
    sa.select(schema.assignments.c.assignment_id, schema.assignments.c.task_id, schema.assignments.c.round)
    .where(
        schema.assignments.c.campaign_id == sa.bindparam("campaign_id"),
        schema.assignments.c.state == "held",
        schema.assignments.c.expires_s < sa.bindparam("now_s"),
        schema.assignments.c.worker_id != sa.bindparam("but"),
    )
    .order_by(schema.assignments.c.expires_s)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_NEW = ("task_id", "round", "batch", "position", "state", "given_s", "expires_s")
_HOLD_NEW = schema.assignments.insert().returning(schema.assignments.c.assignment_id)
_DRAFT = (
    sa.select(schema.drafts.c.content)
    .where(schema.drafts.c.task_id == sa.bindparam("task_id"), schema.drafts.c.worker_id == sa.bindparam("worker_id"))
    .order_by(schema.drafts.c.round.desc())
    .limit(1)
)


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
        return turn_within(connection, store, worker, now_s)


def turn_within(connection: sa.Connection, store: Store, worker: str, now_s: float) -> Turn:
    """`turn` inside a transaction that writes, for a person who is known."""
    desk = _desk(connection, store, worker)
    desk.counted = True
    reason = _hand_out(desk, now_s)
    if not reason and len(desk.held) < AT_ONCE and not _retake(desk, now_s):
        _deal_new(desk, now_s)
    return _turn(store, desk, reason)


def batch(store: Store, worker: str, now_s: float) -> Batch:
    """The present batch of a person; looking at it deals nothing."""
    with store.reading() as connection:
        desk = _desk(connection, store, worker)
        return Batch(
            desk.number, len(desk.rows) + desks.left(desk), desk.done, tuple(_assignments(store, desk, desk.rows))
        )


def next_batch(store: Store, worker: str, now_s: float) -> Batch:
    """Begins the next batch by dealing its first task, if the present one is done; else nothing changes."""
    with store.writing() as connection:
        lookups.worker_ids(connection, store.key(), {worker})
        desk = _desk(connection, store, worker)
        if not desk.paused and desk.done >= desk.settings.batch and not desk.held:
            desk.number, desk.rows, desk.open_rounds = desk.number + 1, [], None
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


def _desk(connection: sa.Connection, store: Store, worker: str) -> Desk:
    return desks.at(connection, store.campaign_id, store.key(), worker)


def _has_task(desk: Desk, now_s: float) -> bool:
    """Whether the person holds a task that nobody else will be given soon, so that nothing need be written."""
    held = desk.held
    return bool(held) and not desk.paused and held[0].expires_s > now_s + desk.settings.lease_s / 2


def _hand_out(desk: Desk, now_s: float) -> str:
    """Sees to it that the person holds a task; else says why not."""
    _release(desk.connection, desk.campaign_id, now_s, RELEASED_AT_ONCE, but=desk.worker_id)
    if desk.paused:
        return PAUSED
    if desk.held or _retake(desk, now_s):
        _renew(desk, now_s)
        return ""
    return _deal_new(desk, now_s)


def _turn(store: Store, desk: Desk, reason: str) -> Turn:
    shown = _assignments(store, desk, [] if reason else desk.held[:AT_ONCE])
    present, after = [*shown, None, None][:2]
    mine = present and {"task_id": present.task.task_id, "worker_id": desk.worker_id}
    draft = desk.connection.scalar(_DRAFT, mine) if mine else None
    size = len(desk.rows) + desks.left(desk)
    places = tuple((row.position, row.state) for row in desk.rows)
    return Turn(Dealt(present, reason), after, desk.number, size, desk.done, places, desk.settings, draft)


def _retake(desk: Desk, now_s: float) -> bool:
    """Holds the first task whose time ran out once more; whether there was one whose place is free."""
    back = next((row for row in desk.rows if row.state == "expired"), None)
    if back is None:
        return False
    intake.take_places(desk.connection, back.task_id, back.round)
    hold_again(desk.connection, back.assignment_id, now_s, desk.settings.lease_s)
    desks.look(desk)
    return True


def _renew(desk: Desk, now_s: float) -> None:
    changed = [hold_longer(desk.connection, row, now_s, desk.settings.lease_s) for row in desk.held]
    if any(changed):
        desks.look(desk)


def _deal_new(desk: Desk, now_s: float) -> str:
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
    number, expires_s, taken = desk.number, now_s + desk.settings.lease_s, found.taken + 1
    new = Place(0, found.task_id, found.round, number, position, "held", now_s, expires_s, found.votes, taken)
    row = {name: getattr(new, name) for name in _NEW} | {"campaign_id": desk.campaign_id, "worker_id": desk.worker_id}
    assignment_id = desk.connection.execute(_HOLD_NEW, row).scalar_one()
    intake.take_places(desk.connection, found.task_id, found.round)
    desks.put(desk, new._replace(assignment_id=assignment_id))
    return ""


def _free_position(desk: Desk) -> int:
    used = {row.position for row in desk.rows}
    return next(i for i in range(1, len(used) + 2) if i not in used)


def _pick(desk: Desk, position: int) -> tuple[Free | None, str]:
    """The round of what is dealt at a position; without one, why."""
    if desk.settings.qualify:
        record = gold.record(desk.connection, desk.campaign_id, desk.worker_id, desk.settings)
        if record.decided and not record.qualified:
            return None, NOT_QUALIFIED
        if not record.decided:
            golden = desks.golden(desk)
            asked = record.given + sum(row.task_id not in golden and row.votes == gold.EVERYBODY for row in desk.held)
            if golden and asked < desk.settings.qualify:
                return _of_gold(desk, golden, position), ""
            return None, NOTHING_LEFT  # what decides is held and not answered yet
    if _draw(desk, position, "gold") < desk.settings.gold_share * 2**64:
        golden = desks.golden(desk)
        if golden:
            return _of_gold(desk, golden, position), ""
    found = desks.wanting(desk)
    return (found[0], "") if found else (None, NOTHING_LEFT)


def _of_gold(desk: Desk, golden: Sequence[int], position: int) -> Free:
    return Free(golden[_draw(desk, position, "which") * len(golden) // 2**64], 1, gold.EVERYBODY, 0)


def _draw(desk: Desk, position: int, what: str) -> int:
    """A number below 2**64 that nobody without the key can foresee, the same for the same place."""
    place = f"{what} {desk.campaign_id} {desk.worker_id} {desk.number} {position}"
    return int.from_bytes(hashlib.blake2b(place.encode(), key=desk.key, digest_size=8).digest(), "big")


def _release(connection: sa.Connection, campaign_id: int, now_s: float, most: int, but: int | None = None) -> int:
    """Frees places whose time ran out; not those of the person who is here (`but`)."""
    hold = schema.assignments
    late = {"campaign_id": campaign_id, "now_s": now_s, "most": most, "but": but or 0}
    rows = connection.execute(_FREE, late).all()
    if rows:
        ids = [row.assignment_id for row in rows]
        connection.execute(hold.update().where(hold.c.assignment_id.in_(ids)).values(state="expired"))
        for row in rows:
            intake.take_places(connection, row.task_id, row.round, -1)
    return len(rows)


def _assignments(store: Store, desk: Desk, rows: Sequence[Place]) -> list[Assignment]:
    found = store.read_tasks(desk.connection, [row.task_id for row in rows])
    return [
        Assignment(found[row.task_id], row.round, row.batch, row.position, row.state, row.expires_s) for row in rows
    ]
