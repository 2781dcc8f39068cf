"""The rows of an index while it is made: an SQLite file beside the output, so that memory is flat and a check resumes.

Two tables. `rows` holds what the reader listed and is made afresh every time. `facts` holds what decoding said about a
file, by path; it is what an interrupted `index --check` leaves behind and the next one finds again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondlook import tables
from secondlook.errors import BadValue

PLAIN = ("video_id", "path", "label", "split", "group", "status", "reason", "bytes")
FACTS = ("bytes", "sha256", "status", "reason", "frames", "fps", "width", "height", "duration_s")
_OTHER = tuple(c.name for c in tables.VIDEOS.columns if c.name not in PLAIN)
"""Columns that are kept as one JSON text: of most tables most of them are absent."""
_BATCH = 2000


class WorkTable:
    """Rows and facts; a context manager that keeps the file only where facts would be lost otherwise.

    Args:
        path: where the file lies while it is needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError:  # left behind by a crash in the middle of a write
            path.unlink()
            self._open()

    def _open(self) -> None:
        self.db = sqlite3.connect(self.path)
        self.db.execute("PRAGMA synchronous = OFF")  # what a power cut takes is decoded again
        self.db.execute("DROP TABLE IF EXISTS rows")
        self.db.execute(
            "CREATE TABLE rows (video_id TEXT PRIMARY KEY, path TEXT, label INTEGER, split TEXT, [group] TEXT, "
            "status TEXT, reason TEXT, bytes INTEGER, other TEXT) "
        )
        columns = ", ".join(FACTS)
        self.db.execute(f"CREATE TABLE IF NOT EXISTS facts (path TEXT PRIMARY KEY, {columns})")
        self.db.execute(f"SELECT {columns} FROM facts LIMIT 0")  # noqa: S608 - fails for the file of another version
        self.db.commit()

    def __enter__(self) -> WorkTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.db.commit()
        facts = self.db.execute("SELECT count(*) FROM facts").fetchone()[0]
        self.db.close()
        if kind is None or not facts:
            self.path.unlink(missing_ok=True)

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Takes in the rows of a reader; gives how many there were.

        Raises:
            BadValue: if two rows have the same id, or a row has a column that the videos table does not know.
        """
        count = 0
        for row in rows:
            other = {name: value for name, value in row.items() if name not in PLAIN and value is not None}
            for name in other:
                if name not in _OTHER:
                    raise BadValue(name, "is not a column of videos", f"Columns: {', '.join((*PLAIN, *_OTHER))}.")
            values = [_plain(row.get(name)) for name in PLAIN]
            values.append(json.dumps(other, default=_plain) if other else None)
            try:
                self.db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            except sqlite3.IntegrityError:
                (first,) = self.db.execute("SELECT path FROM rows WHERE video_id = ?", (row["video_id"],)).fetchone()
                rule = f"two videos have this id, {first} and {row['path']}"
                raise BadValue(
                    row["video_id"], rule, "Each video may be listed once; mend the list or the names."
                ) from None
            count += 1
        self.db.commit()
        return count

    def all_rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Every row in the order of its id (as UTF-8 bytes), with these columns of the videos table."""
        cursor = self.db.execute(
            f"SELECT {', '.join(f'[{name}]' for name in PLAIN)}, other FROM rows ORDER BY video_id"  # noqa: S608
        )
        for *values, other in cursor:
            row = dict(zip(PLAIN, values, strict=True)) | (json.loads(other) if other else {})
            yield {name: row.get(name) for name in columns}

    def files_to_check(self) -> Iterator[tuple[str, int]]:
        """Path and size in bytes of each file that may be usable; facts may be added while this runs."""
        last = ""
        while True:
            batch = self.db.execute(
                "SELECT path, max(bytes) FROM rows WHERE path > ? AND status IN ('unchecked', 'ok', 'partial') "
                "GROUP BY path ORDER BY path LIMIT ?",
                (last, _BATCH),
            ).fetchall()
            if not batch:
                return
            yield from batch
            last = batch[-1][0]

    def count_to_check(self) -> int:
        """How many files `files_to_check` gives."""
        query = "SELECT count(DISTINCT path) FROM rows WHERE path != '' AND status IN ('unchecked', 'ok', 'partial')"
        return int(self.db.execute(query).fetchone()[0])

    def fact(self, path: str) -> dict[str, Any] | None:
        """What is known about a file from an earlier check."""
        found = self.db.execute(f"SELECT {', '.join(FACTS)} FROM facts WHERE path = ?", (path,)).fetchone()  # noqa: S608
        return None if found is None else dict(zip(FACTS, found, strict=True))

    def add_fact(self, path: str, fact: Mapping[str, Any], replace: bool = True) -> None:
        """Keeps what decoding said about a file."""
        how = "REPLACE" if replace else "IGNORE"
        marks = ", ".join("?" for _ in FACTS)
        self.db.execute(
            f"INSERT OR {how} INTO facts VALUES (?, {marks})",  # noqa: S608
            [path, *(fact.get(name) for name in FACTS)],
        )

    def add_facts_of(self, table: Path) -> None:
        """Takes the facts of an earlier index, where there is one; those that are here already stay."""
        import pyarrow.parquet as pq

        if not table.is_file():
            return
        file = pq.ParquetFile(table)
        if not {"path", *FACTS} <= set(file.schema_arrow.names):
            return
        for batch in file.iter_batches(_BATCH, columns=["path", *FACTS]):
            for fact in batch.to_pylist():
                if fact["sha256"] and fact["status"] != "unchecked":
                    self.add_fact(fact.pop("path"), fact, replace=False)
        self.db.commit()

    def apply_facts(self) -> None:
        """Writes the facts into the rows that may be usable."""
        self.db.create_function("merged", 2, lambda a, b: json.dumps(json.loads(a or "{}") | json.loads(b)))
        other = [name for name in FACTS if name not in PLAIN]
        pairs = ", ".join(f"'{name}', f.{name}" for name in other)
        self.db.execute(
            "UPDATE rows SET status = f.status, reason = CASE f.reason WHEN '' THEN rows.reason ELSE f.reason END, "  # noqa: S608
            f"bytes = f.bytes, other = merged(other, json_object({pairs})) FROM facts AS f "
            "WHERE f.path = rows.path AND rows.status IN ('unchecked', 'ok', 'partial')"
        )
        self.db.commit()

    def group_counts(self) -> Iterator[tuple[str, int, int]]:
        """Group, label and number of clips, of rows that have a label."""
        yield from self.db.execute("SELECT [group], label, count(*) FROM rows WHERE label >= 0 GROUP BY [group], label")

    def whole_group_counts(self, split: str) -> Iterator[tuple[str, int, int]]:
        """The same for groups of which no row lies in any split but this one."""
        yield from self.db.execute(
            "SELECT [group], label, count(*) FROM rows WHERE split = ? AND label >= 0 AND [group] IN "
            "(SELECT [group] FROM rows WHERE split != '' GROUP BY [group] HAVING min(split) = max(split)) "
            "GROUP BY [group], label",
            (split,),
        )

    def other_columns(self) -> set[str]:
        """Names of the optional columns in which some row has a value."""
        query = "SELECT DISTINCT key FROM rows, json_each(rows.other) WHERE json_each.type != 'null'"
        return {name for (name,) in self.db.execute(query)}

    def set_split(self, split_of: Callable[[str], str | None], where: str) -> None:
        """Gives rows the split of their group; where it is None, the row keeps its own."""
        self.db.create_function("split_of", 1, split_of)
        self.db.execute(f"UPDATE rows SET split = coalesce(split_of([group]), split) WHERE {where}")  # noqa: S608
        self.db.commit()

    def counted(self, column: str) -> dict[Any, int]:
        """Value of a column -> number of rows."""
        query = f"SELECT [{column}], count(*) FROM rows GROUP BY 1 ORDER BY 1"  # noqa: S608
        return dict(self.db.execute(query).fetchall())

    def class_counts(self) -> list[tuple[int, int, int]]:
        """Label, clips and frames of each class: of usable rows, or of all rows where none is usable."""
        for where in ("status IN ('unchecked', 'ok', 'partial')", "1"):
            query = (
                "SELECT label, count(*), coalesce(sum(json_extract(other, '$.frames')), 0) FROM rows "  # noqa: S608
                f"WHERE label >= 0 AND {where} GROUP BY label"
            )
            if found := self.db.execute(query).fetchall():
                return found
        return []

    def groups_in_two_splits(self) -> int:
        """How many groups have rows in two splits."""
        cut = "SELECT 1 FROM rows WHERE split != '' GROUP BY [group] HAVING min(split) < max(split)"
        return int(self.db.execute(f"SELECT count(*) FROM ({cut})").fetchone()[0])  # noqa: S608


def _plain(value: Any) -> Any:
    """A number or array of numpy as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value
