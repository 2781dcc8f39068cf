"""`prepare` and `flow` on a cluster: new files of each shard of a videos table, then the new table beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook import tables
from secondlook.bulk.ray_data import Cluster, run
from secondlook.bulk.shards import Shards, Work, even
from secondlook.video.prepare_table import Crew, Making, Plan

SHARD_ROWS = 32
"""Videos of one shard at most."""


@dataclass(frozen=True)
class PrepareJob:
    """Makes the new files of a shard, one after the other; those that are there are not made again."""

    plan: Plan
    timeout_s: float
    cpus: int = 1
    device: str = "cpu"

    def start(self) -> Work:
        """One crew a worker, with one child that does the work."""
        crew = Crew(self.plan, 1, self.timeout_s)

        def work(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
            prepared, counts = rows.to_pylist(), Counter[str]()
            for _, outcome in crew.prepare(prepared):
                counts.update(outcome)
            return self.plan.table(prepared), counts

        return work


def prepare_table(
    videos: pa.Table,
    folder: str | Path,
    wish: Making,
    cluster: Cluster,
    *,
    root: str | Path | None = None,
    timeout_s: float = 600.0,
    inputs: tuple[str | Path, ...] = (),
    advance: Callable[[int], object] = lambda rows: None,
) -> dict[str, Any]:
    """As `video.prepare_table.prepare_table`, on a cluster; the same files and the same table.

    Args:
        videos: a videos table.
        folder: where files go; every machine sees it, and the sources, under the same path.
        wish: what is done to each video.
        cluster: where; a worker makes one file at a time.
        root: folder of the sources; that of the table when left out.
        timeout_s: time allowed for one video.
        inputs: files whose hashes are kept in the table.
        advance: called with a number of rows that are done.

    Raises:
        MissingFile: see there.
        BadValue: see there; and `bulk.ray_data.run`; and if the folder holds shards of another table or other settings.
    """
    plan = Plan.of(videos, folder, wish, root=root, inputs=inputs)
    about = {**plan.made, "source_root": str(plan.source_root)}
    shards = Shards.of(tables.VIDEOS, plan.path, videos, even(videos.num_rows, SHARD_ROWS), about)
    for number in shards.done():
        if not _still_there(plan.target_root, shards.read(number)[0]):
            shards.forget(number)
    before = set(run(PrepareJob(plan, timeout_s), shards, cluster, advance))
    counts: Counter[str] = Counter()
    parts = []
    for number, (table, counted) in enumerate(shards.read_all()):
        parts.append(table)
        if number in before:
            counted["already_there"] = counted.pop("prepared", 0) + counted.get("already_there", 0)
        counts.update(counted)
    result = plan.finish(parts, counts)
    shards.clear()
    return result


def _still_there(target_root: Path, done: pa.Table) -> bool:
    """Whether every file that a finished shard names is there, in its size."""
    for row in done.to_pylist():
        path, truth = target_root / row["path"], row.get("truth_path")
        if row["bytes"] is not None and not (path.is_file() and path.stat().st_size == row["bytes"]):
            return False
        if truth and not (target_root / truth).is_file():
            return False
    return True
