"""The progress bar of a training, with a line an epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from secondlook.train.record import Progress


def of_further_device() -> bool:
    """True in a process that Lightning has started for a further device: the first one speaks for all."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


@contextmanager
def epochs_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A bar over all batches, and a line an epoch above it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=of_further_device()) as bar:
        task = bar.add_task("training", total=None, visible=False)

        def tell(progress: Progress) -> None:
            bar.update(task, total=progress.batches, completed=progress.batch, visible=True)
            if progress.curve:
                numbers = "  ".join(f"{k} {float(v):.4g}" for k, v in progress.curve.items() if v and k != "epoch")
                console.print(f"epoch {progress.epoch}/{progress.epochs}  {numbers}")

        yield tell
