"""Paths of a dataset: what is a video by its name, where a listed one lies, and that none leaves its root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from secondlook.errors import BadValue, MissingFile
from secondlook.video.listed_path import leaves_root

VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp", ".ogv",
    ".gif", ".divx", ".vob",
))  # fmt: skip
FRAME_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_OTHER_SUFFIXES = ("", ".mp4", ".webm", ".avi", ".mkv")


def dataset_root(root: str | Path) -> Path:
    """The folder of a dataset, absolute.

    Raises:
        MissingFile: if there is nothing there.
        BadValue: if it is a file.
    """
    root = Path(root)
    if not root.exists():
        raise MissingFile(root, "Give the folder that the dataset lies in.")
    if not root.is_dir():
        raise BadValue(str(root), "is a file, not a folder", "Give the folder that the dataset lies in.")
    return root.resolve()


def tame(text: str) -> str:
    """A listed path as an id that is safe to show and to store: no way up, no way out, only characters of UTF-8."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "").replace("\\", "/")
    return "/".join("_" if part in ("", ".", "..") else part for part in text.split("/"))


def without_suffix(name: str) -> str:
    """A listed path without the suffix of a video; other dots stay (`a.b.mp4` -> `a.b`, `clip.7` -> `clip.7`)."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


@dataclass(frozen=True)
class Measured:
    """What a look at the file system says about a listed video, without decoding anything."""

    path: str
    """The listed path; empty where it was refused, so that no later step can follow it."""
    bytes: int | None
    status: str = ""
    """Empty where nothing speaks against the video."""
    reason: str = ""


class Files:
    """The files under the root of one dataset; remembers what it learnt about folders, never about files."""

    def __init__(self, root: Path, folders: Sequence[str] = ("",)) -> None:
        self.root = root
        self.folders = tuple(folder for folder in folders if (root / folder).is_dir())
        self._is_folder = lru_cache(maxsize=4096)(os.path.isdir)
        self._real = lru_cache(maxsize=4096)(os.path.realpath)

    def locate(self, *names: str) -> str | None:
        """Where a video that goes by any of these names lies, relative to the root; None where it does not.

        Tried in each folder: the name, then the same name as mp4, webm, avi or mkv (re-encoded) or without suffix (a
        folder of frames). A name that leaves the root is not tried: it comes back as it is, for `measure` to refuse.
        """
        for name in names:
            if leaves_root(name):
                return name
            stem = without_suffix(name)
            candidates = dict.fromkeys((name, *(stem + suffix for suffix in _OTHER_SUFFIXES)))
            for folder in self.folders:
                start = f"{folder}/" if folder else ""
                if not self._is_folder(f"{self.root}/{start}{name}".rpartition("/")[0]):
                    continue
                for candidate in candidates:  # plain strings: of a large list, most of the time is spent here
                    if os.path.exists(f"{self.root}/{start}{candidate}"):  # noqa: PTH110
                        return start + candidate
        return None

    def measure(self, listed: str) -> Measured:
        """Size of a file or folder of frames; a path that leaves the root is refused and never opened.

        Links are followed as long as they end inside the root.
        """
        if leaves_root(listed):
            return Measured("", None, "unreadable", f"the listed path {tame(listed)!r} leaves the dataset's folder")
        path = self.root / listed
        try:
            if not self._ends_inside(path):
                return Measured("", None, "unreadable", f"{tame(listed)!r} is a link that leaves the dataset's folder")
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                sizes = [size for _, size in frame_files(path)]
                if not sizes:
                    return Measured(listed, 0, "no_frames", "the folder holds no jpg or png frames")
                return Measured(listed, sum(sizes))
        except FileNotFoundError:
            return Measured(listed, None, "missing", "no such file")
        except OSError as error:
            return Measured(listed, None, "unreadable", f"the file system refuses: {error.strerror}")
        if not stat.S_ISREG(found.st_mode):
            return Measured(listed, None, "not_a_video", "not a regular file")
        if found.st_size == 0:
            return Measured(listed, 0, "empty", "zero bytes")
        return Measured(listed, found.st_size)

    def _ends_inside(self, path: Path) -> bool:
        """Whether a path lies in the root once links are followed; a folder of many files is looked up once."""
        if stat.S_ISLNK(path.lstat().st_mode):
            return _within(os.path.realpath(path), str(self.root))
        return _within(self._real(str(path.parent)), str(self.root))


def _within(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip("/") + "/")


def frame_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of each frame of a folder, in order of name; links are not frames."""
    with os.scandir(folder) as entries:
        frames = [
            (entry.name, entry.stat(follow_symlinks=False).st_size)
            for entry in entries
            if Path(entry.name).suffix.lower() in FRAME_SUFFIXES and entry.is_file(follow_symlinks=False)
        ]
    yield from sorted(frames)
