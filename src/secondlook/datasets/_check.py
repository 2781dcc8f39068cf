"""Decodes every file of an index once, in guarded processes, and says what came out; resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from secondlook import tables
from secondlook.datasets._paths import Files, frame_files
from secondlook.datasets._worktable import WorkTable
from secondlook.video.guard import Guard

RETRIED = frozenset({"timeout", "unreadable"})
"""Statuses that may have come from a busy machine or a lost connection: such files are decoded again every time."""
_COMMIT_EVERY = 64


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of names and sizes (`name<TAB>bytes<NEWLINE>`, by name) of a folder of frames."""
    if not path.is_dir():
        return tables.file_sha256(path)
    digest = hashlib.sha256()
    for name, size in frame_files(path):
        digest.update(f"{name}\t{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def check(
    work: WorkTable,
    root: Path,
    timeout_s: float,
    workers: int,
    advance: Callable[[], object],
    make_guard: Callable[[float], Any] = Guard,
) -> int:
    """Puts facts about every file that may be usable into the work table; gives how many had to be decoded.

    A file whose size and hash are those of an earlier fact is not decoded again.

    Args:
        work: rows, and facts of earlier checks.
        root: folder that paths are relative to.
        timeout_s: time allowed for one file.
        workers: files that are decoded at the same time, each by a guard of its own.
        advance: called after each file.
        make_guard: makes a guard from a time-out.
    """
    decoded = 0
    with _guards(make_guard, timeout_s, workers) as guards, _pool(workers) as pool:
        files = Files(root)
        running: dict[Future[tuple[dict[str, Any], bool]], str] = {}
        todo = work.files_to_check()
        finished = since_commit = 0
        while True:
            for path, _ in todo:
                running[pool.submit(_fact, files, path, work.fact(path), guards)] = path
                if len(running) >= 2 * workers:
                    break
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                fact, was_decoded = future.result()
                work.add_fact(running.pop(future), fact)
                decoded += was_decoded
                advance()
            finished += len(done)
            if finished - since_commit >= _COMMIT_EVERY:
                work.db.commit()
                since_commit = finished
    work.db.commit()
    return decoded


@contextmanager
def _guards(make_guard: Callable[[float], Any], timeout_s: float, workers: int) -> Iterator[SimpleQueue[Any]]:
    """As many guards as workers; a thread takes one for a file and puts it back."""
    queue: SimpleQueue[Any] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(workers):
            queue.put(stack.enter_context(make_guard(timeout_s)))
        yield queue


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="check")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _fact(
    files: Files, path: str, known: dict[str, Any] | None, guards: SimpleQueue[Any]
) -> tuple[dict[str, Any], bool]:
    """What is true of a file now, and whether it had to be decoded for that."""
    measured = files.measure(path)  # again: it may have gone, or grown, since it was listed
    if measured.status:
        return {"bytes": measured.bytes, "status": measured.status, "reason": measured.reason}, False
    try:
        sha256 = content_hash(files.root / path)
    except OSError as error:
        reason = f"the file system refuses: {error.strerror}"
        return {"bytes": measured.bytes, "status": "unreadable", "reason": reason}, False
    if known and (known["bytes"], known["sha256"]) == (measured.bytes, sha256) and known["status"] not in RETRIED:
        return known, False
    guard = guards.get()
    try:
        clip = guard.probe(files.root / path)
    finally:
        guards.put(guard)
    fact = {"bytes": measured.bytes, "sha256": sha256, "status": clip.status, "reason": clip.reason}
    if clip.usable:
        size = {"width": clip.source_width, "height": clip.source_height}
        fact |= {"frames": clip.frame_count, "fps": clip.fps, "duration_s": clip.duration_s, **size}
    return fact, True
