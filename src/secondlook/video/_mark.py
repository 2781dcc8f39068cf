"""What a derived file says of how it was made, in the comment of its container: by that, work that is done is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondlook.video import _read, _refuse, decode
from secondlook.video.clip import Clip
from secondlook.video.frame_folder import Kind, frames_of


def stamp(path: Path) -> tuple[str, int, int]:
    """Name, bytes and time of change of a file."""
    about = path.stat()
    return path.name, about.st_size, about.st_mtime_ns


def stamps(source: Path, kind: Kind | None = None) -> list[tuple[str, int, int]]:
    """The stamps of a video, of every picture of a folder of frames; none of what is plainly no video."""
    if _refuse.before_opening(source) is not None:
        return []
    if not source.is_dir():
        return [stamp(source)]
    return [stamp(path) for frame in frames_of(source, kind).files for path in frame if path.is_file()]


def key_of(settings: Mapping[str, Any], *sources: Iterable[tuple[str, int, int]]) -> str:
    """Hash of the settings and of what can be told of the sources without reading them; empty where one has none."""
    listed = [list(source) for source in sources]
    if not all(listed):
        return ""
    return hashlib.sha256(json.dumps([listed, dict(settings)]).encode()).hexdigest()


def read(target: Path, prefix: str) -> dict[str, Any]:
    """What a file says behind this prefix; empty if it is not there or says nothing."""
    try:
        with _read.open_container(target) as container:
            comment = _read.comment_of(container)
        return dict(json.loads(comment.removeprefix(prefix))) if comment.startswith(prefix) else {}
    except (*_read.ERRORS, json.JSONDecodeError):
        return {}


def facts(target: Path, status: str, reason: str) -> Clip:
    """Facts of a new file, with the status and reason that its source had."""
    found = decode.probe(target)
    return replace(found, status=status, reason=reason) if found.status == "ok" else found
