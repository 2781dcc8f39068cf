"""The fingerprint of a dataset: one hash over its files, sizes, hashes, splits and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("video_id", "path", "bytes", "sha256", "split", "label")


def fingerprint(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over one line a row, `video_id path bytes sha256 split label` with tabs between them, in hexadecimal.

    What is not known (bytes of a missing file, hash before a check) is an empty field. So a check changes the
    fingerprint: before it, files are told apart by their sizes only.

    Args:
        rows: in the order of `video_id` (as UTF-8 bytes); other columns do not matter.
    """
    digest = hashlib.sha256()
    for row in rows:
        fields = ("" if row.get(name) is None else str(row[name]) for name in COLUMNS)
        digest.update(("\t".join(fields) + "\n").encode())
    return digest.hexdigest()


def of_table(videos: pa.Table) -> str:
    """The fingerprint of a videos table in memory, whatever the order of its rows."""
    columns = [name for name in COLUMNS if name in videos.column_names]
    rows = videos.select(columns).to_pylist()
    return fingerprint(sorted(rows, key=lambda row: str(row["video_id"]).encode()))
