"""A workplace: one folder with a database and the key of its pseudonyms; it holds campaigns and accounts."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import campaigns, database, folders, migrate, schema, trail
from secondlook.annotate.accounts import Accounts
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workers import KEY_BYTES
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace


class Workplace:
    """Campaigns and accounts of one folder. Open it with `create`, `open` or `open_or_create`; a context manager.

    Safe to share between threads, and between processes that open the same folder: one writer works at a time.
    """

    def __init__(self, folder: Path, engine: sa.Engine) -> None:
        self.folder, self._engine, self._key = folder, engine, b""
        self._writer = engine.execution_options(writes=True)
        self._writes = itertools.count(1)
        self.place = database.place(engine)
        """Where the database is, for people."""
        self.accounts = Accounts(self)
        # Threads of one process queue up here; SQLite itself lets waiting writers sleep and try, the last come first.
        self._one_writer: contextlib.AbstractContextManager[object] = (
            threading.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        )

    @classmethod
    def create(cls, folder: str | Path, *, database_url: str = "", key: bytes | None = None) -> Workplace:
        """Makes a workplace in a folder that is not there yet; a killed run leaves no half of one.

        Args:
            folder: where; its parents are made.
            database_url: a PostgreSQL database without tables; by default a SQLite file in the folder. The URL is kept
                in the folder, readable by its owner only.
            key: secret of the pseudonyms; drawn afresh if left out. It is kept beside the database, not in it, so that
                the database can be handed on without it.

        Raises:
            BadValue: if something is in the folder, or the database cannot be reached or is in use.
        """
        engine = database.connect_url(database_url) if database_url else None
        with folders.making(folder) as part:
            part.mkdir(parents=True)
            folders.write_secret(part / folders.KEY, key or secrets.token_bytes(KEY_BYTES))
            if engine is None:
                engine = database.connect(part / folders.DATABASE)
            else:
                folders.write_secret(part / folders.URL, database_url.encode())
            try:
                _make_tables(engine)
            finally:
                engine.dispose()
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Workplace:
        """Opens a workplace; one of an older version is brought up to date first, and the old file kept beside it.

        Raises:
            MissingFile: if the folder or its database is not there.
            BadValue: if the database is damaged, locked, of another kind, or of a newer version.
        """
        folder = Path(folder)
        if (folder / folders.URL).is_file():
            engine = database.connect_url((folder / folders.URL).read_text())
        elif (folder / folders.DATABASE).is_file():
            migrate.bring_up_to_date(folder / folders.DATABASE)
            engine = database.connect(folder / folders.DATABASE)
        else:
            raise MissingFile(
                folder / folders.DATABASE, "Give the folder that `secondlook annotate create` or `simulate` made."
            )
        try:
            workplace = cls(folder, engine)
            with workplace.reading() as connection:
                if database.version(connection, workplace.place) < schema.VERSION:
                    raise BadValue(workplace.place, "is a store of an older version", "Make a new one.")
        except BaseException:
            engine.dispose()
            raise
        return workplace

    @classmethod
    def open_or_create(cls, folder: str | Path, *, database_url: str = "", key: bytes | None = None) -> Workplace:
        """Opens the workplace of a folder; makes it if there is none.

        Raises:
            BadValue: if there is one already and another database is asked for.
        """
        folder = Path(folder)
        if not folders.holds_workplace(folder):
            return cls.create(folder, database_url=database_url, key=key)
        url = folder / folders.URL
        if database_url and (not url.is_file() or url.read_text() != database_url):
            raise BadValue(str(folder), "is a workplace already, with another database", "Leave --database out.")
        return cls.open(folder)

    def close(self) -> None:
        """Lets go of the database. May be called twice."""
        self._engine.dispose()

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def campaign_names(self) -> list[str]:
        """Names of the campaigns, in the order made."""
        campaign = schema.campaigns.c
        with self.reading() as connection:
            return list(connection.scalars(sa.select(campaign.name).order_by(campaign.campaign_id)))

    def campaign(self, name: str = "") -> Store:
        """A campaign; without a name, the only one.

        Raises:
            UnknownName: if there is none of this name.
            BadValue: if there is none at all, or there are several and none is named.
        """
        names = self.campaign_names()
        if not names:
            cure = "Make one with `secondlook annotate create`."
            raise BadValue(str(self.folder), "is a store without a campaign", cure)
        if not name and len(names) > 1:
            rule = "there are several campaigns here"
            raise BadValue(", ".join(names), rule, "Say which one, for example with --campaign NAME.")
        if name and name not in names:
            raise UnknownName("campaign", name, names)
        return Store(self, name or names[0])

    def add(
        self,
        tasks: Sequence[Task],
        labels: LabelSpace,
        *,
        name: str = "round1",
        settings: Settings | None = None,
        made: Mapping[str, Any] | None = None,
    ) -> Store:
        """Adds a campaign, whole or not at all.

        Args:
            tasks: the questions (`tasks.from_candidates`).
            labels: what label indices mean.
            name: a new name.
            settings: how it asks; the defaults if left out.
            made: how the tasks were made.

        Raises:
            BadValue: if the name is taken, there are no tasks, or a video comes twice.
        """
        with self.writing() as connection:
            campaigns.insert(connection, self.key(), tasks, labels, name, settings or Settings(), made or {})
        return self.campaign(name)

    def record(
        self, action: str, now_s: float, *, account_id: int | None = None, campaign: str = "", **about: Any
    ) -> None:
        """Writes down that something was done. What it is about must be JSON-ready and hold no secret."""
        with self.writing() as connection:
            trail.record(connection, action, now_s, account_id, campaign, about)

    def events(self, campaign: str = "", limit: int = 100) -> list[trail.Event]:
        """What was done last, the newest first."""
        with self.reading() as connection:
            return trail.read(connection, campaign, limit)

    def judged(self, limit: int = 100) -> list[trail.Judging]:
        """Who judged how many answers, by the hour, the newest first."""
        with self.reading() as connection:
            return trail.judged(connection, limit)

    def key(self) -> bytes:
        """The secret of the pseudonyms; it never changes, so it is read once."""
        if not self._key:
            self._key = folders.read_key(self.folder)
        return self._key

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that only reads."""
        with database.plain_words(self.place), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that holds the write lock; on disk when it ends. Never one inside another."""
        with database.plain_words(self.place):
            with self._one_writer, self._writer.begin() as connection:
                yield connection
            if next(self._writes) % database.CHECKPOINT_EVERY == 0:
                database.checkpoint(self._engine)  # while others may write


def _make_tables(engine: sa.Engine) -> None:
    where = database.place(engine)
    with database.plain_words(where), engine.execution_options(writes=True).begin() as connection:
        if sa.inspect(connection).get_table_names():
            cure = "Give a database without tables, or open the folder that it belongs to."
            raise BadValue(where, "this database is in use already", cure)
        schema.metadata.create_all(connection)
        connection.execute(schema.schema_version.insert(), {"version": schema.VERSION})
