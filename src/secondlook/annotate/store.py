"""The store of a campaign: a folder with `store.sqlite`; what is acknowledged is committed, what was given stays.

Times are seconds on a clock of the caller's choice and are passed in; the store looks at no clock.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from secondlook.annotate import intake, lookups, records, schema
from secondlook.annotate.intake import Answer, Receipt, Verdict
from secondlook.annotate.tasks import Task
from secondlook.annotate.workers import KEY_BYTES, pseudonym
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace

DATABASE, KEY = "store.sqlite", "pseudonym.key"
MOST_VOTES = 100


class Store:
    """Tasks, answers and verdicts of one campaign. Open it with `Store.create` or `Store.open`; a context manager.

    Safe to share between threads, and between processes that open the same folder.
    """

    def __init__(self, folder: Path, engine: sa.Engine) -> None:
        self.folder, self._engine = folder, engine
        with self._reading() as connection:
            row = connection.execute(sa.select(schema.campaigns)).first()
        if row is None:
            raise BadValue(str(folder), "is a store without a campaign", "Make one with `secondlook annotate create`.")
        self.campaign_id: int = row.campaign_id
        self.name: str = row.name
        self.labels = LabelSpace.from_dict(row.label_space)
        self.made: dict[str, Any] = row.made
        """How the tasks were made."""

    @classmethod
    def create(
        cls,
        folder: str | Path,
        tasks: Sequence[Task],
        labels: LabelSpace,
        *,
        votes: int = 3,
        name: str = "round1",
        made: Mapping[str, Any] | None = None,
        key: bytes | None = None,
    ) -> Store:
        """Makes a store in a folder that is not there yet; a killed run leaves no half of one.

        Args:
            folder: where; its parents are made.
            tasks: the questions (`tasks.from_candidates`).
            labels: what label indices mean.
            votes: answers asked for a task.
            name: name of the campaign.
            made: how the tasks were made.
            key: secret of the pseudonyms; drawn afresh if left out. It is kept beside the database, not in it, so that
                the database can be handed on without it.

        Raises:
            BadValue: if something is in the folder, a video comes twice, or the number of votes makes no sense.
        """
        if not 1 <= votes <= MOST_VOTES:
            raise BadValue(votes, f"votes a video must be from 1 to {MOST_VOTES}")
        if not tasks:
            raise BadValue(0, "there are no candidates, so there is nothing to ask", "Look at what `audit` found.")
        videos = Counter(task.video_id for task in tasks)
        if len(videos) < len(tasks):
            raise BadValue(videos.most_common(1)[0][0], "this video comes twice among the candidates", "Keep it once.")
        key = key or secrets.token_bytes(KEY_BYTES)
        # In the order of the pseudonyms, a task's number tells nothing about its place among the candidates.
        shown = sorted((pseudonym(key, task.video_id, "v"), task) for task in tasks)
        with making(folder) as part:
            part.mkdir(parents=True)
            (part / KEY).touch(mode=0o600)
            (part / KEY).write_bytes(key)
            engine = schema.connect(part / DATABASE)
            with schema.plain_words(part / DATABASE), engine.execution_options(writes=True).begin() as connection:
                schema.metadata.create_all(connection)
                connection.execute(schema.schema_version.insert(), {"version": schema.VERSION})
                campaign = {"name": name, "label_space": labels.to_dict(), "made": dict(made or {})}
                made_id = schema.campaigns.insert().returning(schema.campaigns.c.campaign_id)
                campaign_id = connection.execute(made_id, campaign).scalar_one()
                _insert_tasks(connection, campaign_id, [task for _, task in shown], votes)
            engine.dispose()
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """Opens a store; one of an older version is brought up to date first.

        Raises:
            MissingFile: if the folder or its database is not there.
            BadValue: if the database is damaged, locked, of another kind, or of a newer version.
        """
        folder = Path(folder)
        path = folder / DATABASE
        if not path.is_file():
            raise MissingFile(path, "Give the folder that `secondlook annotate create` or `simulate` made.")
        engine = schema.connect(path)
        try:
            with schema.plain_words(path), engine.execution_options(writes=True).begin() as connection:
                schema.bring_up_to_date(connection, path)
            return cls(folder, engine)
        except BaseException:
            engine.dispose()
            raise

    def close(self) -> None:
        """Lets go of the database. May be called twice."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- what people give ------------------------------------------------------------------------------------------

    def submit(self, answers: Sequence[Answer]) -> list[int]:
        """Stores answers, all or none, in one transaction; they are on disk when this returns.

        An answer that is already there word for word is not stored twice, so a client may send it again.

        Returns:
            The id of each answer.

        Raises:
            BadValue: for the first answer that cannot be taken: a label that is none, a task that already has all the
                answers asked for, a worker who already answered it otherwise.
        """
        with self._writing() as connection:
            receipts = intake.take(connection, self.campaign_id, len(self.labels), self._key(), answers)
            for receipt in receipts:
                if receipt.problem:
                    raise receipt.problem
        return [receipt.answer_id for receipt in receipts]

    def offer(self, answers: Sequence[Answer]) -> list[Receipt]:
        """Stores the answers that can be taken, in one transaction, and says of each other why it was refused."""
        with self._writing() as connection:
            return intake.take(connection, self.campaign_id, len(self.labels), self._key(), answers)

    def judge(self, verdicts: Sequence[Verdict]) -> int:
        """Adds a reviewer's verdicts, all or none; the last one of an answer counts.

        Returns:
            How many were new: one that repeats what counts already is not stored again.

        Raises:
            BadValue: if a verdict names no answer of this campaign.
        """
        with self._writing() as connection:
            return intake.judge(connection, self.campaign_id, self._key(), verdicts)

    def note(self, task_id: int, author: str, text: str, written_s: float | None = None) -> None:
        """Adds a note to a task. The text is data: whoever shows it escapes it."""
        with self._writing() as connection:
            lookups.check_tasks(connection, self.campaign_id, {task_id})
            worker_id = lookups.worker_ids(connection, self._key(), {author})[author]
            row = {"task_id": task_id, "worker_id": worker_id, "text": text, "written_s": written_s}
            connection.execute(schema.notes.insert(), row)

    def repost(self, task_ids: Iterable[int], votes: int) -> list[int]:
        """Opens a further round of tasks whose last round has all its answers.

        Returns:
            The tasks that were posted again; the others still wait for answers in their present round.

        Raises:
            BadValue: if a task is not of this campaign, or the number of votes makes no sense.
        """
        if not 1 <= votes <= MOST_VOTES:
            raise BadValue(votes, f"votes a video must be from 1 to {MOST_VOTES}")
        wanted = set(task_ids)
        with self._writing() as connection:
            lookups.check_tasks(connection, self.campaign_id, wanted)
            progress = lookups.progress(connection, wanted)
            done = [t for t in sorted(wanted) if progress[t].given >= progress[t].votes]
            rows = [{"task_id": t, "round": progress[t].round + 1, "votes": votes} for t in done]
            if rows:
                connection.execute(schema.rounds.insert(), rows)
        return done

    # -- what can be read ------------------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        """Every task of the campaign by number, options in shown order."""
        option = schema.task_options.c
        with self._reading() as connection:
            rows = connection.execute(
                sa.select(schema.tasks)
                .where(schema.tasks.c.campaign_id == self.campaign_id)
                .order_by(schema.tasks.c.task_id)
            ).all()
            found = defaultdict(list)
            for task_id, label in connection.execute(
                sa.select(option.task_id, option.label).order_by(option.task_id, option.position)
            ):
                found[task_id].append(label)
        key = self._key()
        return [
            Task(r.video_id, r.path, r.given_label, tuple(found[r.task_id]), r.task_id, pseudonym(key, r.video_id, "v"))
            for r in rows
        ]

    def task_ids(self) -> dict[str, int]:
        """Task number by video_id."""
        task = schema.tasks.c
        statement = sa.select(task.video_id, task.task_id).where(task.campaign_id == self.campaign_id)
        with self._reading() as connection:
            return dict(connection.execute(statement).all())

    def answers(self) -> pa.Table:
        """Every answer, as one long table (`answers.COLUMNS`, and `task_id`, `answer_id`)."""
        with self._reading() as connection:
            return records.read(connection, self.campaign_id)

    def notes(self) -> list[tuple[int, str, str]]:
        """Every note: task number, author's pseudonym, text."""
        note = schema.notes
        statement = sa.select(note.c.task_id, schema.workers.c.pseudonym, note.c.text).join_from(note, schema.workers)
        with self._reading() as connection:
            return [(t, author, text) for t, author, text in connection.execute(statement.order_by(note.c.note_id))]

    def pseudonym(self, person: str) -> str:
        """The name under which a person's answers stand in this store."""
        return pseudonym(self._key(), person)

    def _key(self) -> bytes:
        path = self.folder / KEY
        if not path.is_file():
            raise MissingFile(path, "Without it a worker cannot be told from a new one. Put it back beside the store.")
        return path.read_bytes()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with schema.plain_words(self.folder / DATABASE), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with (
            schema.plain_words(self.folder / DATABASE),
            self._engine.execution_options(writes=True).begin() as connection,
        ):
            yield connection


@contextmanager
def making(folder: str | Path) -> Iterator[Path]:
    """A folder that appears whole or not at all: work in the path given, which is renamed at the end.

    Raises:
        BadValue: if there is something at `folder` already.
    """
    folder = Path(folder)
    if (folder / DATABASE).exists():
        raise BadValue(
            str(folder),
            "there is a store here already, and answers are never overwritten",
            "Give another folder with -o, or add to this one with `secondlook annotate import`.",
        )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadValue(str(folder), "is not an empty folder", "Give a new folder with -o.")
    part = folder.with_name(f".{folder.name}.part-{secrets.token_hex(4)}")
    try:
        yield part
        if folder.exists():
            folder.rmdir()
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _insert_tasks(connection: sa.Connection, campaign_id: int, tasks: Sequence[Task], votes: int) -> None:
    for chunk in lookups.chunks(enumerate(tasks, start=1)):
        rows, options, rounds = [], [], []
        for number, task in chunk:
            about = {"video_id": task.video_id, "path": task.path, "given_label": task.given_label}
            rows.append({"task_id": number, "campaign_id": campaign_id, **about})
            options += [{"task_id": number, "position": i, "label": label} for i, label in enumerate(task.options)]
            rounds.append({"task_id": number, "round": 1, "votes": votes})
        connection.execute(schema.tasks.insert(), rows)
        connection.execute(schema.task_options.insert(), options)
        connection.execute(schema.rounds.insert(), rounds)
