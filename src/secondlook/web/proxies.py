"""A bounded folder of clips that browsers play, each made once from its source, in a child process."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from secondlook.tables import USABLE, file_sha256
from secondlook.video.guard import Guard
from secondlook.video.proxy import CRF, plays_as_it_is, stamps

LOG = logging.getLogger("secondlook.web")
VERSION = 1
"""Raise it when clips are made in another way: then all are made anew."""
_OLD_PART_S = 3600.0
_TOUCH_S = 60.0


@dataclass(frozen=True)
class Playable:
    """A file to send, or the reason why there is none."""

    path: Path | None
    key: str
    """Names the content: the same source gives the same key."""
    status: str = "ok"
    reason: str = ""


class Proxies:
    """Safe to share between threads. Use from several processes at once is safe too, but may make a clip twice.

    Args:
        folder: where the clips are kept; made when first needed.
        short_side: see `make_proxy`.
        most_bytes: the clips that were not asked for for longest are dropped when all are larger than this.
        timeout_s: time to make one.
        threads: clips made at the same time.
    """

    def __init__(
        self,
        folder: Path,
        short_side: int = 480,
        most_bytes: int = 20 * 10**9,
        timeout_s: float = 120.0,
        threads: int = 2,
    ) -> None:
        self.folder, self._short_side, self._most_bytes, self._timeout_s = folder, short_side, most_bytes, timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clip")
        self._lock = threading.Lock()
        self._making: dict[str, Future[Playable]] = {}
        self._broken: dict[str, Playable] = {}
        self._as_it_is: dict[str, bool] = {}
        self._keys: dict[tuple[object, ...], str] = {}
        self._touched: dict[str, float] = {}
        self._guards: list[Guard] = []
        self._of_thread = threading.local()
        self._closed = False
        self.made = 0
        """Clips made so far by this object."""
        if folder.is_dir():
            self._sweep()

    def key_of(self, source: Path) -> str:
        """Hash of a source's content (of names, sizes and times for a folder of frames); empty if it is gone."""
        about = stamps(source)
        if not about:
            return ""
        memo = (str(source), about)
        if memo not in self._keys:
            content = repr(about) if source.is_dir() else file_sha256(source)
            text = f"{VERSION} {CRF} {self._short_side} {content}"
            with self._lock:
                if len(self._keys) > 100_000:
                    self._keys.clear()
                self._keys[memo] = hashlib.sha256(text.encode()).hexdigest()[:40]
        return self._keys[memo]

    def find(self, source: Path, key: str) -> Playable | None:
        """What is there already: the clip, or why it cannot be made; None if nobody has tried."""
        if key in self._broken:
            return self._broken[key]
        with self._lock:
            known = self._as_it_is.get(key)
        if known is None:
            known = plays_as_it_is(source)
            with self._lock:
                if len(self._as_it_is) > 100_000:
                    self._as_it_is.clear()
                self._as_it_is[key] = known
        if known:
            return Playable(source, key)
        path = self._path(key)
        if not path.is_file():
            return None
        if time.monotonic() - self._touched.get(key, -_TOUCH_S) >= _TOUCH_S:
            self._touched[key] = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(path)
        return Playable(path, key)

    def make(self, source: Path, key: str, then: Callable[[Playable], None] | None = None) -> Future[Playable]:
        """The clip as soon as it is made; who asks while it is being made waits for the same one.

        Args:
            source: a video file or a folder of frames.
            key: its `key_of`.
            then: called with the outcome, once, by who asked first.
        """
        with self._lock:
            future = self._making.get(key)
            if future is None:
                future = self._making[key] = self._pool.submit(self._work, source, key, then)
            return future

    @property
    def waiting(self) -> int:
        """Clips that are being made or wait for it."""
        return len(self._making)

    def bytes(self) -> int:
        """Size of all clips."""
        return sum(size for _, size, _ in self._listing())

    def close(self) -> None:
        """Ends what is being made; nothing half is left."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for guard in list(self._guards):
            guard.cancel()
        self._pool.shutdown(wait=True)
        for guard in self._guards:
            guard.close()
        self._sweep(0.0)

    def _work(self, source: Path, key: str, then: Callable[[Playable], None] | None) -> Playable:
        try:
            there = self.find(source, key)
            found = self._made(source, key) if there is None else there
            if then is not None and not (self._closed and found.path is None):
                then(found)
            return found
        finally:
            with self._lock:
                self._making.pop(key, None)

    def _made(self, source: Path, key: str) -> Playable:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        about = {"source": str(source), "target": str(target), "short_side": self._short_side}
        clip = self._guard().ask("proxy", **about)
        if clip.status in USABLE and target.is_file():
            self.made += 1
            LOG.info("made a clip in %.1f s", time.perf_counter() - begun)
            self._trim(key)
            return Playable(target, key, clip.status, clip.reason)
        found = Playable(None, key, clip.status, clip.reason)
        if not self._closed:
            self._broken[key] = found
        return found

    def _guard(self) -> Guard:
        if not hasattr(self._of_thread, "guard"):
            self._of_thread.guard = Guard(self._timeout_s)
            self._guards.append(self._of_thread.guard)
        guard: Guard = self._of_thread.guard
        return guard

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.mp4"

    def _listing(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob("??/*.mp4"):
            with contextlib.suppress(OSError):  # another process may be dropping it
                about = path.stat()
                found.append((about.st_mtime, about.st_size, path))
        return found

    def _trim(self, keep: str) -> None:
        """Drops the clips that were not asked for for longest, until the others fit; the newest one stays."""
        listing = sorted(self._listing())
        total = sum(size for _, size, _ in listing)
        for _, size, path in listing:
            if total <= self._most_bytes:
                return
            if path.stem != keep:
                path.unlink(missing_ok=True)
                total -= size

    def _sweep(self, older_s: float = _OLD_PART_S) -> None:
        """Drops what a killed process left half done."""
        for path in self.folder.glob("??/.*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_s:
                    path.unlink()
