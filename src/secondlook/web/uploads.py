"""Files that owners send: kept under random names in one folder, small enough, and what their names say they are."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from secondlook.errors import UnknownName
from secondlook.web.context import Context, context
from secondlook.web.headers import policy, too_large
from secondlook.web.identity import Owner

NAME_LENGTH = 120
HEAD_BYTES = 4096
SPARE_BYTES = 200 * 10**6
"""Room that stays free on the disk."""
_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
KINDS = {
    ".parquet": "table",
    ".csv": "text",
    ".txt": "text",
    ".json": "text",
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif"), "clip"),
}
"""What may be sent, by the end of the name."""


@dataclass(frozen=True)
class Upload:
    """A file that was sent."""

    upload: str
    """Its id, which is its name on disk too."""
    name: str
    """As its owner calls it; shown, never used as a path."""
    kind: str
    bytes: int


class Uploads:
    """The folder of what was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def take(self, name: str, chunks: AsyncIterator[bytes], most_bytes: int) -> Upload:
        """Stores a file while it comes in; nothing is left of one that is refused.

        Raises:
            HTTPException: 413 if it is too large, 415 if it is of no kind that is taken or not what its name says,
                507 if the disk is full.
        """
        name = plain_name(name)
        kind = KINDS.get(Path(name).suffix.lower())
        if kind is None:
            raise HTTPException(415, f"Files like {name!r} are not taken, only {', '.join(sorted(KINDS))}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        upload, size, head = secrets.token_urlsafe(16), 0, b""
        part = self.folder / f".{upload}.part"
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most_bytes:
                        raise too_large(most_bytes)
                    if shutil.disk_usage(self.folder).free < SPARE_BYTES + len(chunk):
                        raise HTTPException(507, "The disk of the server is full.")
                    head += chunk[: max(0, HEAD_BYTES - len(head))]
                    file.write(chunk)
                    if len(head) >= 16 and not looks_like(Path(name).suffix.lower(), head):
                        raise HTTPException(415, f"{name!r} is not what its name says.")
                file.flush()
                await run_in_threadpool(os.fsync, file.fileno())
            if not looks_like(Path(name).suffix.lower(), head):
                raise HTTPException(415, f"{name!r} is empty or not what its name says.")
            found = Upload(upload, name, kind, size)
            (self.folder / f"{upload}.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
            part.replace(self.folder / upload)
            return found
        finally:
            part.unlink(missing_ok=True)

    def path(self, upload: str) -> Path:
        """The file of an id.

        Raises:
            UnknownName: if there is none, or something is there that was not put there by `take`.
        """
        path = self.folder / upload
        if not _ID.match(upload) or path.is_symlink() or not path.is_file():
            raise UnknownName("file", upload[:40], [], "Send it again.")
        return path

    def about(self, upload: str) -> Upload:
        """What is known of a file.

        Raises:
            UnknownName: if there is none.
        """
        path = self.path(upload)
        return Upload(**json.loads(path.with_name(f"{upload}.json").read_text(encoding="utf-8")))


def uploads(here: Context) -> Uploads:
    """The uploads of a workplace."""
    return Uploads(Path(here.workplace.folder) / "uploads")


def plain_name(name: str) -> str:
    """The last part of a name, without controls and marks that turn the direction of text; it is only shown."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in last if c.isprintable()).strip()
    stem, suffix = Path(kept).stem, Path(kept).suffix
    return (stem[: NAME_LENGTH - len(suffix)] + suffix)[:NAME_LENGTH] or "file"


def looks_like(suffix: str, head: bytes) -> bool:
    """Whether the first bytes of a file are those of what its name says."""
    magic: dict[str, Any] = {
        ".parquet": head[:4] == b"PAR1",
        ".avi": head[:4] == b"RIFF" and head[8:12] == b"AVI ",
        ".gif": head[:6] in (b"GIF87a", b"GIF89a"),
        **dict.fromkeys((".mp4", ".m4v", ".mov"), head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")),
        **dict.fromkeys((".webm", ".mkv"), head[:4] == b"\x1aE\xdf\xa3"),
    }
    if suffix in magic:
        return bool(magic[suffix])
    if not head or b"\0" in head or head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<script", b"<svg")):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) >= HEAD_BYTES  # cut inside a character
    return True


router = APIRouter()


@router.post("/api/uploads")
async def send(request: Request, session: Owner, name: str = "") -> dict[str, Any]:
    """Takes the body as a file called `name`."""
    here = context(request)
    here.limits.check("upload", str(session.account.account_id))
    policy(request).body_bytes = here.settings.upload_bytes + 1
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > here.settings.upload_bytes:
        raise too_large(here.settings.upload_bytes)
    return asdict(await uploads(here).take(name, request.stream(), here.settings.upload_bytes))
