"""Pre-train a VideoMAE on videos without labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar, of_further_device
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._words import height_width, options

if TYPE_CHECKING:
    from secondlook.train.masked import PretrainResult

_MODEL, _CLIP, _OPTIMISER, _MACHINE = "Model", "Input recipe", "Optimisation", "Machine"


def run(
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`; labels are not read.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder to write, or to go on with.")],
    model: Annotated[str, typer.Option(help="videomae:VARIANT, as videomae:tiny.", rich_help_panel=_MODEL)] = (
        "videomae:base"
    ),
    mask_ratio: Annotated[float, typer.Option(help="Share of the places to hide.", rich_help_panel=_MODEL)] = 0.9,
    option: Annotated[
        list[str], typer.Option(help="NAME=VALUE for the family, as attention=eager.", rich_help_panel=_MODEL)
    ] = [],  # noqa: B006 (typer wants a list)
    init: Annotated[
        Path | None, typer.Option(help="Start from the weights of another run.", rich_help_panel=_MODEL)
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Start from a published checkpoint: a file, https://... or hf:owner/name/file.",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    frames: Annotated[int | None, typer.Option(help="Frames of a clip.", rich_help_panel=_CLIP)] = None,
    size: Annotated[str, typer.Option(help="Pixels of a clip, as HxW: 112x112.", rich_help_panel=_CLIP)] = "",
    modality: Annotated[str | None, typer.Option(help="rgb or luma_difference.", rich_help_panel=_CLIP)] = None,
    fit: Annotated[str | None, typer.Option(help="crop, or squash the whole frame.", rich_help_panel=_CLIP)] = None,
    sampling: Annotated[str | None, typer.Option(help="segments or dense.", rich_help_panel=_CLIP)] = None,
    stride: Annotated[int | None, typer.Option(help="Between frames of a dense clip.", rich_help_panel=_CLIP)] = None,
    crop: Annotated[
        str, typer.Option(help="Augmentation: auto, none, random, multi_scale, zoom.", rich_help_panel=_CLIP)
    ] = "auto",
    flip: Annotated[float, typer.Option(help="Augmentation: share of clips mirrored.", rich_help_panel=_CLIP)] = 0.0,
    epochs: Annotated[int, typer.Option(rich_help_panel=_OPTIMISER)] = 100,
    batch_size: Annotated[int, typer.Option(help="Clips a step on each device.", rich_help_panel=_OPTIMISER)] = 16,
    accumulate: Annotated[int, typer.Option(help="Steps an update.", rich_help_panel=_OPTIMISER)] = 1,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate [0.001].", rich_help_panel=_OPTIMISER)] = None,
    weight_decay: Annotated[float, typer.Option(rich_help_panel=_OPTIMISER)] = 0.05,
    warmup: Annotated[float, typer.Option(help="Epochs of rising learning rate.", rich_help_panel=_OPTIMISER)] = 1.0,
    precision: Annotated[str, typer.Option(help="32, bf16 or 16.", rich_help_panel=_MACHINE)] = "32",
    devices: Annotated[int, typer.Option(help="Accelerators, or CPU processes.", rich_help_panel=_MACHINE)] = 1,
    workers: Annotated[int, typer.Option(help="Processes that read videos.", rich_help_panel=_MACHINE)] = 2,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of decoded frames [beside the run: .frame-cache].", rich_help_panel=_MACHINE),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Decode anew in every epoch.", rich_help_panel=_MACHINE)
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds allowed to decode a video.", rich_help_panel=_MACHINE)] = 30.0,
    root: Annotated[
        Path | None, typer.Option(help="Where the videos are now, if they were moved.", rich_help_panel=_MACHINE)
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away the run that is in the folder.")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Pre-train a VideoMAE by filling in hidden patches; labels are not read.

    `secondlook train --model videomae:... --init RUN` goes on from it. Ctrl-C leaves a run that the same command goes
    on with.

    Example: `secondlook pretrain videos.parquet --model videomae:tiny -o runs/pretrained`
    """
    from secondlook import tables
    from secondlook.cli.weights import local
    from secondlook.train.masked import MaskedSettings, pretrain

    height, width = height_width(size)
    settings = MaskedSettings(
        model=model, mask_ratio=mask_ratio, options=options(option), init=init, weights=weights or None,
        frames=frames, height=height, width=width, modality=modality, fit=fit, sampling=sampling, stride=stride,
        crop=crop, flip=flip, epochs=epochs, batch_size=batch_size, accumulate=accumulate,  # type: ignore[arg-type]
        learning_rate=lr, weight_decay=weight_decay, warmup_epochs=warmup,
        precision=precision, devices=devices, workers=workers, timeout_s=timeout,  # type: ignore[arg-type]
        root=root, seed=seed, cache=None if no_cache else cache or output.parent / ".frame-cache",
    )  # fmt: skip
    table = tables.read(tables.VIDEOS, videos)
    inputs = {"weights": tables.file_sha256(local(weights))} if weights else {}
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with epochs_bar(console) as tell:
        try:
            done = pretrain(table, output, settings, inputs=inputs, restart=restart, on_progress=tell)
        except KeyboardInterrupt:
            console.print(f"The same command goes on with the run in {output}.", markup=False)
            raise
    if not of_further_device():
        finish(asdict(done), _words(done, model), as_json, done.unreadable)


def _words(done: PretrainResult, model: str) -> str:
    lines = [f"note: {note}." for note in done.notes]
    if done.resumed:
        lines.append(f"{done.resumed} of {done.epochs} epochs were there already.")
    validation = f", validation {done.last['val_loss']:.3f}" if done.val_videos else ""
    lines.append(
        f"{model}, {done.epochs} epochs on {done.train_videos} videos; loss {done.last['train_loss']:.3f}{validation} "
        "(about 1: no better than the mean of each patch)."
    )
    if done.unreadable:
        lines.append(f"{done.unreadable} videos could not be used; {done.run / 'unreadable.csv'} says which and why.")
    lines.append(f"Hidden patches filled in: {done.picture}")
    lines.append(f"Train a classifier on it: secondlook train VIDEOS --model {model} --init {done.run} -o NEW_RUN")
    return "\n".join(lines)
