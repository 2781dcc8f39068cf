"""What a verb says at its end: what it wrote, in words or as JSON; and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, for machines.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random in this step.")]


def finish(result: Mapping[str, Any], words: str, as_json: bool, failed_rows: int = 0) -> None:
    """Says what was done and leaves with 0, or with 1 if some rows failed.

    Args:
        result: JSON-ready facts; `failed_rows` is added.
        words: the same for people, plain text.
        as_json: print `result` instead of `words`.
        failed_rows: rows that could not be used.

    Raises:
        typer.Exit: with 1, if `failed_rows` is not 0.
    """
    if as_json:
        sys.stdout.write(json.dumps({**result, "failed_rows": failed_rows}, default=_jsonable) + "\n")
    else:
        Console(highlight=False, soft_wrap=True).print(words, markup=False, emoji=False)
    if failed_rows:
        raise typer.Exit(1)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar on stderr; gives a function to call with the number of steps done (1 by default).

    Example:
        with progress("decoding", len(paths)) as advance:
            for path in paths: ...; advance()
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def counted(advance: Callable[[int], Any]) -> Callable[[int, int], None]:
    """For work that tells how much is done so far, and of how much: moves a bar of `progress` on by the difference."""
    before = 0

    def on_step(done: int, _: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return on_step
