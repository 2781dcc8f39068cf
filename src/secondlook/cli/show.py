"""Show what a model is made of and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from secondlook import catalog
from secondlook.cli._say import AsJson, finish
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.cards import ModelCard
    from secondlook.models._count import Cost

app = typer.Typer(help="Show what a model is made of and what it costs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show what a model is made of and what it costs.

    Example: `secondlook show models r2plus1d:18 --classes 400`
    """


@app.command("models")
def models(
    name: Annotated[str, typer.Argument(help="`family:variant`, for example tsm:r50; all when left out.")] = "",
    classes: Annotated[int, typer.Option("--classes", min=1, help="Number of classes.")] = 400,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Frames of the clip; the card's if not given.")
    ] = None,
    size: Annotated[
        str, typer.Option("--size", help="Height x width of the clip, as 112x112; the card's if not given.")
    ] = "",
    head: Annotated[str, typer.Option("--head", help="Late temporal head; the family's own if not given.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show a model's parameters, multiply-accumulates and stage outputs for one clip; or list families and variants.

    Example: `secondlook show models tsm:r50 --classes 51 --frames 8 --size 224x224`
    """
    if not name:
        found = {family: list(catalog.find("models", family).CARDS) for family in catalog.names("models")}
        described = catalog.describe("models")
        lines = [f"{f}: {described[f]}\n  {', '.join(f'{f}:{v}' for v in variants)}" for f, variants in found.items()]
        finish(found, "\n".join(lines), as_json)
        return
    from dataclasses import asdict, replace

    from secondlook.models._count import cost_of
    from secondlook.predict.weights import find_card, with_clip

    height, width = _height_width(size) if size else (None, None)
    card = with_clip(replace(find_card(name), head=head), frames=frames, height=height, width=width)
    counted = cost_of(card, classes)
    result = {"model": card.name, "classes": classes, "head": head or "average", **asdict(counted)}
    finish(
        {**result, "clip": card.clip.to_dict(), "reference": card.reference}, _words(card, classes, counted), as_json
    )


def _height_width(size: str) -> tuple[int, int]:
    height, _, width = size.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise BadValue(size, "a size is height x width in pixels", "Write --size 112x112.")
    return int(height), int(width)


def _words(card: ModelCard, classes: int, counted: Cost) -> str:
    rows = [("stage", "output (C x T x H x W)", "parameters", "MMAC"), ("input", _by(counted.input), "", "")]
    rows += [(s.module, _by(s.output), f"{s.parameters:,}", f"{s.macs / 1e6:,.1f}") for s in counted.stages]
    rows.append(("all", "", f"{counted.parameters:,}", f"{counted.macs / 1e6:,.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows]
    title = (
        f"{card.name}, {classes} classes: {counted.parameters / 1e6:.3f} M parameters, "
        f"{counted.macs / 1e9:.3f} GMAC a clip"
    )
    return "\n".join([title, card.reference, "", *table])


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
