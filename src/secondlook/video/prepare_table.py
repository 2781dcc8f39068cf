"""A whole videos table re-encoded: workers, resuming, and the new table beside the new files."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.video.clip import Clip, failed
from secondlook.video.guard import Guard
from secondlook.video.prepare import Preparation, is_prepared

TABLE = "videos.parquet"
_FACTS = ("bytes", "sha256", "frames", "fps", "width", "height", "duration_s")
_BATCH_ROWS = 256


def prepare_table(
    videos: pa.Table,
    folder: str | Path,
    wish: Preparation,
    *,
    root: str | Path | None = None,
    workers: int = 1,
    timeout_s: float = 600.0,
    inputs: tuple[str | Path, ...] = (),
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Re-encodes every usable video of a table into `folder` and writes `folder/videos.parquet`.

    The new table has the same rows in the same order: ids, labels, splits and groups stay, facts are those of the new
    files, paths are relative to `folder`, its root. Rows that were unusable, or turn out to be, keep status and reason
    and have no facts. Files made before with the same settings are not made again. Truth files (drawn data) are copied
    for videos whose size stays; where it changes, their masks no longer fit, and the row names none.

    Args:
        videos: a videos table.
        folder: where files go, `a/b.avi` to `a/b.avi.mp4`, `a/b.mp4` to `a/b.mp4`.
        wish: what is done to each video.
        root: folder of the sources; that of the table when left out.
        workers: child processes that encode at once.
        timeout_s: time allowed for one video.
        inputs: files whose hashes are kept in the table.
        advance: called after each row.

    Returns:
        Counts: `rows`, `prepared`, `already_there`, `failed_rows` (unusable, but for those set aside by a person),
        `truth_dropped`; and `statuses`, rows by status; `path` of the table.

    Raises:
        MissingFile: if the sources' folder is not there.
        BadValue: if `folder` is that folder, two rows would get one file, or `workers` is below 1.
    """
    source_root = _root(videos, root)
    target_root = Path(folder).absolute()
    if target_root.resolve() == source_root.resolve():
        raise BadValue(str(folder), "is the folder of the sources, which would be overwritten", "Give another folder.")
    if workers < 1:
        raise BadValue(workers, "at least one worker is needed")
    about = tables.made(videos)
    made = {
        **about,
        **tables.provenance("prepare", asdict(wish), inputs),
        "root": str(target_root),
        "prepared_from": {name: about[name] for name in ("root", "fingerprint") if name in about},
    }
    columns = [c.name for c in tables.VIDEOS.columns if c.name in videos.column_names or c.name in _FACTS]
    counts: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    digest = hashlib.sha256()
    crew = _Crew(source_root, target_root, wish, workers, timeout_s)
    parts: list[pa.Table] = []
    with crew:
        for rows in _batches(videos):
            for row, outcome in crew.prepare(rows):
                counts.update(outcome)
                statuses[row["status"]] += 1
                digest.update(repr([row.get(k) for k in ("video_id", "path", "sha256", "label", "split")]).encode())
                advance()
            done = [{name: row.get(name) for name in columns} for row in rows]
            parts.append(tables.conform(tables.VIDEOS, done))
    made["fingerprint"] = digest.hexdigest()
    path = target_root / TABLE
    tables.write(tables.VIDEOS, pa.concat_tables(parts) if parts else [], path, made)
    unusable = sum(n for status, n in statuses.items() if status not in tables.USABLE and status != "excluded")
    return {
        "rows": videos.num_rows,
        "prepared": counts["prepared"],
        "already_there": counts["already_there"],
        "failed_rows": unusable,
        "truth_dropped": counts["truth_dropped"],
        "statuses": dict(statuses),
        "path": str(path),
    }


class _Crew:
    """Threads, each with a guarded child that does the work."""

    def __init__(self, source_root: Path, target_root: Path, wish: Preparation, workers: int, timeout_s: float) -> None:
        self.source_root, self.target_root, self.wish = source_root, target_root, wish
        self._guards: SimpleQueue[Guard] = SimpleQueue()
        self._all = [Guard(timeout_s) for _ in range(workers)]
        for guard in self._all:
            self._guards.put(guard)
        self._pool = ThreadPoolExecutor(workers)
        self._taken: set[str] = set()

    def __enter__(self) -> _Crew:
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
            row["path"] = self._target(row["path"])
            row.update(dict.fromkeys(_FACTS))
        yield from zip(rows, self._pool.map(self._one, rows, sources), strict=True)

    def _target(self, listed: str) -> str:
        if leaves_root(listed):
            return ""
        path = PurePosixPath(listed)
        target = str(path if path.suffix.lower() == ".mp4" else path.with_name(path.name + ".mp4"))
        if target in self._taken:
            raise BadValue(listed, f"two videos would be written to {target}", "Rename one of them.")
        self._taken.add(target)
        return target

    def _one(self, row: dict[str, Any], listed: str) -> list[str]:
        truth, row["truth_path"] = row.get("truth_path"), None
        if row["status"] not in tables.USABLE:
            return []
        if not row["path"]:
            row["status"], row["reason"] = "unreadable", "the path leaves the folder of the videos"
            return []
        source, target = self.source_root / listed, self.target_root / row["path"]
        done = ["already_there" if source.exists() and is_prepared(source, target, self.wish) else "prepared"]
        clip = self._ask(source, target)
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

    def _ask(self, source: Path, target: Path) -> Clip:
        guard = self._guards.get()
        try:
            return guard.ask("prepare", source=str(source), target=str(target), **asdict(self.wish))
        except BadValue as error:
            return failed("unreadable", f"cannot be re-encoded: {error}")
        finally:
            self._guards.put(guard)


def leaves_root(listed: str) -> bool:
    """Whether a listed path is absolute or climbs with "..", or cannot be a path at all."""
    parts = listed.replace("\\", "/").split("/")
    return not listed.strip() or parts[0] == "" or ".." in parts or "\0" in listed or parts[0].endswith(":")


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
