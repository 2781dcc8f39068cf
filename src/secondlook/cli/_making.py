"""What `prepare`, `flow` and `pose` have in common: a new file of every video, here or on a cluster, and its words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.cli._say import finish, progress

if TYPE_CHECKING:
    from secondlook.bulk.ray_data import Cluster
    from secondlook.video.prepare_table import Making


def make_videos(
    videos: Path,
    out: Path,
    wish: Making,
    doing: str,
    *,
    root: Path | None,
    workers: int | None,
    timeout_s: float,
    as_json: bool,
    cluster: Cluster | None = None,
) -> None:
    """Makes the files, writes their table, and says what was done.

    Args:
        videos: file of the videos table.
        out: folder of the new files.
        wish: what is made of each video.
        doing: beside the progress bar.
        root: folder of the videos, if it is not the table's.
        workers: processes of this machine; None: one a core.
        timeout_s: of one video.
        as_json: for machines.
        cluster: where the work is done, if not here.
    """
    from secondlook import tables
    from secondlook.video.prepare_table import prepare_table

    table = tables.read(tables.VIDEOS, videos)
    given: dict[str, Any] = {"root": root, "timeout_s": timeout_s, "inputs": (videos,)}
    with progress(doing, table.num_rows) as advance:
        if cluster is not None:
            from secondlook.bulk import prepare as bulk

            result = bulk.prepare_table(table, out, wish, cluster, advance=advance, **given)
        else:
            result = prepare_table(table, out, wish, workers=workers or os.cpu_count() or 1, advance=advance, **given)
    finish(result, _words(result), as_json, result["failed_rows"])


def _words(result: Mapping[str, Any]) -> str:
    """What `prepare_table` did, in words."""
    from secondlook import tables

    words = [
        f"wrote {result['path']}: {result['rows']} rows, {result['prepared']} videos made now, "
        f"{result['already_there']} already there",
    ]
    if result["failed_rows"]:
        kinds = ", ".join(f"{n} {s}" for s, n in result["statuses"].items() if s not in tables.USABLE)
        words.append(f"{result['failed_rows']} rows have no usable video ({kinds}); the column reason says why")
    if result["truth_dropped"]:
        words.append(f"{result['truth_dropped']} rows lost their truth masks, which fit the old size only")
    return "\n".join(words)
