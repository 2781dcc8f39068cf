"""Show what a model is made of and what it costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from secondlook import catalog
from secondlook.cli._say import AsJson, finish
from secondlook.cli._words import options
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.cards import ModelCard
    from secondlook.models._count import Cost
    from secondlook.models._memory import Memory
    from secondlook.models._recogniser import Limits

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
    clip: Annotated[
        str, typer.Option("--clip", help="Frames x height x width of the clip, as 16x112x112; the card's if not given.")
    ] = "",
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Only the frames of it.")] = None,
    size: Annotated[str, typer.Option("--size", help="Only its height x width, as 112x112.")] = "",
    head: Annotated[str, typer.Option("--head", help="Late temporal head; the family's own if not given.")] = "",
    head_option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the head, as layers=2; again for more.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the family, as online=true; again for more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's parameters, multiply-accumulates, memory and stage outputs for one clip; or list all models.

    Example: `secondlook show models tsm:r50 --classes 51 --clip 8x224x224`
    """
    if not name:
        found = {family: list(catalog.find("models", family).CARDS) for family in catalog.names("models")}
        described = catalog.describe("models")
        lines = [f"{f}: {described[f]}\n  {', '.join(f'{f}:{v}' for v in variants)}" for f, variants in found.items()]
        finish(found, "\n".join(lines), as_json)
        return
    from dataclasses import asdict, replace

    from secondlook.models._count import clip_shape, cost, on_meta
    from secondlook.models._memory import activation_memory
    from secondlook.predict.weights import find_card, with_clip

    if clip and (frames or size):
        raise BadValue(clip, "--clip says what --frames and --size would", "Give either.")
    height, width = _numbers(size, 2, "a size is height x width in pixels", "--size 112x112") if size else (None, None)
    if clip:
        frames, height, width = _numbers(clip, 3, "a clip is frames x height x width", "--clip 16x112x112")
    card = find_card(name)
    given = options(option or []) | ({"head_options": options(head_option)} if head_option else {})
    card = replace(card, head=head, options={**card.options, **given})
    card = with_clip(card, frames=frames, height=height, width=width)
    network, shape = on_meta(card, classes), clip_shape(card)
    counted, memory = cost(network, card.explain, shape), activation_memory(network, shape)
    result = {
        "model": card.name,
        "classes": classes,
        "options": dict(card.options),
        "head": type(network.get_submodule("head")).__module__.rpartition(".")[2],
        **asdict(counted),
        "frozen": counted.frozen,
        "order_blind": card.order_blind and not head,
        "tokens": counted.tokens,
        "memory": asdict(memory),
        "explain": asdict(card.explain),
        "clip": card.clip.to_dict(),
        "reference": card.reference,
    }
    finish(result, _words(card, classes, counted, memory), as_json)


def _numbers(text: str, count: int, rule: str, example: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if len(parts) != count or not all(part.isdecimal() and int(part) for part in parts):
        raise BadValue(text, rule, f"Write {example}.")
    return tuple(int(part) for part in parts)


def _words(card: ModelCard, classes: int, counted: Cost, memory: Memory) -> str:
    title = (
        f"{card.name}, {classes} classes: {counted.parameters / 1e6:.3f} M parameters, "
        f"{counted.macs / 1e9:.3f} GMAC a clip"
    )
    rows: list[tuple[str, ...]] = [("stage", "output (C x T x H x W)", "parameters", "MMAC", "pathway", "lies as")]
    rows.append(("input", _by(counted.input), "", "", "", "BCTHW"))
    rows += [
        (s.module, _by(s.output), f"{s.parameters:,}", f"{s.macs / 1e6:,.1f}", s.pathway, s.layout)
        for s in counted.stages
    ]
    rows.append(("all", "", f"{counted.parameters:,}", f"{counted.macs / 1e6:,.1f}", "", ""))
    if not any(stage.pathway for stage in counted.stages):
        rows = [(*row[:4], row[5]) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    to_the_right = ("parameters", "MMAC")
    table = [
        "  ".join(
            f"{cell:>{width}}" if head in to_the_right else f"{cell:<{width}}"
            for cell, width, head in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]
    tokens = f"{_by(counted.tokens)} = {math.prod(counted.tokens):,} places of T x H x W"
    facts = [
        ("trainable", f"{counted.trainable:,} parameters, {counted.frozen:,} frozen"),
        ("memory", f"{_mib(memory.training_bytes)} of activations a clip in training, "
         f"{_mib(memory.inference_bytes)} at the peak of inference (float32, weights aside)"),
        ("tokens", f"{tokens} before the head" if counted.tokens else "no map before the head"),
        ("takes", _takes(counted.limits)),
        ("order", "its own head cannot tell a clip from its reversal" if card.order_blind else "is seen"),
        ("explain", f"any stage above; classifier {card.explain.classifier or 'none'}"),
    ]  # fmt: skip
    return "\n".join([title, card.reference, "", *table, "", *(f"{name:<10} {fact}" for name, fact in facts)])


def _takes(limits: Limits) -> str:
    exact = [f"exactly {n} {what}" for n, what in ((limits.frames, "frames"), (limits.height, "pixels of height"),
             (limits.width, "pixels of width")) if n is not None]  # fmt: skip
    some = [f"at least {limits.min_frames} frames"] if limits.min_frames > 1 else []
    some += [f"a multiple of {limits.frames_multiple} frames"] if limits.frames_multiple > 1 else []
    some += [f"at least {limits.min_size} pixels a side"] if limits.min_size > 1 else []
    return ", ".join([*exact, *some]) or "any number of frames, any size"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
