"""Pre-train a VideoMAE on videos without labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar, of_further_device
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._training import (
    MODEL,
    OPTIMISER,
    Accumulate,
    BatchSize,
    Cache,
    ClipSize,
    Crop,
    Devices,
    Epochs,
    FamilyOption,
    Fit,
    Flip,
    Frames,
    Init,
    Modality,
    NoCache,
    Precision,
    Restart,
    Root,
    RunFolder,
    Sampling,
    Stride,
    Timeout,
    Warmup,
    WeightDecay,
    Weights,
    Workers,
)
from secondlook.cli._words import height_width, options

if TYPE_CHECKING:
    from secondlook.train.masked import PretrainResult


def run(
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`; labels are not read.")],
    output: RunFolder,
    model: Annotated[str, typer.Option(help="videomae:VARIANT, as videomae:tiny.", rich_help_panel=MODEL)] = (
        "videomae:base"
    ),
    mask_ratio: Annotated[float, typer.Option(help="Share of the places to hide.", rich_help_panel=MODEL)] = 0.9,
    option: FamilyOption = [],  # noqa: B006 (typer wants a list)
    init: Init = None,
    weights: Weights = "",
    frames: Frames = None,
    size: ClipSize = "",
    modality: Modality = None,
    fit: Fit = None,
    sampling: Sampling = None,
    stride: Stride = None,
    crop: Crop = "auto",
    flip: Flip = 0.0,
    epochs: Epochs = 100,
    batch_size: BatchSize = 16,
    accumulate: Accumulate = 1,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate [0.001].", rich_help_panel=OPTIMISER)] = None,
    weight_decay: WeightDecay = 0.05,
    warmup: Warmup = 1.0,
    precision: Precision = "32",
    devices: Devices = 1,
    workers: Workers = 2,
    cache: Cache = None,
    no_cache: NoCache = False,
    timeout: Timeout = 30.0,
    root: Root = None,
    restart: Restart = False,
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
