"""A whole videos table made into another one (re-encoded, flow, pose): workers, resuming, the new table."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from types import TracebackType
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.video.clip import Clip, failed
from secondlook.video.guard import Guard
from secondlook.video.listed_path import leaves_root

TABLE = "videos.parquet"
_FACTS = ("bytes", "sha256", "frames", "fps", "width", "height", "duration_s")
_BATCH_ROWS = 256


class Making(Protocol):
    """How one file is made of another: a frozen dataclass of JSON values, as `prepare.Preparation` is."""

    task: ClassVar[str]
    """Of `_guard_child.TASKS`; called with `source`, `target` and the `arguments`, it gives the new file's facts."""

    def about(self) -> dict[str, Any]:
        """What the new table says beside how it was made."""

    def arguments(self, video_id: str, listed: str) -> dict[str, Any]:
        """Of the task, for the video that is listed under this path; JSON values."""

    def is_made(self, source: Path, target: Path, arguments: Mapping[str, Any]) -> bool:
        """Whether `target` was made in this very way of this very source."""


def prepare_table(
    videos: pa.Table,
    folder: str | Path,
    wish: Making,
    *,
    root: str | Path | None = None,
    workers: int = 1,
    timeout_s: float = 600.0,
    inputs: tuple[str | Path, ...] = (),
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Makes a new file of every usable video of a table in `folder`, and writes `folder/videos.parquet`.

    The new table has the same rows in the same order: ids, labels, splits and groups stay, facts are those of the new
    files, paths are relative to `folder`, its root. Rows that were unusable, or turn out to be, keep status and reason
    and have no facts. Files made before with the same settings are not made again. Truth files (drawn data) are copied
    for videos whose size stays; where it changes, their masks no longer fit, and the row names none.

    Args:
        videos: a videos table.
        folder: where files go, `a/b.avi` to `a/b.avi.mp4`, `a/b.mp4` to `a/b.mp4`.
        wish: what is done to each video.
        root: folder of the sources; that of the table when left out.
        workers: child processes at once.
        timeout_s: time allowed for one video.
        inputs: files whose hashes are kept in the table.
        advance: called after each row.

    Returns:
        Counts: `rows`, `prepared`, `already_there`, `failed_rows` (unusable, but for those set aside by a person),
        `truth_dropped`; and `statuses`, rows by status; `path` of the table.

    Raises:
        MissingFile: if the sources' folder is not there.
        BadValue: if `folder` is that folder, two rows would get one file, `workers` is below 1, or it is a flow table.
    """
    if workers < 1:
        raise BadValue(workers, "at least one worker is needed")
    plan = Plan.of(videos, folder, wish, root=root, inputs=inputs)
    counts: Counter[str] = Counter()
    parts: list[pa.Table] = []
    with Crew(plan, workers, timeout_s) as crew:
        for rows in _batches(videos):
            for _, outcome in crew.prepare(rows):
                counts.update(outcome)
                advance()
            parts.append(plan.table(rows))
    return plan.finish(parts, counts)


@dataclass(frozen=True)
class Plan:
    """What will be made of a table; plain values, so that it can travel to other processes."""

    source_root: Path
    target_root: Path
    wish: Making
    columns: tuple[str, ...]
    """Of the new table."""
    made: dict[str, Any]
    """How the new table is made, but for its fingerprint."""

    @classmethod
    def of(
        cls,
        videos: pa.Table,
        folder: str | Path,
        wish: Making,
        *,
        root: str | Path | None = None,
        inputs: tuple[str | Path, ...] = (),
    ) -> Plan:
        """Checks what `prepare_table` is given, and raises what it raises."""
        if tables.made(videos).get("modality") == "flow":
            raise BadValue(
                "modality", f"is flow: these videos are what `{wish.task}` cannot read", "Give the table of the videos."
            )
        source_root, target_root = _root(videos, root).absolute(), Path(folder).absolute()
        if target_root.resolve() == source_root.resolve():
            raise BadValue(
                str(folder), "is the folder of the sources, which would be overwritten", "Give another folder."
            )
        taken: set[str] = set()
        for listed in videos["path"].to_pylist():
            target = target_of(listed)
            if target and target in taken:
                raise BadValue(listed, f"two videos would be written to {target}", "Rename one of them.")
            taken.add(target)
        about = tables.made(videos)
        made = {
            **about,
            **tables.provenance(wish.task, asdict(cast(Any, wish)), inputs),
            **wish.about(),
            "root": str(target_root),
            "prepared_from": {name: about[name] for name in ("root", "fingerprint") if name in about},
        }
        columns = tuple(c.name for c in tables.VIDEOS.columns if c.name in videos.column_names or c.name in _FACTS)
        return cls(source_root, target_root, wish, columns, made)

    @property
    def path(self) -> Path:
        """Where the new table will be."""
        return self.target_root / TABLE

    def table(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Rows that a crew has prepared, as rows of the new table."""
        return tables.conform(tables.VIDEOS, [{name: row.get(name) for name in self.columns} for row in rows])

    def finish(self, parts: list[pa.Table], counts: Counter[str]) -> dict[str, Any]:
        """Writes the new table, made of these parts in order; gives what `prepare_table` gives."""
        statuses: Counter[str] = Counter()
        digest = hashlib.sha256()
        for part in parts:
            statuses.update(part["status"].to_pylist())
            for row in part.select(["video_id", "path", "sha256", "label", "split"]).to_pylist():
                digest.update(repr(list(row.values())).encode())
        made = {**self.made, "fingerprint": digest.hexdigest()}
        tables.write(tables.VIDEOS, pa.concat_tables(parts) if parts else [], self.path, made)
        unusable = sum(n for status, n in statuses.items() if status not in tables.USABLE and status != "excluded")
        return {
            "rows": statuses.total(),
            "prepared": counts["prepared"],
            "already_there": counts["already_there"],
            "failed_rows": unusable,
            "truth_dropped": counts["truth_dropped"],
            "statuses": dict(statuses),
            "path": str(self.path),
        }


class Crew:
    """Threads, each with a guarded child that does the work."""

    def __init__(self, plan: Plan, workers: int, timeout_s: float) -> None:
        self.source_root, self.target_root, self.wish = plan.source_root, plan.target_root, plan.wish
        self._guards: SimpleQueue[Guard] = SimpleQueue()
        self._all = [Guard(timeout_s) for _ in range(workers)]
        for guard in self._all:
            self._guards.put(guard)
        self._pool = ThreadPoolExecutor(workers)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            for guard in self._all:
                guard.cancel()
        self._pool.shutdown(cancel_futures=True)
        for guard in self._all:
            guard.close()

    def prepare(self, rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Prepares rows in parallel and rewrites them in place; gives each, in order, with what was done."""
        sources = [row["path"] for row in rows]
        for row in rows:
            row["path"] = target_of(row["path"])
            row.update(dict.fromkeys(_FACTS))
        yield from zip(rows, self._pool.map(self._one, rows, sources), strict=True)

    def _one(self, row: dict[str, Any], listed: str) -> list[str]:
        truth, row["truth_path"] = row.get("truth_path"), None
        if row["status"] not in tables.USABLE:
            return []
        if not row["path"]:
            row["status"], row["reason"] = "unreadable", "the path leaves the folder of the videos"
            return []
        source, target = self.source_root / listed, self.target_root / row["path"]
        arguments = self.wish.arguments(row["video_id"], listed)
        there = source.exists() and self.wish.is_made(source, target, arguments)
        done = ["already_there" if there else "prepared"]
        clip = self._ask(source, target, arguments)
        row["status"], row["reason"] = clip.status, clip.reason
        if not clip.usable:
            return []
        row.update(
            bytes=target.stat().st_size,
            sha256=tables.file_sha256(target),
            frames=clip.frame_count,
            fps=clip.fps,
            width=clip.source_width,
            height=clip.source_height,
            duration_s=clip.duration_s,
        )
        if truth:
            if self._copy_truth(truth, (clip.frame_count, clip.source_height, clip.source_width)):
                row["truth_path"] = truth
            else:
                done.append("truth_dropped")
        return done

    def _copy_truth(self, listed: str, shape_THW: tuple[int, int, int]) -> bool:
        """Copies the masks of a video if they still fit it."""
        if leaves_root(listed):
            return False
        source, target = self.source_root / listed, self.target_root / listed
        try:
            with np.load(source, allow_pickle=False) as truth:
                if truth["masks_THW"].shape != shape_THW:
                    return False
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _ask(self, source: Path, target: Path, arguments: Mapping[str, Any]) -> Clip:
        guard = self._guards.get()
        try:
            return guard.ask(self.wish.task, source=str(source), target=str(target), **arguments)
        except BadValue as error:
            return failed("unreadable", f"cannot be made: {error}")
        finally:
            self._guards.put(guard)


def target_of(listed: str) -> str:
    """The new file of a listed path, relative to the new folder; empty if the path leaves its root."""
    if leaves_root(listed):
        return ""
    path = PurePosixPath(listed)
    return str(path if path.suffix.lower() == ".mp4" else path.with_name(path.name + ".mp4"))


def _root(videos: pa.Table, root: str | Path | None) -> Path:
    named = root or tables.made(videos).get("root")
    if not named:
        raise BadValue("root", "the videos table does not say where its videos are", "Give --root FOLDER.")
    if not Path(named).is_dir():
        raise MissingFile(named, "It is the folder the videos are in; if it was moved, give --root FOLDER.")
    return Path(named)


def _batches(videos: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in videos.to_batches(max_chunksize=_BATCH_ROWS):
        yield batch.to_pylist()
