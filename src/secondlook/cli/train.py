"""Train a recogniser."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar, of_further_device
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._words import height_width, options

if TYPE_CHECKING:
    from secondlook.train.loop import TrainResult

_MODEL, _CLIP, _OPTIMISER, _MACHINE = "Model", "Input recipe", "Optimisation", "Machine"


def run(
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run folder to write, or to go on with.")],
    model: Annotated[
        str, typer.Option(help="family:variant, as tsm:r18; `secondlook list models`.", rich_help_panel=_MODEL)
    ] = "tsm:r18",
    head: Annotated[
        str, typer.Option(help="Late temporal head; `secondlook list heads`.", rich_help_panel=_MODEL)
    ] = "",
    head_option: Annotated[
        list[str], typer.Option(help="NAME=VALUE for the head, as layers=2; again for more.", rich_help_panel=_MODEL)
    ] = [],  # noqa: B006 (typer wants a list)
    option: Annotated[
        list[str], typer.Option(help="NAME=VALUE for the family, as online=true.", rich_help_panel=_MODEL)
    ] = [],  # noqa: B006
    freeze: Annotated[
        str, typer.Option(help="Parts not to train: backbone, or stem,layer1,...", rich_help_panel=_MODEL)
    ] = "",
    dropout: Annotated[
        float | None, typer.Option(help="Share of features dropped before the classifier.", rich_help_panel=_MODEL)
    ] = None,
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
    flip: Annotated[
        float, typer.Option(help="Augmentation: share of clips mirrored, where labels allow.", rich_help_panel=_CLIP)
    ] = 0.0,
    swap_left_right: Annotated[
        bool, typer.Option("--swap-left-right", help="Mirror left/right labels and swap them.", rich_help_panel=_CLIP)
    ] = False,
    jitter: Annotated[float, typer.Option(help="Augmentation: of colour, 0 to 1.", rich_help_panel=_CLIP)] = 0.0,
    epochs: Annotated[int, typer.Option(rich_help_panel=_OPTIMISER)] = 30,
    batch_size: Annotated[int, typer.Option(help="Clips a step on each device.", rich_help_panel=_OPTIMISER)] = 16,
    accumulate: Annotated[int, typer.Option(help="Steps an update.", rich_help_panel=_OPTIMISER)] = 1,
    optimizer: Annotated[str, typer.Option(help="sgd or adamw.", rich_help_panel=_OPTIMISER)] = "adamw",
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate [sgd 0.01, adamw 0.001].", rich_help_panel=_OPTIMISER)
    ] = None,
    weight_decay: Annotated[float, typer.Option(rich_help_panel=_OPTIMISER)] = 1e-4,
    schedule: Annotated[str, typer.Option(help="cosine or none.", rich_help_panel=_OPTIMISER)] = "cosine",
    warmup: Annotated[float, typer.Option(help="Epochs of rising learning rate.", rich_help_panel=_OPTIMISER)] = 1.0,
    label_smoothing: Annotated[float, typer.Option(rich_help_panel=_OPTIMISER)] = 0.0,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels table: train on reassessed sets, k-hot.", rich_help_panel=_OPTIMISER),
    ] = None,
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
    """Train a recogniser on split `train`; keep the best epoch on split `val`.

    Ctrl-C leaves a usable run; the same command goes on with it, and ends with the same bits as without the stop.

    Example: `secondlook train videos.parquet --model tsm:r18 -o runs/a`
    """
    from secondlook import tables
    from secondlook.cli.weights import local
    from secondlook.train.loop import train
    from secondlook.train.settings import TrainSettings

    height, width = height_width(size)
    parts = tuple(part.strip() for part in freeze.split(",") if part.strip())
    settings = TrainSettings(
        model=model, head=head, head_options=options(head_option), options=options(option), freeze=parts,
        dropout=dropout, init=init, weights=weights or None, frames=frames, height=height, width=width,
        modality=modality, fit=fit, sampling=sampling, stride=stride, crop=crop, flip=flip,  # type: ignore[arg-type]
        swap_left_right=swap_left_right, jitter=jitter, epochs=epochs, batch_size=batch_size, accumulate=accumulate,
        optimizer=optimizer, learning_rate=lr, weight_decay=weight_decay, schedule=schedule,  # type: ignore[arg-type]
        warmup_epochs=warmup, label_smoothing=label_smoothing, precision=precision,  # type: ignore[arg-type]
        devices=devices, workers=workers, timeout_s=timeout, root=root, seed=seed,
        cache=None if no_cache else cache or output.parent / ".frame-cache",
    )  # fmt: skip
    table = tables.read(tables.VIDEOS, videos)
    reassessed = tables.read(tables.LABELS, labels) if labels else None
    start = local(weights) if weights else None
    inputs = {name: tables.file_sha256(path) for name, path in (("labels", labels), ("weights", start)) if path}
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with epochs_bar(console) as tell:
        try:
            done = train(
                table, output, settings, reassessed=reassessed, inputs=inputs, restart=restart, on_progress=tell
            )
        except KeyboardInterrupt:
            console.print(f"The run in {output} can be used as it is; the same command goes on with it.", markup=False)
            raise
    if not of_further_device():
        finish(asdict(done), _words(done, model), as_json, done.unreadable)


def _words(done: TrainResult, model: str) -> str:
    best: dict[str, Any] = dict(done.best)
    validation = (
        f"best epoch {best['epoch']:.0f}: validation top-1 {best['val_top1']:.3f}, loss {best['val_loss']:.3f}"
        if done.val_videos
        else f"last epoch: training top-1 {best['train_top1']:.3f}, loss {best['train_loss']:.3f}"
    )
    lines = [*(f"note: {note}." for note in done.notes)]
    if done.resumed:
        lines.append(f"{done.resumed} of {done.epochs} epochs were there already.")
    lines.append(f"{model}, {done.epochs} epochs on {done.train_videos} videos; {validation}.")
    if done.unreadable:
        lines.append(f"{done.unreadable} videos could not be used; {done.run / 'unreadable.csv'} says which and why.")
    lines.append(f"Run: {done.run}")
    return "\n".join(lines)
