"""The store's tables, how a database is opened, and how an older one is brought up to date.

```
campaigns 1-n tasks 1-n task_options
                tasks 1-n rounds 1-n answers 1-n answer_choices
workers 1-n answers       answers 1-n verdicts n-1 workers (the reviewer)
                tasks 1-n notes n-1 workers (the author)
```

What people gave (`answers`, `answer_choices`, `verdicts`, `notes`) is append-only: triggers refuse every change and
deletion. The types are portable; only the triggers and the settings of a connection are SQLite's own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from secondlook.errors import BadValue

VERSION = 1
"""Version of the tables below. Raise it with every change of them, and say in `MIGRATIONS` how to get there."""
MIGRATIONS: Mapping[int, tuple[str, ...]] = {}
"""Statements that bring a store from version `n` to `n + 1`, by `n`."""
APPEND_ONLY = ("answers", "answer_choices", "verdicts", "notes")

metadata = sa.MetaData()
schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("campaign_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("label_space", sa.JSON, nullable=False, comment="LabelSpace.to_dict()"),
    sa.Column("made", sa.JSON, nullable=False, comment="how the tasks were made"),
)
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.campaign_id"), nullable=False),
    sa.Column("video_id", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("given_label", sa.Integer, nullable=False),
    sa.UniqueConstraint("campaign_id", "video_id"),
)
task_options = sa.Table(
    "task_options",
    metadata,
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, comment="0, 1, ... in the order shown"),
    sa.Column("label", sa.Integer, nullable=False),
    sa.UniqueConstraint("task_id", "label"),
    sqlite_with_rowid=False,
)
rounds = sa.Table(
    "rounds",
    metadata,
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True, comment="1; 2 once the task was posted again; ..."),
    sa.Column("votes", sa.Integer, nullable=False, comment="answers asked for in this round"),
    sa.CheckConstraint("votes > 0 AND round > 0", name="something_is_asked"),
    sqlite_with_rowid=False,
)
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.Integer, primary_key=True),
    sa.Column("pseudonym", sa.Text, nullable=False, unique=True, comment="keyed hash; the raw id is kept nowhere"),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("answer_id", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False, comment="1..votes: two writers cannot both take the last one"),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, index=True),
    sa.Column("started_s", sa.Float, comment="seconds, as the caller counts them; null if unknown"),
    sa.Column("submitted_s", sa.Float),
    sa.Column("no_match", sa.Boolean, nullable=False),
    sa.Column("review", sa.Boolean, nullable=False),
    sa.Column("unsuitable", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["task_id", "round"], ["rounds.task_id", "rounds.round"]),
    sa.UniqueConstraint("task_id", "round", "slot"),
    sa.UniqueConstraint("task_id", "round", "worker_id"),
)
answer_choices = sa.Table(
    "answer_choices",
    metadata,
    sa.Column("answer_id", sa.ForeignKey("answers.answer_id"), primary_key=True),
    sa.Column("label", sa.Integer, primary_key=True),
    sa.Column("rating", sa.Text, nullable=False),
    sa.CheckConstraint("rating IN ('yes', 'maybe')", name="rating_is_known"),
    sqlite_with_rowid=False,
)
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("verdict_id", sa.Integer, primary_key=True, comment="the highest of an answer is the one that counts"),
    sa.Column("answer_id", sa.ForeignKey("answers.answer_id"), nullable=False, index=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, comment="the reviewer"),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("second_review", sa.Boolean, nullable=False),
    sa.Column("given_s", sa.Float),
)
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("note_id", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.ForeignKey("tasks.task_id"), nullable=False, index=True),
    sa.Column("worker_id", sa.ForeignKey("workers.worker_id"), nullable=False, comment="the author"),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("written_s", sa.Float),
)
for _table in APPEND_ONLY:
    for _change in ("UPDATE", "DELETE"):
        _statement = (
            f"CREATE TRIGGER {_table}_no_{_change.lower()} BEFORE {_change} ON {_table} "
            f"BEGIN SELECT RAISE(ABORT, '{_table} is append-only'); END"
        )
        sa.event.listen(metadata, "after_create", sa.DDL(_statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]


def connect(path: Path) -> sa.Engine:
    """An engine on a database file: WAL, foreign keys on, every commit on disk before it returns.

    A connection with the execution option `writes=True` takes the write lock when its transaction begins, so that
    what it checks still holds when it writes.
    """
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy, not the driver, says BEGIN
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def bring_up_to_date(connection: sa.Connection, path: Path) -> None:
    """Checks that this is an annotation store of a known version, and migrates an older one in one transaction.

    Raises:
        BadValue: if it is another kind of database, or was made by a newer version.
    """
    if not sa.inspect(connection).has_table("schema_version"):
        raise BadValue(str(path), "is not an annotation store", "Make one with `secondlook annotate create`.")
    found = connection.scalar(sa.select(sa.func.max(schema_version.c.version))) or 0
    if found > VERSION:
        raise BadValue(str(path), f"is a store of version {found}, newer than {VERSION}", "Upgrade secondlook.")
    for version in range(found, VERSION):
        for statement in MIGRATIONS[version]:
            connection.exec_driver_sql(statement)
        connection.execute(schema_version.insert(), {"version": version + 1})


_CURES = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Close it and try again; nothing was lost."),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Give yourself the right to write in its folder."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk."),
    sqlite3.SQLITE_FULL: ("does not fit on the disk", "Make room; what was acknowledged is kept."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check the rights of its folder."),
    sqlite3.SQLITE_CORRUPT: ("is a damaged database", "Restore it from a copy, or try `sqlite3 FILE .recover`."),
    sqlite3.SQLITE_NOTADB: ("is not a database", "Give the folder that `secondlook annotate create` made."),
}  # fmt: skip


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Turns what a file or a disk does to the database into a sentence; our own mistakes stay as they are."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code not in _CURES:
            raise
        rule, cure = _CURES[code]
        raise BadValue(str(path), f"{rule} ({error.orig})", cure) from None
