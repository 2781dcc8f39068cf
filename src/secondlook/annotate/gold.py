"""Gold: tasks whose answer is known, put among the others to see who looks.

An answer to a gold task is *right* if at least one label is chosen with Yes and every label chosen with Yes holds.
The first `qualify` gold answers of a person decide whether he or she is given more: they count as they stood when the
last of them came, so that nothing is won by changing one later. Gold answers are no votes: `Store.answers` leaves them
out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import sqlalchemy as sa

from secondlook.annotate import intake, schema
from secondlook.annotate.campaigns import Settings
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace

if TYPE_CHECKING:
    from secondlook.annotate.store import Store

EVERYBODY = 1_000_000_000
"""Answers asked for of a gold task: as many as there are people."""


@dataclass(frozen=True)
class Gold:
    """What a person did on gold tasks."""

    given: int
    right: int
    qualified: bool
    """Has done the first ones, if any are asked for, and enough of them right."""
    decided: bool
    """Has done the first ones, if any are asked for."""


def set_gold(connection: sa.Connection, task_id: int, labels: Collection[int]) -> None:
    """Makes a task gold, or changes the labels of one that is; the caller's transaction writes.

    Raises:
        BadValue: if the task has answers already: as gold, they would be lost to the results.
    """
    task, row, known = schema.tasks, schema.rounds, schema.gold_labels
    is_gold = connection.scalar(sa.select(task.c.gold).where(task.c.task_id == task_id))
    if not is_gold:
        given = schema.answers.c
        if connection.scalar(sa.select(given.answer_id).where(given.task_id == task_id).limit(1)) is not None:
            rule = "this task has answers already, which would no longer count"
            raise BadValue(task_id, rule, "Choose one that nobody has answered.")
        connection.execute(task.update().where(task.c.task_id == task_id).values(gold=True))
        connection.execute(row.update().where(row.c.task_id == task_id).values(votes=EVERYBODY))
    connection.execute(known.delete().where(known.c.task_id == task_id))
    connection.execute(known.insert(), [{"task_id": task_id, "label": label} for label in sorted(set(labels))])


def set_all(store: Store, known: Mapping[int, Collection[int]]) -> None:
    """Makes tasks gold, all or none.

    Raises:
        BadValue: if there are none, or one of them has answers already.
    """
    if not known:
        raise BadValue(0, "no video is named", "Give a row for each gold video.")
    with store.writing() as connection:
        for task_id, labels in known.items():
            set_gold(connection, task_id, labels)


def number(store: Store) -> int:
    """Gold tasks of a campaign."""
    task = schema.tasks.c
    statement = sa.select(sa.func.count()).where(task.campaign_id == store.campaign_id, task.gold)
    with store.reading() as connection:
        return connection.scalar(statement) or 0


def record(connection: sa.Connection, campaign_id: int, worker_id: int | None, settings: Settings) -> Gold:
    """What a person did on the gold tasks of a campaign."""
    task, given = schema.tasks.c, schema.answers.c
    of_campaign = (task.campaign_id == campaign_id, task.gold.is_(True))
    there_are = connection.scalar(sa.select(sa.func.count()).where(*of_campaign)) or 0
    needed = min(settings.qualify, there_are)
    statement = sa.select(given.task_id, given.answer_id, given.revision).where(
        *of_campaign, given.task_id == task.task_id, given.worker_id == worker_id
    )
    rows = connection.execute(statement.order_by(given.answer_id)).all() if there_are else []
    known = _labels(connection, {row.task_id for row in rows})
    is_right = {
        row.answer_id: right(intake.read(connection, row.answer_id, ""), known.get(row.task_id, set())) for row in rows
    }
    latest = {row.task_id: is_right[row.answer_id] for row in rows}
    first = [row for row in rows if row.revision == 1]
    decided, qualified = len(first) >= needed, True
    if decided and needed:
        asked = {row.task_id for row in first[:needed]}
        until = first[needed - 1].answer_id
        then = {r.task_id: is_right[r.answer_id] for r in rows if r.task_id in asked and r.answer_id <= until}
        qualified = sum(then.values()) >= settings.pass_rate * needed
    return Gold(len(latest), sum(latest.values()), decided and qualified, decided)


def right(answer: intake.Answer, labels: Collection[int]) -> bool:
    """Whether an answer to a gold task is right: a non-empty set of Yes labels, all of which hold."""
    sure = {label for label, rating in answer.choices.items() if rating == "yes"}
    return bool(sure) and sure <= set(labels)


def read_file(path: Path, task_ids: Mapping[str, int], labels: LabelSpace) -> dict[int, list[int]]:
    """Labels that hold by task, of a CSV file with the columns `video_id` and `labels` (names separated by `|`).

    Raises:
        MissingFile: if there is no such file.
        UnknownName: if a column is missing, or a label is none.
        BadValue: if it is not UTF-8 or CSV, or a row names no video of the campaign, no label, or a video again.
    """
    if not path.is_file():
        raise MissingFile(path, "Give a CSV file with the columns video_id and labels (separated by |).")
    with path.open("rb") as file:
        return read_sheet(file, str(path), task_ids, labels)


def read_sheet(file: BinaryIO, name: str, task_ids: Mapping[str, int], labels: LabelSpace) -> dict[int, list[int]]:
    """As `read_file`, of a file that is open; `name` is what errors call it."""
    found: dict[int, list[int]] = {}
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.DictReader(text, strict=True)
    try:
        for column in ("video_id", "labels"):
            if column not in (reader.fieldnames or ()):
                raise UnknownName("column", column, reader.fieldnames or ())
        for row in reader:
            video_id, texts = (row["video_id"] or "").strip(), (row["labels"] or "").split("|")
            where = f"row {reader.line_num}"
            if video_id not in task_ids:
                raise BadValue(video_id, f"{where}, column video_id: is not a video of this campaign")
            if task_ids[video_id] in found:
                raise BadValue(video_id, f"{where}, column video_id: this video stands twice in the file")
            found[task_ids[video_id]] = [labels.index_of(text.strip()) for text in texts if text.strip()]
            if not found[task_ids[video_id]]:
                raise BadValue(video_id, f"{where}, column labels: gold needs at least one label")
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadValue(name, f"is not a CSV file in UTF-8 ({error})", "Save it as CSV UTF-8.") from None
    finally:
        text.detach()  # the file is its opener's to close
    return found


def _labels(connection: sa.Connection, task_ids: Collection[int]) -> dict[int, set[int]]:
    known = schema.gold_labels.c
    found: dict[int, set[int]] = {}
    if not task_ids:
        return found
    for task_id, label in connection.execute(
        sa.select(known.task_id, known.label).where(known.task_id.in_(sorted(task_ids)))
    ):
        found.setdefault(task_id, set()).add(label)
    return found
