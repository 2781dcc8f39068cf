"""Watch a video frame by frame with a causal recogniser."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from secondlook.predict.stream import Running

Say = Callable[["Running"], None]


def run(
    video: Annotated[Path, typer.Argument(help="A video, or a folder of frames.")],
    model: Annotated[Path, typer.Option(help="Run folder of a model that can be fed frame by frame.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to say.")] = 3,
    every: Annotated[int, typer.Option(min=1, help="Say it for one in so many of the frames shown.")] = 1,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Show one frame in so many; the recipe's when left out.")
    ] = None,
    start: Annotated[int, typer.Option(min=0, help="First frame, by its index.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Show at most so many frames.")] = None,
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, as when the output is piped.")
    ] = False,
) -> None:
    """Say what a video shows, as it goes: a running prediction over all that was seen so far.

    The memory needed does not grow with the video. A model of segments is shown as many frames as its recipe has,
    spread over the video, or a few more; one of dense clips one in as many as its stride.

    Example: `secondlook stream clip.mp4 --model runs/a --top 3`
    """
    from secondlook.predict.stream import LivePrediction
    from secondlook.predict.weights import load_run

    loaded = load_run(model, which)  # type: ignore[arg-type]  # checked there
    names = loaded.labels.names
    live = LivePrediction(loaded, video, stride=stride, start=start, limit=limit, device=device)
    speaker = _lines(names, top) if as_json or not sys.stdout.isatty() else _screen(names, top)
    with live, speaker as say:
        said = latest = None
        for latest in live:
            if (latest.seen - 1) % every == 0:
                say(latest)
                said = latest
        if latest is not None and said is not latest:
            say(latest)
    if live.walk.errors:
        sys.stderr.write(f"{live.walk.errors} parts of {video.name} could not be read ({live.walk.last_error}).\n")
        raise typer.Exit(1)


@contextmanager
def _lines(names: tuple[str, ...], top: int) -> Iterator[Say]:
    """One JSON object a line, written at once."""

    def say(running: Running) -> None:
        facts = {"time_s": round(running.time_s, 6), "frame": running.frame, "seen": running.seen}
        sys.stdout.write(json.dumps({**facts, "top": running.top(names, top)}) + "\n")
        sys.stdout.flush()

    yield say


@contextmanager
def _screen(names: tuple[str, ...], top: int) -> Iterator[Say]:
    """One line of the terminal, written over and over; the last one stays."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop") as live:

        def say(running: Running) -> None:
            line = Text(f"{running.time_s:8.2f} s  frame {running.frame:<6}", no_wrap=True, overflow="ellipsis")
            for place, guess in enumerate(running.top(names, top)):
                line.append(f"  {guess['name']} {guess['probability']:.0%}", "bold" if place == 0 else "")
            live.update(line, refresh=True)

        yield say
