"""The store of a campaign: its tasks, and what people give; what is acknowledged is on disk, what was given stays.

Times are UNIX seconds and are passed in; the store looks at no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from secondlook.annotate import campaigns, dealing, drafts, giving, gold, intake, lookups, records, schema
from secondlook.annotate.campaigns import MOST_VOTES, Settings
from secondlook.annotate.dealing import Assignment, Batch, Dealt, Turn
from secondlook.annotate.drafts import Draft
from secondlook.annotate.folders import making as making
from secondlook.annotate.gold import Gold
from secondlook.annotate.intake import Answer, Receipt, Verdict
from secondlook.annotate.lookups import Counts
from secondlook.annotate.tasks import Task
from secondlook.annotate.workers import pseudonym
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace

if TYPE_CHECKING:
    from secondlook.annotate.workplace import Workplace


_FEW, _AHEAD, _MOST_TASKS = 3, 100, 100_000
"""A look for so few tasks reads so many after them, too; so many are kept in memory, about 1 KB each."""


class Store:
    """Tasks, answers and verdicts of one campaign (`Workplace.campaign`); a context manager.

    Safe to share between threads, and between processes that open the same folder.
    """

    def __init__(self, workplace: Workplace, name: str, *, owns: bool = False) -> None:
        self.workplace, self.folder, self.name, self._owns = workplace, workplace.folder, name, owns
        campaign = schema.campaigns
        with self.reading() as connection:
            row = connection.execute(campaign.select().where(campaign.c.name == name)).one()
        self.campaign_id: int = row.campaign_id
        self.labels = LabelSpace.from_dict(row.label_space)
        self.made: dict[str, Any] = row.made
        """How the tasks were made."""
        self._by_media: dict[str, int] = {}
        self._tasks: dict[int, Task] = {}

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
        """Makes a workplace with one campaign in a folder that is not there yet; a killed run leaves no half of one.

        Args:
            folder: where; its parents are made.
            tasks: the questions (`tasks.from_candidates`).
            labels: what label indices mean.
            votes: answers asked for a task.
            name: name of the campaign.
            made: how the tasks were made.
            key: secret of the pseudonyms (`Workplace.create`).

        Raises:
            BadValue: if something is in the folder, a video comes twice, or the number of votes makes no sense.
        """
        from secondlook.annotate.workplace import Workplace

        settings = Settings(votes=votes)
        with making(folder) as part, Workplace.create(part, key=key) as workplace:
            workplace.add(tasks, labels, name=name, settings=settings, made=made)
            workplace.close()  # before the folder is renamed
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path, campaign: str = "") -> Store:
        """Opens a campaign, by default the only one; closing it closes its workplace.

        Raises:
            MissingFile: if the folder or its database is not there.
            UnknownName: if there is no such campaign.
            BadValue: if the database cannot be opened (`Workplace.open`), or there are several campaigns.
        """
        from secondlook.annotate.workplace import Workplace

        workplace = Workplace.open(folder)
        try:
            return cls(workplace, workplace.campaign(campaign).name, owns=True)
        except BaseException:
            workplace.close()
            raise

    def close(self) -> None:
        """Lets go of the database, unless a workplace shares it. May be called twice."""
        if self._owns:
            self.workplace.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- how it asks -----------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        with self.reading() as connection:
            return campaigns.state(connection, self.campaign_id)[0]

    @property
    def paused(self) -> bool:
        """Whether no task is dealt for now."""
        with self.reading() as connection:
            return campaigns.state(connection, self.campaign_id)[1]

    def change(self, **settings: Any) -> None:
        """Changes settings (`campaigns.Settings`); what is not named stays."""
        with self.writing() as connection:
            campaigns.change(connection, self.campaign_id, settings)

    def pause(self) -> None:
        """Deals nothing from now on; who holds a task may still answer it."""
        self._pause(True)

    def resume(self) -> None:
        """Deals again."""
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        campaign = schema.campaigns
        this = campaign.update().where(campaign.c.campaign_id == self.campaign_id)
        with self.writing() as connection:
            connection.execute(this.values(paused=paused))

    # -- what one person does (dealing.py, giving.py, drafts.py, gold.py) --------------------------------------------

    def deal(self, worker: str, now_s: float) -> Assignment | None:
        """The task that a person is to answer now: one they hold, else a new one; None if there is none."""
        return dealing.deal(self, worker, now_s).assignment

    def dealt(self, worker: str, now_s: float) -> Dealt:
        """As `deal`; where there is no task, says why: paused, not_qualified, batch_done or nothing_left."""
        return dealing.deal(self, worker, now_s)

    def prefetch(self, worker: str, now_s: float) -> Assignment | None:
        """The task after the one that `deal` gives, held from now on, so that its clip can be loaded."""
        return dealing.prefetch(self, worker, now_s)

    def turn(self, worker: str, now_s: float) -> Turn:
        """`dealt`, `prefetch` and `batch` at once, for the page that shows them all."""
        return dealing.turn(self, worker, now_s)

    def batch(self, worker: str, now_s: float) -> Batch:
        """The batch that a person works on; looking at it deals nothing."""
        return dealing.batch(self, worker, now_s)

    def next_batch(self, worker: str, now_s: float) -> Batch:
        """Begins a person's next batch if the present one is done."""
        return dealing.next_batch(self, worker, now_s)

    def release_expired(self, now_s: float) -> int:
        """Frees every place whose time ran out; gives how many."""
        return dealing.release_expired(self, now_s)

    def give(self, answer: Answer, now_s: float) -> Receipt:
        """Takes one answer of a person who was dealt the task, or a change of it; on disk when this returns.

        Raises:
            Refused: if it makes no sense, the task is not this person's, or the answer was reviewed already.
        """
        with self.writing() as connection:
            return giving.give(connection, self.campaign_id, len(self.labels), self.key(), answer, now_s)

    def hand_in(self, worker: str, task_id: int, draft: Draft, now_s: float) -> Turn | None:
        """`give` of what stands on a person's page and `turn`, at once; None if the task was never theirs."""
        return drafts.hand_in(self, worker, task_id, draft, now_s)

    def save_draft(self, worker: str, task_id: int, draft: Draft, now_s: float) -> None:
        """Keeps what stands on a person's page; on disk when this returns."""
        drafts.save(self, worker, task_id, draft, now_s)

    def draft(self, worker: str, task_id: int) -> Draft | None:
        """What stood on a person's page, if it was not given since."""
        return drafts.read(self, worker, task_id)

    def answer_of(self, worker: str, task_id: int) -> Answer | None:
        """A person's own answer to a task that they were dealt, its last revision."""
        return drafts.answer_of(self, worker, task_id)

    def set_gold(self, task: int | str, labels: Collection[int]) -> None:
        """Says what the answer to a task is, by number or video_id: from now on it is gold.

        Raises:
            BadValue: if there is no such task or label, or the task has answers already.
        """
        if not labels or not all(0 <= label < len(self.labels) for label in labels):
            raise BadValue(list(labels), f"gold labels are at least one label from 0 to {len(self.labels) - 1}")
        number = task if isinstance(task, int) else self._number_of(task)
        with self.writing() as connection:
            lookups.check_tasks(connection, self.campaign_id, {number})
            gold.set_gold(connection, number, labels)

    def gold_record(self, worker: str) -> Gold:
        """What a person did on gold tasks."""
        with self.reading() as connection:
            worker_id = lookups.worker_id(connection, self.key(), worker)
            settings, _ = campaigns.state(connection, self.campaign_id)
            return gold.record(connection, self.campaign_id, worker_id, settings)

    # -- what comes from outside, and what reviewers do ---------------------------------------------------------------

    def submit(self, answers: Sequence[Answer]) -> list[int]:
        """Stores answers, all or none, in one transaction; they are on disk when this returns.

        An answer that is already there word for word is not stored twice, so a client may send it again.

        Returns:
            The id of each answer.

        Raises:
            BadValue: for the first answer that cannot be taken: a label that is none, a task that already has all the
                answers asked for, a worker who already answered it otherwise.
        """
        with self.writing() as connection:
            receipts = intake.take(connection, self.campaign_id, len(self.labels), self.key(), answers)
            for receipt in receipts:
                if receipt.problem:
                    raise receipt.problem
        return [receipt.answer_id for receipt in receipts]

    def offer(self, answers: Sequence[Answer]) -> list[Receipt]:
        """Stores the answers that can be taken, in one transaction, and says of each other why it was refused."""
        with self.writing() as connection:
            return intake.take(connection, self.campaign_id, len(self.labels), self.key(), answers)

    def judge(self, verdicts: Sequence[Verdict]) -> int:
        """Adds a reviewer's verdicts, all or none; the last one of an answer counts.

        Returns:
            How many were new: one that repeats what counts already is not stored again.

        Raises:
            BadValue: if a verdict names no answer of this campaign, or one that its worker changed meanwhile.
        """
        with self.writing() as connection:
            return intake.judge(connection, self.campaign_id, self.key(), verdicts)

    def note(self, task_id: int, author: str, text: str, written_s: float | None = None) -> None:
        """Adds a note to a task. The text is data: whoever shows it escapes it."""
        with self.writing() as connection:
            lookups.check_tasks(connection, self.campaign_id, {task_id})
            worker_id = lookups.worker_ids(connection, self.key(), {author})[author]
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
        with self.writing() as connection:
            lookups.check_tasks(connection, self.campaign_id, wanted)
            progress = lookups.progress(connection, wanted)
            done = [t for t in sorted(wanted) if progress[t].given >= progress[t].votes]
            about = {"votes": votes, "campaign_id": self.campaign_id, "taken": 0}
            rows = [{"task_id": t, "round": progress[t].round + 1, **about} for t in done]
            if rows:
                connection.execute(schema.rounds.insert(), rows)
        return done

    # -- what can be read ------------------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        """Every task of the campaign by number, options in shown order."""
        with self.reading() as connection:
            return list(self.read_tasks(connection).values())

    def task(self, task_id: int) -> Task:
        """One task.

        Raises:
            BadValue: if there is none of this number in the campaign.
        """
        with self.reading() as connection:
            found = self.read_tasks(connection, [task_id])
        if task_id not in found:
            raise BadValue(task_id, "there is no such task in this campaign")
        return found[task_id]

    def task_of_media(self, media: str) -> Task | None:
        """The task whose video is shown under this name; None if there is none."""
        if not self._by_media:  # tasks never change; two threads may both make the same dictionary
            key = self.key()
            self._by_media = {pseudonym(key, video, "v"): number for video, number in self.task_ids().items()}
        number = self._by_media.get(media)
        return None if number is None else self.task(number)

    def task_ids(self) -> dict[str, int]:
        """Task number by video_id."""
        task = schema.tasks.c
        statement = sa.select(task.video_id, task.task_id).where(task.campaign_id == self.campaign_id)
        with self.reading() as connection:
            return dict(connection.execute(statement).all())

    def answers(self, gold: bool = False) -> pa.Table:
        """Every answer that counts, as one long table (`answers.COLUMNS`, and `task_id`, `answer_id`).

        Answers to gold tasks are left out unless `gold`.
        """
        with self.reading() as connection:
            return records.read(connection, self.campaign_id, gold)

    def counts(self) -> Counts:
        """How far the campaign is."""
        with self.reading() as connection:
            return lookups.counts(connection, self.campaign_id)

    def notes(self) -> list[tuple[int, str, str]]:
        """Every note: task number, author's pseudonym, text."""
        note, task = schema.notes, schema.tasks
        statement = (
            sa.select(note.c.task_id, schema.workers.c.pseudonym, note.c.text)
            .select_from(note.join(schema.workers).join(task, task.c.task_id == note.c.task_id))
            .where(task.c.campaign_id == self.campaign_id)
        )
        with self.reading() as connection:
            return [(t, author, text) for t, author, text in connection.execute(statement.order_by(note.c.note_id))]

    def pseudonym(self, person: str) -> str:
        """The name under which a person's answers stand in this store."""
        return pseudonym(self.key(), person)

    def key(self) -> bytes:
        """The secret of the pseudonyms."""
        return self.workplace.key()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection in a transaction that only reads."""
        return self.workplace.reading()

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A connection in a transaction that holds the write lock. Never one inside another."""
        return self.workplace.writing()

    def read_tasks(self, connection: sa.Connection, task_ids: Sequence[int] | None = None) -> dict[int, Task]:
        """Tasks of the campaign by number; only these, if they are given. What was read is kept: tasks never change."""
        known = self._tasks
        if task_ids is None:
            return lookups.read_tasks(connection, self.campaign_id, self.key())
        if any(number not in known for number in task_ids):
            wanted = {*task_ids}
            if len(task_ids) <= _FEW:  # people are dealt tasks in the order of their numbers: read ahead
                wanted.update(n + i for n in task_ids for i in range(_AHEAD))
            if len(known) > _MOST_TASKS:
                known = self._tasks = {}
            missing = [number for number in wanted if number not in known]
            known.update(lookups.read_tasks(connection, self.campaign_id, self.key(), missing))
        return {number: known[number] for number in task_ids if number in known}

    def _number_of(self, video_id: str) -> int:
        task = schema.tasks.c
        this = sa.select(task.task_id).where(task.campaign_id == self.campaign_id, task.video_id == video_id)
        with self.reading() as connection:
            number = connection.scalar(this)
        if number is None:
            raise UnknownName("video", video_id, self.task_ids())
        return int(number)
