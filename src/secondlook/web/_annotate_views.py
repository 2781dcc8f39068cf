"""What the annotator's page is sent: nothing here depends on a given label, a rank, a suspicion, or on what is gold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from fastapi import HTTPException

from secondlook.annotate import giving, schema
from secondlook.annotate.drafts import Draft
from secondlook.annotate.tasks import public_view
from secondlook.errors import BadValue
from secondlook.video.proxy import frame_times_s
from secondlook.web.media import media_url

if TYPE_CHECKING:
    from secondlook.annotate.dealing import Assignment, Turn
    from secondlook.annotate.store import Store
    from secondlook.annotate.workplace import Workplace
    from secondlook.web.context import Context

_stores: WeakKeyDictionary[Workplace, dict[str, Store]] = WeakKeyDictionary()


def campaign(workplace: Workplace, name: str) -> Store:
    """A campaign, opened once: what a store keeps in memory never changes.

    Raises:
        HTTPException: 404 if there is none of this name.
    """
    known = _stores.setdefault(workplace, {})
    if name not in known:
        if name not in workplace.campaign_names():
            raise HTTPException(404, "There is no such campaign.")
        known[name] = workplace.campaign(name)
    return known[name]


def progress(store: Store, person: str, now_s: float) -> dict[str, Any]:
    """A campaign on the list of campaigns."""
    batch = store.batch(person, now_s)
    about = {"name": store.name, "question": store.settings.question, "paused": store.paused}
    return about | {"number": batch.number, "size": batch.size if batch.assignments else 0, "done": batch.done}


def state(store: Store, person: str, now_s: float) -> dict[str, Any]:
    """The batch and the clip to answer now; `reason` says why there is none (`dealing`, with underscores)."""
    return shown(store, store.turn(person, now_s))


def shown(store: Store, turn: Turn) -> dict[str, Any]:
    """What the page is sent of a person's turn."""
    present, after = turn.dealt.assignment, turn.after
    return {
        "campaign": store.name,
        "question": turn.settings.question,
        "batch": {
            "number": turn.number,
            "size": turn.size,
            "done": turn.done,
            "items": [{"position": position, "state": state} for position, state in turn.places],
        },
        "current": None if present is None else _view(store, present, turn.draft),
        "next_media": None if after is None else media_url(store.name, after.task.media),
        "reason": turn.dealt.reason.replace(" ", "_"),
    }


def view(store: Store, person: str, assignment: Assignment) -> dict[str, Any]:
    """One clip with its options, what stood on the page last, and what this person answered, if so."""
    task_id, answered = assignment.task.task_id, assignment.state == "answered"
    draft = store.draft(person, task_id)
    sent = _view(store, assignment, None if draft is None else draft.to_dict())
    if answered:
        given = _given(store, person, task_id)
        sent["given"] = None if given is None else given.to_dict()
        sent["locked"] = _was_judged(store, person, task_id)
    return sent


def _view(store: Store, assignment: Assignment, draft: Mapping[str, Any] | None) -> dict[str, Any]:
    shown = public_view(assignment.task, store.labels)
    return {
        "task": shown["task"],
        "position": assignment.position,
        "video": media_url(store.name, shown["video"]),
        "options": shown["options"],
        "draft": draft,
        "given": None,
        "answered": assignment.state == "answered",
        "locked": False,
    }


def _given(store: Store, person: str, task_id: int) -> Draft | None:
    """A person's own answer in the form of the draft that it was."""
    answer = store.answer_of(person, task_id)
    if answer is None:
        return None
    seconds = 0.0
    if answer.started_s is not None and answer.submitted_s is not None:
        seconds = answer.submitted_s - answer.started_s
    return Draft(answer.choices, answer.no_match, answer.review, answer.unsuitable, answer.started_s, seconds)


def _was_judged(store: Store, person: str, task_id: int) -> bool:
    answer, verdict = schema.answers.c, schema.verdicts.c
    with store.reading() as connection:
        place = giving.place_of(connection, store.campaign_id, store.key(), task_id, person)
        if place is None:
            return False
        mine = (answer.task_id == task_id, answer.round == place.round, answer.worker_id == place.worker_id)
        judged = sa.select(verdict.verdict_id).where(verdict.answer_id == answer.answer_id, *mine)
        return connection.scalar(judged.limit(1)) is not None


def given_s(store: Store, person: str, task_id: int) -> float | None:
    """When a task was given to a person; None if it never was."""
    with store.reading() as connection:
        place = giving.place_of(connection, store.campaign_id, store.key(), task_id, person)
        return None if place is None else float(place.given_s)


def times_s(here: Context, store: Store, task_id: int) -> list[float]:
    """When each frame of a task's clip is shown, in seconds after the first; empty where that cannot be told."""
    found = here.media.ready(store, store.task(task_id))
    if found is None or found.path is None:
        return []
    try:
        return list(_times_s(found.path, found.key))
    except (BadValue, OSError):
        return []


@lru_cache(maxsize=1024)
def _times_s(path: Path, key: str) -> tuple[float, ...]:
    return tuple(round(float(time_s), 6) for time_s in frame_times_s(path))
