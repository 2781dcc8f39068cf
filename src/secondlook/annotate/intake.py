"""Taking answers and verdicts into the store: every check, inside the transaction that writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from secondlook.annotate import lookups, records, schema
from secondlook.errors import BadValue

Rating = Literal["yes", "maybe"]
RATINGS: tuple[Rating, ...] = ("yes", "maybe")


@dataclass(frozen=True)
class Answer:
    """What one person gave for one task."""

    task_id: int
    worker: str
    """The person's id; only its pseudonym is kept."""
    choices: Mapping[int, Rating] = field(default_factory=dict)
    """Chosen labels with how sure the person is; any label of the space, not only the task's options."""
    no_match: bool = False
    """ "Video description does not match any labels"."""
    review: bool = False
    """ "Mark video for review"."""
    unsuitable: bool = False
    """The clip should not be shown to anyone."""
    started_s: float | None = None
    submitted_s: float | None = None
    round: int | None = None
    """Round it belongs to; None: the task's last one."""

    @property
    def blank(self) -> bool:
        """Neither a choice nor a flag that says why there is none; a reviewer rejects it by rule."""
        return not self.choices and not self.no_match and not self.unsuitable


@dataclass(frozen=True)
class Verdict:
    """What a reviewer decided about an answer."""

    answer_id: int
    approved: bool
    reviewer: str
    """The reviewer's id; only its pseudonym is kept."""
    second_review: bool = False
    """In doubt: to be looked at again."""
    given_s: float | None = None


class Refused(BadValue):
    """An answer that cannot be taken; `about` is the part of it that stands in the way, as a column of an import."""

    def __init__(self, about: str, value: object, rule: str, cure: str = "") -> None:
        super().__init__(value, rule, cure)
        self.about = about


@dataclass(frozen=True)
class Receipt:
    """What became of an answer."""

    answer_id: int
    """0 if it was refused."""
    new: bool
    """False where the same answer was there already, or it was refused."""
    problem: Refused | None = None


def take(
    connection: sa.Connection, campaign_id: int, label_count: int, key: bytes, answers: Sequence[Answer]
) -> list[Receipt]:
    """Stores what can be taken and gives a receipt for each answer; the caller's transaction holds the write lock."""
    receipts = []
    for chunk in lookups.chunks(answers):
        receipts += _take_chunk(connection, campaign_id, label_count, key, chunk)
    return receipts


def _take_chunk(
    connection: sa.Connection, campaign_id: int, label_count: int, key: bytes, answers: Sequence[Answer]
) -> list[Receipt]:
    task_ids = {a.task_id for a in answers}
    unknown = task_ids - lookups.known_tasks(connection, campaign_id, task_ids)
    rounds = lookups.progress(connection, task_ids)
    who = lookups.worker_ids(connection, key, {a.worker for a in answers if a.worker.strip()})
    earlier = lookups.answers_by(connection, task_ids)
    places = _places(connection, task_ids)

    # Answers of this chunk that pass are numbered as they will be inserted; -(i + 1) stands for the i-th of them.
    fresh: list[tuple[Answer, dict[str, Any]]] = []
    results: list[int | Refused] = []
    newly_taken: Counter[tuple[int, int]] = Counter()
    filled: list[int] = []
    for answer in answers:
        problem = problem_of(answer, label_count, unknown)
        if problem:
            results.append(problem)
            continue
        worker_id = who[answer.worker]
        mine = earlier.setdefault((answer.task_id, worker_id), {})
        same = next(
            (i for r, i in mine.items() if answer.round in (None, r) and _same(connection, i, answer, fresh)), 0
        )
        if same:
            results.append(same)
            continue
        now = rounds[answer.task_id]
        place = places.get((answer.task_id, now.round, worker_id))
        held = place is not None and place.state == "held"
        misplaced = _misplaced(answer, mine, now, held)
        if misplaced:
            results.append(misplaced)
            continue
        now.given += 1
        if place is not None:
            filled.append(place.assignment_id)
        if not held:
            now.taken += 1
            newly_taken[answer.task_id, now.round] += 1
        fresh.append((answer, row_of(answer, now.round, now.given, worker_id)))
        mine[now.round] = -len(fresh)
        results.append(-len(fresh))
    for (task_id, number), more in newly_taken.items():
        take_places(connection, task_id, number, more)
    if filled:
        hold = schema.assignments
        connection.execute(hold.update().where(hold.c.assignment_id.in_(filled)).values(state="answered"))
    new_ids = insert(connection, fresh)
    seen: set[int] = set()
    receipts = []
    for result in results:
        if isinstance(result, Refused):
            receipts.append(Receipt(0, False, result))
        else:
            receipts.append(Receipt(new_ids[-result - 1] if result < 0 else result, result < 0 and result not in seen))
            seen.add(result)
    return receipts


def _places(connection: sa.Connection, task_ids: Collection[int]) -> dict[tuple[int, int, int], Any]:
    """(task, round, worker) -> assignment."""
    hold = schema.assignments.c
    statement = sa.select(hold.assignment_id, hold.task_id, hold.round, hold.worker_id, hold.state)
    rows = connection.execute(statement.where(hold.task_id.in_(task_ids)))
    return {(row.task_id, row.round, row.worker_id): row for row in rows}


_TAKE = (
    schema.rounds.update()
    .where(schema.rounds.c.task_id == sa.bindparam("of_task"), schema.rounds.c.round == sa.bindparam("of_round"))
    .values(taken=schema.rounds.c.taken + sa.bindparam("more", type_=sa.Integer))
)
_ADD = schema.answers.insert().returning(schema.answers.c.answer_id)
_ADD_MANY = schema.answers.insert().returning(schema.answers.c.answer_id, sort_by_parameter_order=True)
_ADD_CHOICES = schema.answer_choices.insert()
_ANSWER = sa.select(schema.answers).where(schema.answers.c.answer_id == sa.bindparam("answer_id"))
_CHOSEN = (
    sa.select(schema.answer_choices.c.label, schema.answer_choices.c.rating)
    .where(schema.answer_choices.c.answer_id == sa.bindparam("answer_id"))
    .order_by(schema.answer_choices.c.label)
)


def take_places(connection: sa.Connection, task_id: int, number: int, more: int = 1) -> None:
    """Counts places of a round as taken, or as free again (`more` below 0)."""
    connection.execute(_TAKE, {"of_task": task_id, "of_round": number, "more": more})


def row_of(answer: Answer, number: int, slot: int, worker_id: int, revision: int = 1) -> dict[str, Any]:
    """An answer as a row of the table."""
    return {
        "task_id": answer.task_id,
        "round": number,
        "slot": slot,
        "worker_id": worker_id,
        "revision": revision,
        "started_s": answer.started_s,
        "submitted_s": answer.submitted_s,
        "no_match": answer.no_match,
        "review": answer.review,
        "unsuitable": answer.unsuitable,
    }


def problem_of(answer: Answer, label_count: int, unknown: Collection[int] = ()) -> Refused | None:
    """Why an answer makes no sense; None if it does."""
    if answer.task_id in unknown:
        return Refused("video_id", answer.task_id, "there is no such task in this campaign")
    if not answer.worker.strip():
        return Refused("worker", answer.worker, "must not be empty", "Give every person an id.")
    for label, rating in answer.choices.items():
        if not 0 <= label < label_count:
            return Refused("labels", label, f"a label must be from 0 to {label_count - 1}")
        if rating not in RATINGS:
            return Refused("rating", rating, "must be yes or maybe")
    if answer.no_match and answer.choices:
        return Refused("no_match", True, "says that no label fits, but labels are chosen", "Keep one of the two.")
    if answer.started_s is not None and answer.submitted_s is not None and answer.submitted_s < answer.started_s:
        return Refused("submitted_s", answer.submitted_s, f"lies before the start, {answer.started_s}")
    return None


def _misplaced(answer: Answer, mine: Mapping[int, int], now: lookups.Progress, held: bool) -> Refused | None:
    """Why there is no place for an answer that makes sense; `mine` has the rounds that its worker answered."""
    number = answer.round or now.round
    if number in mine:
        rule = f"this worker already answered the task otherwise in round {number}"
        return Refused("worker", answer.task_id, rule, "The first answer stays: answers are append-only.")
    if number != now.round:
        return Refused("round", number, f"the task is in round {now.round}", "Leave the round out.")
    if held or now.taken < now.votes:
        return None
    if now.given < now.votes:
        rule = "the last places of this task are held by people who are answering it just now"
        return Refused("video_id", answer.task_id, rule, "Try again later.")
    rule = f"this task already has the {now.votes} answers asked for"
    return Refused("video_id", answer.task_id, rule, "Post it again: secondlook annotate repost.")


def _same(
    connection: sa.Connection, answer_id: int, answer: Answer, fresh: list[tuple[Answer, dict[str, Any]]]
) -> bool:
    """Whether a stored answer (or the `-answer_id`-th of this chunk) says the same."""
    if answer_id < 0:
        return said(fresh[-answer_id - 1][0]) == said(answer)
    stored = read(connection, answer_id, answer.worker)
    return said(stored) == said(answer)


def said(answer: Answer) -> tuple[Any, ...]:
    """What an answer says, whoever gave it and whenever."""
    return dict(answer.choices), answer.no_match, answer.review, answer.unsuitable


def read(connection: sa.Connection, answer_id: int, worker: str) -> Answer:
    """A stored answer; its worker's id is not in the store, so it is passed in."""
    row = connection.execute(_ANSWER, {"answer_id": answer_id}).one()
    choices = dict(connection.execute(_CHOSEN, {"answer_id": answer_id}).all())
    flags = (bool(row.no_match), bool(row.review), bool(row.unsuitable))
    return Answer(row.task_id, worker, choices, *flags, row.started_s, row.submitted_s, row.round)


def insert(connection: sa.Connection, fresh: Sequence[tuple[Answer, dict[str, Any]]]) -> list[int]:
    """Adds answers with their choices, and gives their numbers."""
    if not fresh:
        return []
    if len(fresh) == 1:
        ids = [connection.execute(_ADD, fresh[0][1]).scalar_one()]
    else:
        ids = [row[0] for row in connection.execute(_ADD_MANY, [row for _, row in fresh])]
    choices = [
        {"answer_id": answer_id, "label": label, "rating": rating}
        for answer_id, (answer, _) in zip(ids, fresh, strict=True)
        for label, rating in answer.choices.items()
    ]
    if choices:
        connection.execute(_ADD_CHOICES, choices)
    return ids


def judge(connection: sa.Connection, campaign_id: int, key: bytes, verdicts: Sequence[Verdict]) -> int:
    """Adds verdicts that change what counts; gives how many.

    Raises:
        BadValue: if one names no answer of the campaign, or one that its worker changed meanwhile.
    """
    reviewers = lookups.worker_ids(connection, key, {v.reviewer for v in verdicts})
    added = 0
    for chunk in lookups.chunks(verdicts):
        ids = {v.answer_id for v in chunk}
        _check_judged(connection, campaign_id, ids)
        latest = records.latest_verdicts(ids)
        counts = {v.answer_id: (v.worker_id, v.approved, v.second_review) for v in connection.execute(latest)}
        rows = []
        for v in chunk:
            verdict = (reviewers[v.reviewer], v.approved, v.second_review)
            if counts.get(v.answer_id) == verdict:
                continue
            counts[v.answer_id] = verdict
            names = ("worker_id", "approved", "second_review")
            rows.append({"answer_id": v.answer_id, **dict(zip(names, verdict, strict=True)), "given_s": v.given_s})
        if rows:
            connection.execute(schema.verdicts.insert(), rows)
        added += len(rows)
    return added


def _check_judged(connection: sa.Connection, campaign_id: int, ids: Collection[int]) -> None:
    answer, newer = schema.answers.c, schema.answers.alias("newer").c
    statement = sa.select(answer.answer_id, answer.task_id).where(answer.answer_id.in_(ids))
    task_of = dict(connection.execute(statement).all())
    of_campaign = lookups.known_tasks(connection, campaign_id, set(task_of.values()))
    unknown = set(ids) - {answer_id for answer_id, task_id in task_of.items() if task_id in of_campaign}
    if unknown:
        raise BadValue(min(unknown), "there is no such answer in this campaign")
    changed = sa.select(sa.func.min(answer.answer_id)).where(
        answer.answer_id.in_(ids),
        newer.task_id == answer.task_id,
        newer.round == answer.round,
        newer.slot == answer.slot,
        newer.revision > answer.revision,
    )
    found = connection.scalar(changed)
    if found is not None:
        raise BadValue(found, "its worker changed this answer meanwhile", "Look at the new one.")
