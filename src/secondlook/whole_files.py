"""Files that appear whole or not at all: a reader never sees half of one, a failure leaves the old one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A path to write to, beside `path`, which takes its place at the end; its folder is made.

    Example:
        with whole("scores.json") as part:
            part.write_text("{}", encoding="utf-8")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
