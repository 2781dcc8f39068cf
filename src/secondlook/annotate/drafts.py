"""What stands on a person's page and is not given yet: saved after every action, so that a kill loses nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from secondlook.annotate import dealing, giving, intake, lookups, schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.dealing import Turn
from secondlook.annotate.intake import RATINGS, Answer, Rating, Refused
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

_FIELDS = ("choices", "no_match", "review", "unsuitable", "started_s", "seconds")


@dataclass(frozen=True)
class Draft:
    """The state of the page of one task."""

    choices: Mapping[int, Rating] = field(default_factory=dict)
    no_match: bool = False
    review: bool = False
    unsuitable: bool = False
    started_s: float | None = None
    """When the person saw the task first."""
    seconds: float = 0.0
    """Time that the person was active on the page."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: labels as texts, as JSON wants its keys."""
        return {
            "choices": {str(label): rating for label, rating in self.choices.items()},
            "no_match": self.no_match,
            "review": self.review,
            "unsuitable": self.unsuitable,
            "started_s": self.started_s,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, given: object) -> Draft:
        """Reads what `to_dict` wrote, or what a page sent; every part may be left out.

        Raises:
            UnknownName: if it holds a part that does not exist.
            BadValue: if a part is of the wrong type.
        """
        if not isinstance(given, Mapping):
            raise BadValue(type(given).__name__, "a draft must be an object")
        for name in given:
            if name not in _FIELDS:
                raise UnknownName("part of a draft", str(name)[:40], _FIELDS)
        flags = {}
        for name in ("no_match", "review", "unsuitable"):
            flags[name] = given.get(name, False)
            if not isinstance(flags[name], bool):
                raise BadValue(name, "must be true or false")
        started_s, seconds = given.get("started_s"), given.get("seconds", 0.0)
        return cls(
            _choices(given.get("choices", {})),
            **flags,
            started_s=None if started_s is None else _number("started_s", started_s),
            seconds=_number("seconds", seconds),
        )

    def answer(self, task_id: int, worker: str) -> Answer:
        """The answer that it becomes when it is given."""
        flags = (self.no_match, self.review, self.unsuitable)
        return Answer(task_id, worker, self.choices, *flags, started_s=self.started_s)


def save(store: Store, worker: str, task_id: int, draft: Draft, now_s: float) -> None:
    """Keeps a draft; it is on disk when this returns. A sign of life: the task is held for as long again.

    Raises:
        Refused: if the draft makes no sense, or the task was not given to this person or is another's by now.
    """
    problem = intake.problem_of(draft.answer(task_id, worker), len(store.labels))
    if problem:
        raise problem
    with store.writing() as connection:
        place = giving.place_of(connection, store.campaign_id, store.key(), task_id, worker)
        if place is None:
            raise Refused("video_id", task_id, "this task was not given to this person", "Ask for the next one.")
        giving.retake(connection, place)
        lease_s = Settings.from_dict(place.settings).lease_s
        if place.state == "expired":
            dealing.hold_again(connection, place.assignment_id, now_s, lease_s)
        elif place.state == "held":
            dealing.hold_longer(connection, place, now_s, lease_s)
        _upsert(connection, place, draft, now_s)


def hand_in(store: Store, worker: str, task_id: int, draft: Draft, now_s: float) -> Turn | None:
    """The answer that a page gives, and what the page shows next: one transaction, on disk when this returns.

    The answer's times are the server's: it ends now and began as long ago as the page was looked at, not before the
    task was given.

    Returns:
        What comes next; None if the task was never given to this person, and then nothing is stored.

    Raises:
        Refused: as `giving.give`.
    """
    with store.writing() as connection:
        place = giving.place_of(connection, store.campaign_id, store.key(), task_id, worker)
        if place is None:
            return None
        started_s = max(now_s - draft.seconds, min(place.given_s, now_s))
        given = dataclasses.replace(draft.answer(task_id, worker), started_s=started_s, submitted_s=now_s)
        giving.give_at(connection, place, len(store.labels), given, now_s)
        return dealing.turn_within(connection, store, worker, now_s)


def _keeping(insert: Callable[[sa.Table], Any]) -> sa.Insert:
    """Writes a draft, over the one that is there."""
    statement = insert(schema.drafts)
    content = {name: statement.excluded[name] for name in ("content", "saved_s")}
    kept: sa.Insert = statement.on_conflict_do_update(index_elements=["task_id", "round", "worker_id"], set_=content)
    return kept


_KEEP = {"sqlite": _keeping(sqlite.insert), "postgresql": _keeping(postgresql.insert)}


def _upsert(connection: sa.Connection, place: Any, draft: Draft, now_s: float) -> None:
    key = {"task_id": place.task_id, "round": place.round, "worker_id": place.worker_id}
    connection.execute(_KEEP[connection.dialect.name], {**key, "content": draft.to_dict(), "saved_s": now_s})


def read(store: Store, worker: str, task_id: int) -> Draft | None:
    """The draft of a person on a task, if there is one that was not given since."""
    draft = schema.drafts.c
    with store.reading() as connection:
        worker_id = lookups.worker_id(connection, store.key(), worker)
        mine = (draft.task_id == task_id, draft.worker_id == worker_id)
        content = connection.scalar(sa.select(draft.content).where(*mine).order_by(draft.round.desc()))
    return None if content is None else Draft.from_dict(content)


def answer_of(store: Store, worker: str, task_id: int) -> Answer | None:
    """A person's own answer to a task that they were given, its last revision."""
    with store.reading() as connection:
        place = giving.place_of(connection, store.campaign_id, store.key(), task_id, worker)
        last = None if place is None else giving.last_answer(connection, place)
        return None if last is None else intake.read(connection, last.answer_id, worker)


def _choices(given: object) -> dict[int, Rating]:
    if not isinstance(given, Mapping):
        raise BadValue("choices", "must be an object of labels and ratings")
    choices: dict[int, Rating] = {}
    for label, rating in given.items():
        known = next((r for r in RATINGS if r == rating), None)
        if known is None:
            raise BadValue(str(rating)[:40], "a rating must be yes or maybe")
        text = str(label)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise BadValue(text[:40], "a label must be an index")
        choices[int(text)] = known
    return choices


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BadValue(name, "must be a number, 0 or more")
    return float(value)
