"""How a workplace's database is opened, and what a disk, a file or a server does to it in plain words.

SQLite (a file beside the key) is the usual one; PostgreSQL serves where several machines answer for one workplace.
Either way one writer works at a time: `BEGIN IMMEDIATE`, or an advisory lock that the transaction holds.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from secondlook.annotate.schema import VERSION, schema_version
from secondlook.errors import BadValue

BUSY_S = 60
"""How long a writer waits for another one."""
CHECKPOINT_EVERY = 250
"""Writes after which what stands in the log of a file is brought into the file itself (`checkpoint`)."""
_MOST_LOG_PAGES = 10_000
"""SQLite does so itself when the log is so long, while every writer waits; its own default is 1000, 4 MB."""
_WRITE_LOCK = 0x5EC0_11D1_00C0
"""Number of the advisory lock that a writer holds on PostgreSQL."""
_POOL = {"pool_size": 8, "max_overflow": 56, "pool_timeout": BUSY_S}
"""Up to 64 readers at once; writers wait for their turn before they take a connection."""


def connect(path: Path) -> sa.Engine:
    """An engine on a database file: WAL, foreign keys on, every commit on disk before it returns.

    A connection with the execution option `writes=True` takes the write lock when its transaction begins, so that
    what it checks still holds when it writes.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_S}, poolclass=sa.QueuePool, **_POOL
    )

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy, not the driver, says BEGIN
        for pragma in (
            "foreign_keys = ON",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {_MOST_LOG_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        driver = connection.connection.driver_connection  # past SQLAlchemy, which takes longer for it than SQLite
        assert driver is not None
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def checkpoint(engine: sa.Engine) -> None:
    """Brings what stands in the write-ahead log into the file, as far as no reader needs it; nobody waits for it.

    What was committed is on disk already, so nothing is said where it fails; the next one tries again.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        connection.close()


def connect_url(url: str) -> sa.Engine:
    """An engine on a PostgreSQL database; `writes=True` as for a file.

    Raises:
        BadValue: if the URL is none, names another kind of database, or the driver is not installed. No error holds
            the URL: it may hold a password.
    """
    cure = "Give postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    try:
        parsed = sa.make_url(url.strip())
    except (sa.exc.ArgumentError, ValueError):
        raise BadValue("database", "is not a URL of a database", cure) from None
    kind = parsed.get_backend_name()
    if kind not in ("postgresql", "postgres"):
        raise BadValue(kind, "is a kind of database that is not known", cure)
    try:
        engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, **_POOL)
    except ImportError:
        raise BadValue(
            "psycopg", "is needed for PostgreSQL and not installed", "Run: pip install 'secondlook[postgresql]'"
        ) from None

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")

    return engine


def place(engine: sa.Engine) -> str:
    """Where an engine's database is, for people: a path, or a URL without user, password and options."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return sa.URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def version(connection: sa.Connection, where: str) -> int:
    """Version of the store in a database.

    Raises:
        BadValue: if it is another kind of database, or was made by a newer version.
    """
    if not sa.inspect(connection).has_table("schema_version"):
        raise BadValue(where, "is not an annotation store", "Make one with `secondlook annotate create`.")
    found = int(connection.scalar(sa.select(sa.func.max(schema_version.c.version))) or 0)
    if found > VERSION:
        raise BadValue(where, f"is a store of version {found}, newer than {VERSION}", "Upgrade secondlook.")
    return found


_FILE_CURES = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Close it and try again; nothing was lost."),
    sqlite3.SQLITE_READONLY: ("cannot be written", "Give yourself the right to write in its folder."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk."),
    sqlite3.SQLITE_FULL: ("does not fit on the disk", "Make room; what was acknowledged is kept."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check the rights of its folder."),
    sqlite3.SQLITE_CORRUPT: ("is a damaged database", "Restore it from a copy, or try `sqlite3 FILE .recover`."),
    sqlite3.SQLITE_NOTADB: ("is not a database", "Give the folder that `secondlook annotate create` made."),
}  # fmt: skip
_SERVER_CURES = {
    "28": ("does not let this user in", "Check user and password in the workplace's database.url."),
    "3D": ("is not there", "Make the database first: createdb NAME."),
    "42501": ("does not allow this", "Give its user the right to make and change tables."),
    "53": ("has no more room or connections", "Make room; what was acknowledged is kept."),
    "55": ("is locked by another program", "Try again; nothing was lost."),
    "57": ("was stopped", "Start it and try again; what was acknowledged is kept."),
    "25006": ("cannot be written", "Give the address of the server that may be written to."),
}
"""By SQLSTATE or its class."""


@contextmanager
def plain_words(where: str) -> Iterator[None]:
    """Turns what a file, a disk or a server does to the database into a sentence; our own mistakes stay as they are."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        found = _file_words(error.orig) or _server_words(error)
        if found is None:
            raise
        raise BadValue(where, *found) from None
    except sqlite3.Error as error:  # a transaction that does not begin
        found = _file_words(error)
        if found is None:
            raise
        raise BadValue(where, *found) from None


def _file_words(error: BaseException | None) -> tuple[str, str] | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code not in _FILE_CURES:
        return None
    rule, cure = _FILE_CURES[code]
    return f"{rule} ({error})", cure


def _server_words(error: sa.exc.DBAPIError) -> tuple[str, str] | None:
    """The server's own words are left out: they may repeat what was sent to it."""
    if isinstance(error.orig, sqlite3.Error):
        return None
    state = getattr(error.orig, "sqlstate", None) or ""
    found = _SERVER_CURES.get(state) or _SERVER_CURES.get(state[:2])
    if found is None and isinstance(error, sa.exc.OperationalError) and (not state or state[:2] == "08"):
        text = str(error.orig)
        if "authentication" in text or "password" in text or 'FATAL:  role "' in text:
            return _SERVER_CURES["28"]
        if "does not exist" in text:
            return _SERVER_CURES["3D"]
        return "cannot be reached", "Is the server running? Look at the workplace's database.url."
    return found
