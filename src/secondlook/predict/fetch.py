"""A file of weights by path, `https://` address or `hf:owner/name/file` -> a local file: cached, resumed, checked.

A download is kept under `$SECONDLOOK_CACHE` (or `~/.cache/secondlook/weights`) with its SHA-256 beside it, which every
later use checks. A sum may be given with the address (`#sha256=...`); torchvision's file names carry its first digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from secondlook.errors import BadValue, MissingFile

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
_LOCAL = ("127.0.0.1", "localhost", "::1")


def fetch(
    weights: str | Path, cache: Path | None = None, on_progress: Callable[[int, int | None], None] | None = None
) -> Path:
    """The local file that `weights` names, downloaded if need be.

    Args:
        weights: a path; `https://host/file`; or `hf:owner/name/file`, with `@revision` after the name for other than
            `main`. An address may end in `#sha256=` and the sum of the file.
        cache: folder of downloads; see above when left out.
        on_progress: told the bytes that are there and, where known, how many there will be.

    Raises:
        MissingFile: if a path leads nowhere.
        BadValue: if the address is none, cannot be reached, or its file has another sum; says how to fetch by hand.
    """
    address = str(weights)
    if not re.match(r"^(https?:|hf:)", address):
        path = Path(weights)
        if not path.is_file():
            raise MissingFile(path, "Give a file, https://..., or hf:owner/name/file.")
        return path
    url, wanted = _url_and_sum(address)
    folder = (cache or default_cache()) / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / _file_name(url)
    note = path.with_name(path.name + ".json")
    if path.is_file() and note.is_file():
        known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        _check(path, address, wanted or known["sha256"])
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _download(url, part, path, on_progress)
    try:
        found = _check(part, address, wanted or _sum_in_name(path.name))
    except BadValue:
        part.unlink()
        raise
    note.write_text(json.dumps({"url": url, "sha256": found}, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def default_cache() -> Path:
    """Folder of downloads."""
    given = os.environ.get("SECONDLOOK_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "secondlook" / "weights"


def _url_and_sum(address: str) -> tuple[str, str]:
    bare, _, fragment = address.partition("#")
    wanted = ""
    if fragment:
        match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
        if match is None:
            raise BadValue(address, "what follows # must be sha256= and 64 hexadecimal digits", "Leave it out.")
        wanted = match[1].lower()
    if bare.startswith("hf:"):
        match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?/([\w./-]+)", bare)
        if match is None or ".." in bare:
            raise BadValue(address, "a file on the hub is written hf:owner/name/file", "As hf:MCG-NJU/videomae-base/model.safetensors.")  # fmt: skip # noqa: E501
        return f"https://huggingface.co/{match[1]}/resolve/{match[2] or 'main'}/{match[3]}", wanted
    parts = urlsplit(bare)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise BadValue(address, "weights are fetched over https only", f"Write https://{bare.removeprefix('http://')}.")
    return bare, wanted


def _file_name(url: str) -> str:
    name = re.sub(r"[^\w.-]", "_", unquote(urlsplit(url).path).rsplit("/", 1)[-1]).lstrip(".")
    return name or "weights"


def _sum_in_name(name: str) -> str:
    """The first digits of the sum, as torch.hub's files have them: `r3d_18-b3b3357e.pth`."""
    match = re.search(r"-([0-9a-f]{8,64})\.(?:pth?|safetensors)$", name)
    return match[1] if match else ""


def _download(url: str, part: Path, path: Path, on_progress: Callable[[int, int | None], None] | None) -> None:
    """Writes what is still missing of the file."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "secondlook"})  # noqa: S310 (scheme is checked)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            goes_on = answer.status == 206
            length = answer.headers.get("Content-Length")
            have = have if goes_on else 0
            total = have + int(length) if length else None
            with part.open("ab" if goes_on else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    if on_progress:
                        on_progress(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # asked for what lies behind the end: the file is whole
            return
        raise _unreachable(url, path, f"the server says {error.code} {error.reason}") from None
    except (urllib.error.URLError, OSError, HTTPException) as error:
        raise _unreachable(url, path, str(getattr(error, "reason", error))) from None
    if total is not None and have < total:
        raise _unreachable(url, path, f"the connection ended after {have} of {total} bytes; the next try goes on there")


def _unreachable(url: str, path: Path, reason: str) -> BadValue:
    cure = (
        f"Run it again where there is a network; or fetch the file by hand (curl -L -o {path.name} {url}) and give its "
        "path instead."
    )
    return BadValue(url, f"could not be fetched ({reason})", cure)


def _check(path: Path, address: str, wanted: str) -> str:
    """The file's SHA-256, which starts with `wanted`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(wanted):
        rule = f"its file has the SHA-256 {found}, and {wanted} was expected: it is damaged or another one"
        raise BadValue(address, rule, f"Delete {path} and fetch it again, or trust no such file.")
    return found
