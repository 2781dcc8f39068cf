"""List what each room offers."""

from __future__ import annotations

from typing import Annotated

import typer

from secondlook import catalog
from secondlook.cli._say import AsJson, finish


def run(
    room: Annotated[
        str, typer.Argument(help=f"One of {', '.join(catalog.PLUGIN_ROOMS)}, recipes, published; all when left out.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List models, heads, datasets, explainers, training recipes and the rest, one line each.

    `published` lists public datasets with their classes, clips, splits and lengths.

    Example: `secondlook list models`
    """
    from secondlook.datasets._published import described as published
    from secondlook.train.recipes import described as recipes

    others = {"recipes": recipes, "published": published}
    rooms = [room] if room else [*catalog.PLUGIN_ROOMS, *others]
    found = {r: others[r]() if r in others else catalog.describe(r) for r in rooms}
    lines = []
    for name, described in found.items():
        width = max((len(n) for n in described), default=0)
        lines += [name, *(f"  {n:<{width}}  {first_line}" for n, first_line in described.items()), ""]
    finish(found, "\n".join(lines).rstrip(), as_json)
