"""Draw the built-in dataset: videos whose true labels, action times and masks are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress


def run(
    root: Annotated[Path, typer.Argument(help="Folder to draw into; made if it is not there.")],
    clips: Annotated[int, typer.Option(help="Number of clips. More clips than before keep the first ones.")] = 400,
    seed: Seed = 0,
    wrong_labels: Annotated[float, typer.Option(help="Share of clips whose given label is plainly wrong.")] = 0.05,
    labels: Annotated[str, typer.Option(help="Labels to draw, with semicolons between; all when left out.")] = "",
    cue: Annotated[str, typer.Option(help="Plant a mark in a corner of the clips given this label.")] = "",
    cue_share: Annotated[float, typer.Option(help="Share of those clips that carry the mark.")] = 0.9,
    cue_elsewhere: Annotated[float, typer.Option(help="Share of the other clips that carry it.")] = 0.03,
    size: Annotated[int, typer.Option(help="Side of the square frames, in pixels.")] = 112,
    frames: Annotated[int, typer.Option(help="Frames a clip.")] = 24,
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 12,
    workers: Annotated[int, typer.Option(help="Processes that draw.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Draw videos of a hand that moves, pushes, drops, throws, puts, covers, turns, squeezes and shows things.

    Each clip comes with its given label (some are wrong on purpose), the set of labels that truly hold, the time of the
    action and a mask of hand and objects for every frame. The same settings give the same files. Run it again to go on
    where it was stopped.

    Example: `secondlook draw drawn --clips 400 --seed 0`
    """
    from secondlook.datasets.drawn import DrawnSettings, draw

    settings = DrawnSettings(
        clips=clips,
        seed=seed,
        wrong_labels=wrong_labels,
        cue=cue,
        cue_share=cue_share,
        cue_elsewhere=cue_elsewhere,
        size=size,
        frames=frames,
        fps=fps,
        labels=tuple(name.strip() for name in labels.split(";") if name.strip()),
    )
    with progress("drawing", settings.clips) as advance:
        drawn = draw(root, settings, workers, advance)
    words = [
        f"wrote {root}: {drawn['clips']} clips in {drawn['groups']} scenes",
        f"  several labels hold for {drawn['several_labels_hold']} ({drawn['mean_labels_that_hold']:.2f} a clip)",
        f"  the given label is wrong on purpose for {drawn['wrong_labels']}",
    ]
    if settings.cue:
        words.append(f"  {drawn['cues']} carry the mark planted for {settings.cue!r}")
    words.append(f"Next: `secondlook index {root} --dataset drawn -o videos.parquet`")
    finish({"root": root, "settings": settings.to_dict(), **drawn}, "\n".join(words), as_json)
