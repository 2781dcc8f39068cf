"""A store of version 1 becomes one of version 2: whole, in one step, and the old file stays."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from secondlook.annotate import migrate, workers
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.workplace import Workplace
from secondlook.errors import BadValue

# What version 1 made, word for word.
VERSION_1 = """
CREATE TABLE schema_version ( version INTEGER NOT NULL, PRIMARY KEY (version) );
CREATE TABLE campaigns ( campaign_id INTEGER NOT NULL, name TEXT NOT NULL, label_space JSON NOT NULL,
 made JSON NOT NULL, PRIMARY KEY (campaign_id), UNIQUE (name) );
CREATE TABLE workers ( worker_id INTEGER NOT NULL, pseudonym TEXT NOT NULL, PRIMARY KEY (worker_id),
 UNIQUE (pseudonym) );
CREATE TABLE tasks ( task_id INTEGER NOT NULL, campaign_id INTEGER NOT NULL, video_id TEXT NOT NULL,
 path TEXT NOT NULL, given_label INTEGER NOT NULL, PRIMARY KEY (task_id), UNIQUE (campaign_id, video_id),
 FOREIGN KEY(campaign_id) REFERENCES campaigns (campaign_id) );
CREATE TABLE task_options ( task_id INTEGER NOT NULL, position INTEGER NOT NULL, label INTEGER NOT NULL,
 PRIMARY KEY (task_id, position), UNIQUE (task_id, label),
 FOREIGN KEY(task_id) REFERENCES tasks (task_id) ) WITHOUT ROWID ;
CREATE TABLE rounds ( task_id INTEGER NOT NULL, round INTEGER NOT NULL, votes INTEGER NOT NULL,
 PRIMARY KEY (task_id, round), CONSTRAINT something_is_asked CHECK (votes > 0 AND round > 0),
 FOREIGN KEY(task_id) REFERENCES tasks (task_id) ) WITHOUT ROWID ;
CREATE TABLE notes ( note_id INTEGER NOT NULL, task_id INTEGER NOT NULL, worker_id INTEGER NOT NULL,
 text TEXT NOT NULL, written_s FLOAT, PRIMARY KEY (note_id), FOREIGN KEY(task_id) REFERENCES tasks (task_id),
 FOREIGN KEY(worker_id) REFERENCES workers (worker_id) );
CREATE INDEX ix_notes_task_id ON notes (task_id);
CREATE TABLE answers ( answer_id INTEGER NOT NULL, task_id INTEGER NOT NULL, round INTEGER NOT NULL,
 slot INTEGER NOT NULL, worker_id INTEGER NOT NULL, started_s FLOAT, submitted_s FLOAT, no_match BOOLEAN NOT NULL,
 review BOOLEAN NOT NULL, unsuitable BOOLEAN NOT NULL, PRIMARY KEY (answer_id),
 FOREIGN KEY(task_id, round) REFERENCES rounds (task_id, round), UNIQUE (task_id, round, slot),
 UNIQUE (task_id, round, worker_id), FOREIGN KEY(worker_id) REFERENCES workers (worker_id) );
CREATE INDEX ix_answers_worker_id ON answers (worker_id);
CREATE TABLE answer_choices ( answer_id INTEGER NOT NULL, label INTEGER NOT NULL, rating TEXT NOT NULL,
 PRIMARY KEY (answer_id, label), CONSTRAINT rating_is_known CHECK (rating IN ('yes', 'maybe')),
 FOREIGN KEY(answer_id) REFERENCES answers (answer_id) ) WITHOUT ROWID ;
CREATE TABLE verdicts ( verdict_id INTEGER NOT NULL, answer_id INTEGER NOT NULL, worker_id INTEGER NOT NULL,
 approved BOOLEAN NOT NULL, second_review BOOLEAN NOT NULL, given_s FLOAT, PRIMARY KEY (verdict_id),
 FOREIGN KEY(answer_id) REFERENCES answers (answer_id), FOREIGN KEY(worker_id) REFERENCES workers (worker_id) );
CREATE INDEX ix_verdicts_answer_id ON verdicts (answer_id);
CREATE TRIGGER answers_no_update BEFORE UPDATE ON answers
 BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
"""
KEY = b"k" * 32
SPACE = '{"name": "toy", "directional": false, "labels": [{"name": "up"}, {"name": "down"}, {"name": "push \\u00e9"}]}'


def ann(person: str) -> str:
    return workers.pseudonym(KEY, person)


ROWS = {
    "schema_version": [(1,)],
    "campaigns": [(1, "round1", SPACE, '{"why": "models disagree"}')],
    "workers": [(1, ann("ann")), (2, ann("bob")), (3, ann("rita"))],
    "tasks": [(1, 1, "v2", "c/v2.mp4", 2), (2, 1, "v0", "c/v0.mp4", 0), (3, 1, "v1", "c/v1.mp4", -1)],
    "task_options": [(t, i, label) for t in (1, 2, 3) for i, label in enumerate((2, 0, 1))],
    "rounds": [(1, 1, 2), (2, 1, 2), (3, 1, 2), (1, 2, 3)],
    "answers": [
        (1, 1, 1, 1, 1, 1.5, 2.5, 0, 0, 0),
        (2, 1, 1, 2, 2, None, None, 1, 0, 0),
        (3, 1, 2, 1, 1, None, 9.0, 0, 1, 0),
        (4, 2, 1, 1, 2, None, None, 0, 0, 1),
    ],
    "answer_choices": [(1, 0, "yes"), (1, 2, "maybe"), (3, 1, "yes")],
    "verdicts": [(1, 1, 3, 1, 0, 5.0), (2, 1, 3, 0, 1, None)],
    "notes": [(1, 2, 3, "dark", 4.0)],
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with a store of version 1, in write-ahead mode as version 1 left it."""
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "pseudonym.key").write_bytes(KEY)
    connection = sqlite3.connect(folder / "store.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    for name, rows in ROWS.items():
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.commit()
    connection.close()
    return folder


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of version 1 of every table of version 1."""
    connection = sqlite3.connect(path)
    found = {}
    for name, rows in ROWS.items():
        width = {"campaigns": 4, "tasks": 5, "rounds": 3, "answers": 0}.get(name, len(rows[0]))
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({name})").fetchall()[:width])
        if name == "answers":
            columns = "answer_id, task_id, round, slot, worker_id, started_s, submitted_s, no_match, review, unsuitable"
        found[name] = sorted(connection.execute(f"SELECT {columns} FROM {name}").fetchall(), key=str)
    connection.close()
    return found


def test_everything_is_there_afterwards(old: Path) -> None:
    before = contents(old / "store.sqlite")
    with Workplace.open(old) as workplace:
        store = workplace.campaign()
        assert (store.name, store.made, store.labels.names[2]) == ("round1", {"why": "models disagree"}, "push é")
        assert (store.settings.votes, store.paused, workplace.accounts.all()) == (2, False, [])
        rows = [r for r in store.answers().to_pylist() if r["worker"]]
        said = {(r["answer_id"], r["label"], r["rating"], r["verdict"]) for r in rows}
        assert said == {
            (1, 0, "yes", "rejected"), (1, 2, "maybe", "rejected"), (2, -1, "", ""), (3, 1, "yes", ""), (4, -1, "", ""),
        }  # fmt: skip
        assert store.notes() == [(2, ann("rita"), "dark")]
        with store.reading() as connection:
            taken = connection.exec_driver_sql("SELECT task_id, round, taken FROM rounds ORDER BY 1, 2").all()
        assert taken == [(1, 1, 2), (1, 2, 1), (2, 1, 1), (3, 1, 0)]
        assert store.deal("cy", 0.0).task.task_id == 3, "the one that has the fewest answers"
        assert store.submit([Answer(1, "bob", {0: "yes"})]) == [5], "numbers go on"
    assert contents(old / "store.v1.sqlite") == before
    assert {p.name for p in old.iterdir()} == {"pseudonym.key", "store.sqlite", "store.v1.sqlite"}
    connection = sqlite3.connect(old / "store.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE answers SET slot = 7")
    connection.close()


def test_the_second_time_nothing_happens(old: Path) -> None:
    Store.open(old).close()
    first = (old / "store.sqlite").stat()
    Store.open(old).close()
    assert (old / "store.sqlite").stat().st_ino == first.st_ino


def test_answers_that_stand_only_in_the_log_come_along(old: Path) -> None:
    """Version 1 was killed before it could put its log into its file."""
    connection = sqlite3.connect(old / "store.sqlite")
    connection.execute("INSERT INTO answers VALUES (5, 3, 1, 1, 1, NULL, NULL, 1, 0, 0)")
    connection.commit()
    kept = {name: (old / name).read_bytes() for name in ("store.sqlite", "store.sqlite-wal")}
    connection.close()
    for name, content in kept.items():
        (old / name).write_bytes(content)
    with Store.open(old) as store:
        assert 5 in store.answers()["answer_id"].to_pylist()
    assert not list(old.glob("store.v1.sqlite-*"))


@pytest.mark.parametrize("step", ["_copy", "_keep", "_row", "_close_journal"])
def test_a_migration_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = contents(old / "store.sqlite")

    def fail(*_: object) -> None:
        raise RuntimeError("the plug was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(migrate, step, fail)
        with pytest.raises(RuntimeError, match="plug"):
            Store.open(old)
    assert {p.name for p in old.iterdir()} == {"pseudonym.key", "store.sqlite"}
    assert contents(old / "store.sqlite") == before
    with Store.open(old) as store:
        assert store.answers().num_rows == 6


def test_a_run_that_was_killed_before_the_rename_is_repeated(old: Path) -> None:
    (old / "store.v1.sqlite").hardlink_to(old / "store.sqlite")
    with Store.open(old) as store:
        assert store.answers().num_rows == 6
    assert not (old / "store.v1.sqlite").samefile(old / "store.sqlite")


def test_an_old_file_in_the_way(old: Path) -> None:
    (old / "store.v1.sqlite").write_bytes(b"somebody's")
    with pytest.raises(BadValue, match="is in the way"):
        Store.open(old)
    assert (old / "store.v1.sqlite").read_bytes() == b"somebody's"


def test_a_database_that_is_open_elsewhere_is_left_alone(old: Path) -> None:
    other = sqlite3.connect(old / "store.sqlite")
    other.execute("BEGIN")
    other.execute("SELECT * FROM answers").fetchall()
    with pytest.raises(BadValue, match="another program"):
        Store.open(old)
    other.close()
    Store.open(old).close()


def test_many_open_an_old_store_at_once(old: Path) -> None:
    found: list[int] = []

    def look() -> None:
        with Store.open(old) as store:
            found.append(store.answers().num_rows)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [6] * 6


def test_a_store_of_nobody_is_refused(old: Path) -> None:
    (old / "store.sqlite").unlink()
    connection = sqlite3.connect(old / "store.sqlite")
    connection.executescript("CREATE TABLE schema_version (version INTEGER PRIMARY KEY);")
    connection.close()
    with pytest.raises(BadValue):
        Store.open(old)
