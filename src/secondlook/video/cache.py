"""Decoded frames of whole videos on disk, memory-mapped: what training reads in every epoch but the first.

An entry is one file: a line of JSON with the clip's facts and checks, then times, then frames, raw.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import stat
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.video.clip import Clip, Size
from secondlook.video.sample import Sampling, choose

_VERSION = 1
_ALIGN = 64
_SPOTS = 12
_SPOT_BYTES = 256
_SUFFIX = ".frames"
_STALE_S = 3600.0
"""An entry that was being written this long ago never will be whole: its writer was killed."""


class FrameCache:
    """Decoded 8-bit frames at working size, one entry a video, shared by any number of processes.

    Keyed by the file (path, bytes, time of change) and the recipe (working size, library version). Entries appear whole
    or not at all; one that is cut short or overwritten is noticed (its size and `_SPOTS` spots of it are checked) and
    made again. Any file of the folder, or all of it, may be deleted at any time, even while it is being read. When the
    entries take more than `max_bytes`, the ones not used for longest are deleted. Unusable videos are not kept.

    Args:
        folder: where entries lie; made when needed. Nothing else should be kept there.
        max_bytes: upper bound. Each process looks at the folder again after writing 1/64 of it, so that n writing
            processes may go over by n/64 for a moment.

    Raises:
        BadValue: if `max_bytes` is below 1.
    """

    def __init__(self, folder: str | Path, max_bytes: int = 20 * 2**30) -> None:
        if max_bytes < 1:
            raise BadValue(max_bytes, "a frame cache needs room for at least 1 byte")
        self.folder, self.max_bytes = Path(folder), max_bytes
        self._unseen_bytes: int | None = None

    def clip(self, path: str | Path, size: Size, decode: Callable[..., Clip]) -> Clip:
        """All frames of a video at working size, from the cache or decoded and kept.

        Args:
            path: video file or folder of frames.
            size: working size.
            decode: called as `decode(path, None, size=size)` if there is no entry.

        Returns:
            A clip whose `frames_THWC` is a read-only memory map; index it with the chosen frames (`Clip.pick`), which
            copies only these. An unusable video, or one larger than the whole cache, comes back as decoded.
        """
        key = self._key(path, size)
        if key is None:
            return decode(path, None, size=size)
        entry = os.path.join(self.folder, key[:2], key + _SUFFIX)  # noqa: PTH118 - quicker than Path
        found = _load(entry)
        if found is not None:
            return found
        fresh = decode(path, None, size=size)
        # A file that changed while it was read must not be kept under the key of what it was before.
        if not fresh.usable or key != self._key(path, size):
            return fresh
        return self._store(Path(entry), fresh)

    def reader(self, decode: Callable[..., Clip]) -> Callable[..., Clip]:
        """`decode` with this cache before it: takes the same arguments, gives the same clip."""

        def cached(
            path: str | Path,
            sampling: Sampling | None = None,
            *,
            size: Size | None = None,
            seed: int | None = None,
            frame_count: int | None = None,
        ) -> Clip:
            clip = self.clip(path, size or Size(), decode)
            if sampling is None or not clip.usable:
                return clip
            rng = None if seed is None else np.random.default_rng(seed)
            return clip.pick(choose(sampling, clip.frame_count, rng))

        return cached

    def _key(self, path: str | Path, size: Size) -> str | None:
        """Name of the entry; None where there is no such file."""
        try:
            about = os.stat(path)  # noqa: PTH116 - quicker than Path
            facts: list[Any] = [about.st_size, about.st_mtime_ns]
            if stat.S_ISDIR(about.st_mode):
                with os.scandir(path) as entries:
                    facts = sorted((e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries)
        except (OSError, ValueError):
            return None
        recipe = (_VERSION, av.__version__, size.short_side, size.height, size.width)
        return hashlib.sha256(repr((os.path.abspath(path), facts, recipe)).encode()).hexdigest()[:40]  # noqa: PTH100

    def _store(self, entry: Path, clip: Clip) -> Clip:
        frames_THWC = np.ascontiguousarray(clip.frames_THWC)
        about = {
            "shape": frames_THWC.shape,
            "spots": _spots(frames_THWC),
            "times": zlib.crc32(clip.frame_time_s_T.tobytes()),
            "clip": {
                name: getattr(clip, name)
                for name in ("frame_count", "source_height", "source_width", "fps", "status", "reason")
            },
        }
        head = json.dumps(about).encode()
        head = f"{len(head):08d}".encode() + head
        head += b" " * (-(len(head) + 8) % _ALIGN) + zlib.crc32(head).to_bytes(8, "big")
        total = len(head) + clip.frame_time_s_T.nbytes + frames_THWC.nbytes
        if total > self.max_bytes:
            return clip
        part = entry.with_name(f".{entry.name}.{os.getpid()}.part")
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(head)
                file.write(clip.frame_time_s_T.tobytes())
                file.write(frames_THWC.data)
            self._make_room(total)
            part.replace(entry)
        except OSError:  # a full disk, or the folder was deleted meanwhile: the cache only saves time
            with contextlib.suppress(OSError):
                part.unlink()
            return clip
        return _load(str(entry)) or clip

    def _make_room(self, more: int) -> None:
        """Deletes the entries not used for longest until `more` bytes fit; looks at the folder only now and then."""
        if self._unseen_bytes is not None and self._unseen_bytes + more < self.max_bytes // 64:
            self._unseen_bytes += more
            return
        entries = []
        for path in self.folder.glob("*/*"):
            try:
                about = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == _SUFFIX:
                entries.append((about.st_mtime_ns, about.st_size, path))
            elif time.time() - about.st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in entries) + more
        slack = self.max_bytes // 64
        for _, size, path in sorted(entries):
            if total + slack <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        # With no room to spare below the bound, the next write looks again.
        self._unseen_bytes = 0 if total + slack <= self.max_bytes else None


def _load(entry: str) -> Clip | None:
    """The clip of an entry, or None if it is not there or not whole. Few system calls: training waits for them."""
    try:
        file = os.open(entry, os.O_RDONLY)
        try:
            mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
            length = int(mapped[:8])
            times_at = -(-(length + 16) // _ALIGN) * _ALIGN
            head = mapped[:times_at]
            if int.from_bytes(head[-8:], "big") != zlib.crc32(head[: 8 + length]):
                return None
            about = json.loads(head[8 : 8 + length])
            shape = tuple(about["shape"])
            frames_at = times_at + 8 * shape[0]
            times = mapped[times_at:frames_at]
            if len(mapped) != frames_at + math.prod(shape) or zlib.crc32(times) != about["times"]:
                return None
            # What numpy.memmap does, in less time.
            frames_THWC = np.frombuffer(mapped, np.uint8, offset=frames_at).reshape(shape)
            if _spots(frames_THWC) != about["spots"]:
                return None
            os.utime(file)  # used now: deleted last
        finally:
            os.close(file)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Clip(frames_THWC, np.arange(shape[0]), np.frombuffer(times, np.float64), **about["clip"])


def _spots(frames_THWC: npt.NDArray[np.uint8]) -> int:
    """A checksum over spots spread evenly over all bytes, the first and the last included: quick, and enough to notice
    a file that was cut, zeroed or overwritten."""
    flat = np.asarray(frames_THWC).reshape(-1)
    last = max(0, len(flat) - _SPOT_BYTES)
    starts = [last * i // (_SPOTS - 1) for i in range(_SPOTS)]
    return zlib.crc32(b"".join(flat[s : s + _SPOT_BYTES].tobytes() for s in starts))
