"""Train a recogniser."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar, of_further_device
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._targets import CompareTargets, compare
from secondlook.cli._teaching import (
    Distillation,
    DistillationAdapter,
    DistillationReduction,
    DistillationWeight,
    Embeddings,
    EmbeddingWeight,
    SoftTargets,
    Teacher,
    TeacherVideos,
    Temperature,
)
from secondlook.cli._training import (
    CLIP,
    MODEL,
    OPTIMISER,
    Accumulate,
    BatchSize,
    Cache,
    CheckpointSteps,
    ClipSize,
    Crop,
    Devices,
    EffectiveBatch,
    Epochs,
    FamilyOption,
    Fit,
    Flip,
    Frames,
    FrameSize,
    Init,
    Modality,
    Multigrid,
    NoCache,
    Nodes,
    Perturb,
    PerturbMethods,
    Precision,
    RecordDynamics,
    Rest,
    Restart,
    Root,
    RunFolder,
    Sampling,
    Start,
    Stride,
    Timeout,
    Warmup,
    WeightDecay,
    Weights,
    Workers,
)
from secondlook.cli._words import height_width, numbers, options

if TYPE_CHECKING:
    from secondlook.train.loop import TrainResult


def run(
    ctx: typer.Context,
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`.")],
    output: RunFolder,
    model: Annotated[
        str, typer.Option(help="family:variant, as tsm:r18; `secondlook list models`.", rich_help_panel=MODEL)
    ] = "tsm:r18",
    head: Annotated[str, typer.Option(help="Late temporal head; `secondlook list heads`.", rich_help_panel=MODEL)] = "",
    head_option: Annotated[
        list[str], typer.Option(help="NAME=VALUE for the head, as layers=2; again for more.", rich_help_panel=MODEL)
    ] = [],  # noqa: B006 (typer wants a list)
    option: FamilyOption = [],  # noqa: B006
    freeze: Annotated[
        str, typer.Option(help="Parts not to train: backbone, or stem,layer1,...", rich_help_panel=MODEL)
    ] = "",
    dropout: Annotated[
        float | None, typer.Option(help="Share of features dropped before the classifier.", rich_help_panel=MODEL)
    ] = None,
    init: Init = None,
    weights: Weights = "",
    frames: Frames = None,
    size: ClipSize = "",
    frame_size: FrameSize = "",
    modality: Modality = None,
    fit: Fit = None,
    sampling: Sampling = None,
    start: Start = None,
    rest: Rest = None,
    stride: Stride = None,
    crop: Crop = "auto",
    flip: Flip = 0.0,
    swap_left_right: Annotated[
        bool, typer.Option("--swap-left-right", help="Mirror left/right labels and swap them.", rich_help_panel=CLIP)
    ] = False,
    jitter: Annotated[float, typer.Option(help="Augmentation: of colour, 0 to 1.", rich_help_panel=CLIP)] = 0.0,
    perturb: Perturb = 0.0,
    perturb_methods: PerturbMethods = "srtg",
    recipe: Annotated[
        str,
        typer.Option(
            help="Settings of a source, where none is given here; `secondlook list recipes`.", rich_help_panel=OPTIMISER
        ),
    ] = "",
    epochs: Epochs = 30,
    batch_size: BatchSize = 16,
    accumulate: Accumulate = 1,
    effective_batch: EffectiveBatch = 0,
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, adamw, or swats (Adam, later SGD).", rich_help_panel=OPTIMISER)
    ] = "adamw",
    switch_tolerance: Annotated[
        float, typer.Option(help="Of swats: larger switches earlier.", rich_help_panel=OPTIMISER)
    ] = 1e-9,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate [sgd 0.01, others 0.001].", rich_help_panel=OPTIMISER)
    ] = None,
    weight_decay: WeightDecay = 1e-4,
    schedule: Annotated[str, typer.Option(help="cosine, step, plateau or none.", rich_help_panel=OPTIMISER)] = "cosine",
    milestones: Annotated[
        str, typer.Option(help="Epochs after which step lowers the rate: 40,70.", rich_help_panel=OPTIMISER)
    ] = "",
    rate_decay: Annotated[float, typer.Option(help="Of step and plateau.", rich_help_panel=OPTIMISER)] = 0.1,
    patience: Annotated[int, typer.Option(help="Epochs that plateau waits.", rich_help_panel=OPTIMISER)] = 5,
    monitor: Annotated[
        str,
        typer.Option(help="Which epoch is best, by validation: top1, loss, top1_top3.", rich_help_panel=OPTIMISER),
    ] = "top1",
    warmup: Warmup = 1.0,
    warmup_steps: Annotated[int, typer.Option(help="The same in steps.", rich_help_panel=OPTIMISER)] = 0,
    label_smoothing: Annotated[float, typer.Option(rich_help_panel=OPTIMISER)] = 0.0,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels table: train on reassessed sets, k-hot.", rich_help_panel=OPTIMISER),
    ] = None,
    soft_targets: SoftTargets = False,
    compare_targets: CompareTargets = False,
    teacher: Teacher = None,
    teacher_videos: TeacherVideos = None,
    distillation: Distillation = "none",
    distillation_weight: DistillationWeight = None,
    distillation_reduction: DistillationReduction = "mean",
    distillation_adapter: DistillationAdapter = False,
    temperature: Temperature = 4.0,
    embeddings: Embeddings = None,
    embedding_weight: EmbeddingWeight = 5.0,
    multigrid: Multigrid = "none",
    precision: Precision = "32",
    devices: Devices = 1,
    nodes: Nodes = 1,
    checkpoint_steps: CheckpointSteps = 0,
    record_dynamics: RecordDynamics = True,
    workers: Workers = 2,
    cache: Cache = None,
    no_cache: NoCache = False,
    timeout: Timeout = 30.0,
    root: Root = None,
    restart: Restart = False,
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
    frame_height, frame_width = height_width(frame_size)
    parts = tuple(part.strip() for part in freeze.split(",") if part.strip())
    asked: dict[str, Any] = dict(  # noqa: C408 (names as of a call)
        model=model, head=head, head_options=options(head_option), options=options(option), freeze=parts,
        dropout=dropout, init=init, weights=weights or None, frames=frames, height=height, width=width,
        frame_size=(frame_height, frame_width) if frame_size else None,
        modality=modality, fit=fit, sampling=sampling, start=start, rest=rest, stride=stride, crop=crop, flip=flip,
        swap_left_right=swap_left_right, jitter=jitter, perturb=perturb, perturb_methods=perturb_methods,
        epochs=epochs, batch_size=batch_size, accumulate=accumulate,
        optimizer=optimizer, switch_tolerance=switch_tolerance, learning_rate=lr, weight_decay=weight_decay,
        schedule=schedule, milestones=numbers(milestones), rate_decay=rate_decay, patience=patience, monitor=monitor,
        warmup_epochs=warmup, warmup_steps=warmup_steps, label_smoothing=label_smoothing, precision=precision,
        multigrid=multigrid, nodes=nodes, checkpoint_steps=checkpoint_steps,
        record_dynamics=record_dynamics,
        devices=devices, workers=workers, timeout_s=timeout, root=root, seed=seed,
        teacher=teacher, teacher_videos=teacher_videos, distillation=distillation,
        distillation_weight=distillation_weight, distillation_reduction=distillation_reduction,
        distillation_adapter=distillation_adapter, temperature=temperature, embeddings=embeddings,
        embedding_weight=embedding_weight, soft_targets=soft_targets,
        cache=None if no_cache else cache or output.parent / ".frame-cache",
    )  # fmt: skip
    if recipe:
        asked |= _of_recipe(ctx, recipe, asked)
    if effective_batch:
        asked["accumulate"] = -(-effective_batch // (asked["batch_size"] * devices * nodes))
    settings = TrainSettings(**asked)
    table = tables.read(tables.VIDEOS, videos)
    reassessed = tables.read(tables.LABELS, labels) if labels else None
    published = local(weights) if weights else None
    inputs = {name: tables.file_sha256(path) for name, path in (("labels", labels), ("weights", published)) if path}
    if compare_targets:
        compare(videos, table, labels, reassessed, output, settings, inputs, restart=restart, as_json=as_json)
        return
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
        more = "\ncompare: --compare-targets trains on given labels, sets and shares of votes alike" if labels else ""
        finish(asdict(done), _words(done, model) + more, as_json, done.unreadable)


def _of_recipe(ctx: typer.Context, name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What a recipe says of settings that were not given on the command line."""
    from secondlook.predict.weights import find_card
    from secondlook.train.recipes import recipe

    options = {"learning_rate": "lr", "warmup_epochs": "warmup"}
    given = {param for param in ctx.params if getattr(ctx.get_parameter_source(param), "name", "") == "COMMANDLINE"}
    modality = asked["modality"] or find_card(asked["model"]).clip.modality
    batch_size = asked["batch_size"] if "batch_size" in given else None
    found = recipe(name, asked["model"], asked["head"], modality, batch_size)
    if "accumulate" in found:  # counted for one device
        found["accumulate"] = -(-found["accumulate"] // (asked["devices"] * asked["nodes"]))
    return {name: value for name, value in found.items() if options.get(name, name) not in given}


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
