"""An older database file is brought up to date: copied into a new one, which takes its place in one rename.

The old file stays beside it as `store.v1.sqlite`. Whatever goes wrong before the rename, a kill included, leaves the
old database as it was. Migrations of one folder, in whatever process, wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from secondlook.annotate import database, lookups, schema
from secondlook.annotate.campaigns import Settings
from secondlook.errors import BadValue

COPIED = ("campaigns", "tasks", "task_options", "rounds", "workers", "answers", "answer_choices", "verdicts", "notes")
"""Tables of version 1; each kept its columns and got new ones since."""


def bring_up_to_date(path: Path) -> None:
    """Migrates a database file if it is of version 1.

    Raises:
        BadValue: if another program has it open, or `store.v1.sqlite` is in the way.
    """
    with database.plain_words(str(path)), _alone(path.parent):
        if _version(path) != 1:
            return
        kept = path.with_name("store.v1.sqlite")
        if kept.exists() and not kept.samefile(path):
            raise BadValue(str(kept), "is in the way: the old database is kept under this name", "Move it away.")
        _close_journal(path)
        part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
        try:
            _copy(path, part)
            if not kept.exists():
                _keep(path, kept)
            part.replace(path)
            _sync(path.parent)
        finally:
            for leftover in path.parent.glob(part.name + "*"):
                leftover.unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else migrates in this folder meanwhile; the lock ends with the process that holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _version(path: Path) -> int:
    """Version of a store; 0 for what is none: who opens it will say so."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("schema_version"):
            return 0
        return int(connection.scalar(sa.select(sa.func.max(schema.schema_version.c.version))) or 0)


def _close_journal(path: Path) -> None:
    """Puts what stands in the write-ahead log into the file itself, and does without the log from now on.

    A log is found by the name of its file: left there, the new database would read the old one's.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError:
            mode = "still open"
    if mode != "delete" or Path(f"{path}-wal").exists():
        raise BadValue(str(path), "must be brought up to date, but another program has it open", "Close that first.")


def _copy(old_path: Path, part: Path) -> None:
    """Writes the new database, whole and on disk."""
    old = sa.create_engine(sa.URL.create("sqlite", database=str(old_path)), poolclass=sa.NullPool)
    new = database.connect(part)
    try:
        with old.connect() as source, new.execution_options(writes=True).begin() as target:
            schema.metadata.create_all(target)
            target.execute(schema.schema_version.insert(), [{"version": 1}, {"version": schema.VERSION}])
            added = _added(source)
            for name in COPIED:
                table = schema.metadata.tables[name]
                # The old file says which columns there are: a table here has more.
                rows = source.execute(sa.text(f"SELECT * FROM {name}")).mappings()  # noqa: S608 - a name from above
                for chunk in lookups.chunks(rows):
                    target.execute(table.insert(), [_row(table, dict(row), added) for row in chunk])
    finally:
        new.dispose()
        old.dispose()
    with contextlib.closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        problems = [*connection.execute("PRAGMA integrity_check"), *connection.execute("PRAGMA foreign_key_check")]
    assert problems == [("ok",)], problems  # the copy of a sound database
    with part.open("rb") as file:
        os.fsync(file.fileno())


def _added(source: sa.Connection) -> dict[str, Any]:
    """What the new columns hold: per round its campaign and its places taken, per campaign its settings."""
    of_round = source.execute(
        sa.text(
            "SELECT r.task_id, r.round, t.campaign_id, r.votes, count(a.answer_id) FROM rounds r JOIN tasks t "
            "USING (task_id) LEFT JOIN answers a ON a.task_id = r.task_id AND a.round = r.round "
            "GROUP BY r.task_id, r.round"
        )
    ).all()
    votes = {campaign: votes for _, number, campaign, votes, _ in of_round if number == 1}
    return {
        "rounds": {(task, number): (campaign, taken) for task, number, campaign, _, taken in of_round},
        "settings": {campaign: Settings(votes=asked).to_dict() for campaign, asked in votes.items()},
    }


def _row(table: sa.Table, row: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    if table.name == "rounds":
        row["campaign_id"], row["taken"] = added["rounds"][row["task_id"], row["round"]]
    elif table.name == "answers":
        row["revision"] = 1
    elif table.name == "tasks":
        row["gold"] = False
    elif table.name == "campaigns":
        row["settings"] = added["settings"].get(row["campaign_id"], Settings().to_dict())
        row["paused"] = False
    for column in table.columns:
        value = row[column.name]
        if isinstance(column.type, sa.JSON) and isinstance(value, str):
            row[column.name] = json.loads(value)
        elif isinstance(column.type, sa.Boolean):
            row[column.name] = bool(value)
    return row


def _keep(path: Path, kept: Path) -> None:
    """A second name for the old file; a copy where the file system knows no second names."""
    try:
        os.link(path, kept)
    except OSError:
        part = kept.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
        shutil.copy2(path, part)
        part.replace(kept)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
