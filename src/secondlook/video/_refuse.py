"""What a file is that is no video, in words, from its kind and its first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from secondlook.video._read import words
from secondlook.video.clip import Clip, failed

_OTHERS = {
    b"\xff\xd8\xff": "a JPEG picture, not a video",
    b"\x89PNG": "a PNG picture, not a video",
    b"BM": "a BMP picture, not a video",
    b"PK\x03\x04": "a zip archive, not a video",
    b"%PDF": "a PDF document, not a video",
    b"#EXTM3U": "a playlist, not a video",
    b"ffconcat": "a list of files, not a video",
}
_CONTAINERS = {
    b"ftyp": (4, "an mp4"),
    b"moov": (4, "an mp4"),
    b"mdat": (4, "an mp4"),
    b"AVI ": (8, "an avi"),
    b"\x1aE\xdf\xa3": (0, "a webm or mkv"),
    b"GIF8": (0, "a gif"),
    b"FLV": (0, "an flv"),
}


def before_opening(path: Path) -> Clip | None:
    """A failed clip for what is plainly no video (opening a pipe would wait for ever); None for what may be one."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return failed("missing", "no such file")
    except (OSError, ValueError) as error:
        return failed("unreadable", words(error))
    if stat.S_ISDIR(about.st_mode):
        return None
    if not stat.S_ISREG(about.st_mode):
        return failed("not_a_video", "not a regular file but a pipe, socket or device")
    if about.st_size == 0:
        return failed("empty", "the file has zero bytes")
    return None


def after_opening(path: Path, error: BaseException) -> Clip:
    """The status of a file that libav would not open."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as problem:
        return failed("unreadable", words(problem))
    for magic, (offset, kind) in _CONTAINERS.items():
        if head[offset : offset + len(magic)] == magic:
            return failed("unreadable", f"starts like {kind} file, but: {words(error)}")
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return failed("not_a_video", what)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return failed("not_a_video", "a web page (HTML), not a video: perhaps a failed download")
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return failed("not_a_video", "a text, not a video")
    return failed("not_a_video", f"no video format is recognised: {words(error)}")
