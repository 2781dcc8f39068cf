"""Databases that are not what they should be, and writers that are killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondlook.annotate import database
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace


@pytest.fixture
def store(tmp_path: Path, labels: LabelSpace) -> Iterator[Store]:
    """Three tasks in a file."""
    tasks = [Task(f"v{i}", f"class/v{i}.mp4", i, (2, 0, 1)) for i in range(3)]
    with Store.create(tmp_path / "answers", tasks, labels, votes=2) as opened:
        yield opened


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="annotate create"):
        Store.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be one" * 40])
def test_another_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(BadValue, match=r"is not an annotation store|is not a database"):
        Store.open(tmp_path)


def test_another_database(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "store.sqlite")
    database.execute("CREATE TABLE songs (title)")
    database.commit()
    database.close()
    with pytest.raises(BadValue, match="is not an annotation store"):
        Store.open(tmp_path)


def test_damaged_pages(store: Store) -> None:
    for i in range(300):
        store.note(1, "ann", f"note {i} " + "x" * 200)
    store.close()
    path = store.folder / "store.sqlite"
    content = bytearray(path.read_bytes())
    content[4096 * 4 :] = b"\x5a" * (len(content) - 4096 * 4)
    path.write_bytes(content)

    def read() -> None:
        with Store.open(store.folder) as opened:
            opened.notes()
            opened.answers()

    with pytest.raises(BadValue, match="damaged database"):
        read()


def test_a_newer_store(store: Store) -> None:
    store.close()
    database = sqlite3.connect(store.folder / "store.sqlite")
    database.execute("INSERT INTO schema_version VALUES (99)")
    database.commit()
    database.close()
    with pytest.raises(BadValue, match=r"version 99, newer than 2\. Upgrade secondlook"):
        Store.open(store.folder)


def test_settings_of_a_connection(store: Store) -> None:
    with database.connect(store.folder / "store.sqlite").connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "journal_mode", "synchronous")
        ]
        connection.engine.dispose()
    assert found == [1, "wal", 2]
