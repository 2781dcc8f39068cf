"""The folder of a workplace: what its files are called, and how it appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondlook.errors import BadValue, MissingFile

DATABASE, URL, KEY = "store.sqlite", "database.url", "pseudonym.key"


def holds_workplace(folder: Path) -> bool:
    """Whether there is a workplace in a folder."""
    return (folder / DATABASE).exists() or (folder / URL).exists()


def read_key(folder: Path) -> bytes:
    """The secret of a workplace's pseudonyms.

    Raises:
        MissingFile: if it is not there.
    """
    path = folder / KEY
    if not path.is_file():
        raise MissingFile(path, "Without it a worker cannot be told from a new one. Put it back beside the store.")
    return path.read_bytes()


def write_secret(path: Path, content: bytes) -> None:
    """Writes a new file that only its owner may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


@contextmanager
def making(folder: str | Path) -> Iterator[Path]:
    """A folder that appears whole or not at all: work in the path given, which is renamed at the end.

    Raises:
        BadValue: if there is something at `folder` already.
    """
    folder = Path(folder)
    if holds_workplace(folder):
        raise BadValue(
            str(folder),
            "there is a store here already, and answers are never overwritten",
            "Give another folder with -o, or add to this one with `secondlook annotate import`.",
        )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadValue(str(folder), "is not an empty folder", "Give a new folder with -o.")
    part = folder.with_name(f".{folder.name}.part-{secrets.token_hex(4)}")
    try:
        yield part
        if folder.exists():
            folder.rmdir()
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
