"""Show what a model is made of and what it costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook import catalog
from secondlook.cli._say import AsJson, finish
from secondlook.cli._words import options
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from torch import nn

    from secondlook.cards import ModelCard
    from secondlook.models._count import Cost
    from secondlook.models._latency import Latency
    from secondlook.models._memory import Memory
    from secondlook.models._recogniser import Limits
    from secondlook.models._video_cost import VideoCost

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
    views: Annotated[str, typer.Option("--views", help="Also what a video costs: CLIPSxCROPS, as 10x3.")] = "",
    video_frames: Annotated[
        int | None, typer.Option("--video-frames", min=1, help="As many clips as such a video holds without overlap.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="With --video-frames: frames from one of a clip to the next.")
    ] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Also measure ms a clip, forward and backward.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="With --latency: clips at once.")] = 8,
    device: Annotated[str, typer.Option("--device", help="With --latency: auto, cpu, cuda, ...")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Show a model's parameters, multiply-accumulates, memory and stage outputs for one clip; or list all models.

    With --views or --video-frames also what a whole video costs, and how its views may run: at once (memory), one
    after the other (time), or in between. Where both are given, --video-frames says the clips and --views the crops.
    A clip covers frames x stride; the stride is the card's unless --stride says another.

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
    if stride is not None:
        card = replace(card, clip=replace(card.clip, stride=stride, sampling="dense"))
    video = _video(card, counted, memory, network, views, video_frames) if views or video_frames else None
    timed = _latency(card, classes, batch, device) if latency else None
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
    words = _words(card, classes, counted, memory)
    if video is not None:
        result["video"] = {**asdict(video[0]), "views": video[0].views, "macs": video[0].macs, "operations": video[1]}
        words += "\n\n" + _video_words(*video)
    if timed is not None:
        result["latency"] = asdict(timed)
        words += (
            f"\n\nlatency a clip: {timed.forward_ms:.2f} ms forward, {timed.backward_ms:.2f} ms backward, "
            f"{timed.inference_ms:.2f} ms without gradients\n(batch {timed.batch}, median of {timed.runs} runs, "
            f"{timed.device}, {timed.threads} threads)"
        )
    finish(result, words, as_json)


def _video(
    card: ModelCard, counted: Cost, memory: Memory, network: nn.Module, views: str, video_frames: int | None
) -> tuple[VideoCost, int]:
    """Cost of a video, and operations of a view as module counters count them."""
    from secondlook.models._count import clip_shape
    from secondlook.models._module_count import module_operations
    from secondlook.models._video_cost import clips_of, video_cost

    clips, crops = _numbers(views, 2, "views are clips x crops", "--views 10x3") if views else (1, 1)
    if video_frames is not None:
        clips = clips_of(video_frames, card.clip.frames, 1 if card.clip.sampling == "segments" else card.clip.stride)
    parts = {"parameters": counted.parameters, "activation_bytes": memory.inference_bytes}
    return video_cost(counted.macs, clips, crops, **parts), module_operations(network, clip_shape(card))


def _latency(card: ModelCard, classes: int, batch: int, device: str) -> Latency:
    import torch

    from secondlook.models._count import clip_shape
    from secondlook.models._latency import latency
    from secondlook.predict.run import _device

    shape = dict(zip(("in_channels", "frames", "height", "width"), clip_shape(card), strict=True))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options: dict[str, Any] = {**shape, **card.options}
        network = catalog.find("models", card.family).build(card.variant, classes, card.head, **options)
    return latency(network, clip_shape(card), _device(device), batch=batch)


def _video_words(video: VideoCost, operations: int) -> str:
    giga = video.macs_per_view / 1e9
    lines = [
        f"a video: {video.clips} clips x {video.crops} crops x {giga:.3f} GMAC = {video.macs / 1e9:.3f} GMAC "
        f"({giga:.1f} x {video.views}); with normalisations, activations and pools {operations / 1e9:.3f} G a view"
    ]
    rows = [("run", "views at once", "rounds", "GMAC in a row", "a network a view", "activations")]
    rows += [
        (x.name, str(x.at_once), str(x.rounds), f"{x.macs_in_a_row / 1e9:.3f}", f"{x.parameter_copies / 1e6:.2f} M",
         _mib(x.activation_bytes))
        for x in video.executions
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += [
        "  ".join([f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(lines)


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
