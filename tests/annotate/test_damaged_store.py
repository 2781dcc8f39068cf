"""Databases that are not what they should be, and writers that are killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from secondlook.annotate import schema
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace


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
    with pytest.raises(BadValue, match=r"version 99, newer than 1\. Upgrade secondlook"):
        Store.open(store.folder)


def test_an_older_store_is_brought_up_to_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.submit([Answer(1, "ann", {0: "yes"})])
    store.close()
    monkeypatch.setattr(schema, "VERSION", 3)
    steps = {1: ("ALTER TABLE tasks ADD COLUMN priority REAL",), 2: ("UPDATE tasks SET priority = 1",)}
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    with Store.open(store.folder) as opened:
        assert opened.answers().num_rows == 3
    database = sqlite3.connect(store.folder / "store.sqlite")
    assert database.execute("SELECT DISTINCT priority FROM tasks").fetchall() == [(1.0,)]
    assert database.execute("SELECT version FROM schema_version ORDER BY version").fetchall() == [(1,), (2,), (3,)]
    database.close()


def test_a_migration_that_fails_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()
    before = (store.folder / "store.sqlite").read_bytes()
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: ("ALTER TABLE tasks ADD COLUMN priority REAL", "NONSENSE")})
    with pytest.raises(Exception, match="NONSENSE"):
        Store.open(store.folder)
    assert (store.folder / "store.sqlite").read_bytes() == before


def test_settings_of_a_connection(store: Store) -> None:
    with schema.connect(store.folder / "store.sqlite").connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "journal_mode", "synchronous")
        ]
        connection.engine.dispose()
    assert found == [1, "wal", 2]


WRITER = """
import sys
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store

with Store.open(sys.argv[1]) as store:
    for task in range(1, 10_000):
        answer = store.submit([Answer(task, "ann", {0: "yes", 1: "maybe"})])[0]
        sys.stdout.write(f"{task} {answer}\\n")
        sys.stdout.flush()
"""


def test_no_acknowledged_answer_is_lost_when_the_writer_is_killed(tmp_path: Path, labels: LabelSpace) -> None:
    tasks = [Task(f"v{i:05}", "", 0, (0, 1)) for i in range(10_000)]
    Store.create(tmp_path / "answers", tasks, labels, votes=1).close()
    acknowledged: list[tuple[int, int]] = []
    for stop_after in (7, 60):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "answers")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                task, answer = line.split()
                acknowledged.append((int(task), int(answer)))
                if len(acknowledged) == stop_after:
                    child.send_signal(signal.SIGKILL)
                    break
            rest = child.stdout.read().splitlines()
        acknowledged += [(int(a), int(b)) for a, _, b in (line.partition(" ") for line in rest) if b]
        assert child.wait() == -signal.SIGKILL
        with Store.open(tmp_path / "answers") as store:
            kept = {(r["task_id"], r["answer_id"], r["label"]) for r in store.answers().to_pylist() if r["worker"]}
        for task_id, answer_id in acknowledged:
            assert (task_id, answer_id, 0) in kept
            assert (task_id, answer_id, 1) in kept
        assert len(kept) % 2 == 0, "an answer is there with all its choices or not at all"
