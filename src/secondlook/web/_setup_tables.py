"""The tables that an owner may choose from: those in the folder of tables, and those that were sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from secondlook.errors import BadValue, UnknownName
from secondlook.web.context import Context
from secondlook.web.uploads import uploads

DEPTH = 3
"""Folders below the folder of tables that are looked through."""
MOST_FILES = 2000
KINDS = ("predictions", "videos", "candidates", "label_vectors", "embeddings")
_KEY = b"secondlook"


@dataclass(frozen=True)
class Found:
    """A table that can be chosen."""

    name: str
    """Its path below the folder of tables, or "sent: " and what its owner calls it and its id; forms name it so."""
    path: Path
    kind: str
    """Name of its schema (`tables.SCHEMAS`)."""
    rows: int
    model: str
    """Model of a predictions table."""
    classes: int
    splits: tuple[str, ...]
    made: dict[str, Any]
    """How it was made, without its label space."""

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        parts = [self.model, f"{self.rows} rows", f"{self.classes} classes" if self.classes else ""]
        parts.append(f"split {', '.join(self.splits)}" if self.splits else "")
        return "; ".join(part for part in parts if part)


_SEEN: dict[tuple[str, int, int], Found | None] = {}
_LOCK = threading.Lock()


def tables_at_hand(here: Context) -> list[Found]:
    """Every table of a kind that can be chosen, by name; files that are none are passed over."""
    folder, own = here.settings.folder.resolve(), Path(here.workplace.folder).resolve()
    found = []
    paths = (p for depth in range(DEPTH + 1) for p in sorted(folder.glob("*/" * depth + "*.parquet")))
    for number, path in enumerate(paths):
        if number == MOST_FILES:
            break
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or (own != folder and path.is_relative_to(own)):
            continue
        if inside.parts[0] == "results" and "inputs" in inside.parts:
            continue  # links to tables that are here already
        found.append(_look(path, str(inside)))
    for path in sorted(uploads(here).folder.glob("*.json")):
        try:
            about = uploads(here).about(path.stem)
        except (UnknownName, OSError, ValueError, TypeError):
            continue
        if about.kind == "table":
            found.append(_look(path.with_suffix(""), f"sent: {about.name} ({about.upload[:6]})"))
    return [table for table in found if table is not None and table.kind in KINDS]


def choose(tables: Sequence[Found], kind: str, name: str) -> Found:
    """The table of this kind and name.

    Raises:
        UnknownName: if there is none.
    """
    known = {table.name: table for table in tables if table.kind == kind}
    if name not in known:
        raise UnknownName(f"{kind} table", name, known)
    return known[name]


def told(made: dict[str, Any]) -> list[str]:
    """Paths of the files that something was made from."""
    inputs = made.get("inputs")
    return list(inputs) if isinstance(inputs, dict) else []


def _look(path: Path, name: str) -> Found | None:
    """What a Parquet file says it is, read once for each state of the file."""
    try:
        stat = path.stat()
        key = (f"{path}\0{name}", stat.st_mtime_ns, stat.st_size)
        with _LOCK:
            if key in _SEEN:
                return _SEEN[key]
        found = _read(path, name)
    except (OSError, pa.ArrowException, BadValue, ValueError):
        return None
    with _LOCK:
        if len(_SEEN) > MOST_FILES:
            _SEEN.clear()
        _SEEN[key] = found
    return found


def _read(path: Path, name: str) -> Found | None:
    with pq.ParquetFile(path) as file:
        made = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
        kind = made.get("table")
        if kind not in KINDS:
            return None
        splits: tuple[str, ...] = ()
        rows = file.metadata.num_rows
        if kind in ("videos", "predictions"):
            columns = file.read(["split", *(["view"] if kind == "predictions" else [])])
            if kind == "predictions":
                columns = columns.filter(pc.equal(columns["view"], -1))
                rows = columns.num_rows
            splits = tuple(sorted(s for s in pc.unique(columns["split"]).to_pylist() if s))
    space = made.pop("label_space", None) or {}
    classes = len(space.get("labels", ())) if isinstance(space, dict) else 0
    return Found(name, path, kind, rows, str(made.get("model") or ""), classes, splits, made)
