"""Small datasets on disk, and the obvious way to read a table back."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from secondlook import tables


def put(root: Path, files: Mapping[str, str | bytes] | Iterable[str]) -> Path:
    """Writes files under `root`; a name without content becomes a file of a few bytes."""
    contents = files if isinstance(files, Mapping) else dict.fromkeys(files, b"not a video")
    root.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def rows_by_id(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a videos table by their id."""
    return {row["video_id"]: row for row in tables.read(tables.VIDEOS, path).to_pylist()}


def listed(listing: Any) -> dict[str, dict[str, Any]]:
    """The rows of a reader by their id; no id may come twice."""
    rows = list(listing.rows)
    found = {row["video_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
