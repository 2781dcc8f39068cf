"""Options that `train` and `pretrain` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL, CLIP, OPTIMISER, MACHINE = "Model", "Input recipe", "Optimisation", "Machine"

RunFolder = Annotated[Path, typer.Option("-o", "--output", help="Run folder to write, or to go on with.")]
Init = Annotated[Path | None, typer.Option(help="Start from the weights of another run.", rich_help_panel=MODEL)]
Weights = Annotated[
    str,
    typer.Option(
        help="Start from a published checkpoint: a file, https://... or hf:owner/name/file.", rich_help_panel=MODEL
    ),
]
FamilyOption = Annotated[
    list[str], typer.Option(help="NAME=VALUE for the family, as online=true.", rich_help_panel=MODEL)
]
Frames = Annotated[int | None, typer.Option(help="Frames of a clip.", rich_help_panel=CLIP)]
ClipSize = Annotated[str, typer.Option(help="Pixels of a clip, as HxW: 112x112.", rich_help_panel=CLIP)]
FrameSize = Annotated[
    str,
    typer.Option(help="Pixels of a frame before the crop, as HxW, whatever its shape: 256x340.", rich_help_panel=CLIP),
]
Modality = Annotated[
    str | None, typer.Option(help="rgb, luma_difference, or flow (of a flow table).", rich_help_panel=CLIP)
]
Fit = Annotated[str | None, typer.Option(help="crop, or squash the whole frame.", rich_help_panel=CLIP)]
Sampling = Annotated[str | None, typer.Option(help="segments, dense or normal_start.", rich_help_panel=CLIP)]
Start = Annotated[
    str | None, typer.Option(help="Of normal_start: resample or clip a start beyond half.", rich_help_panel=CLIP)
]
Rest = Annotated[str | None, typer.Option(help="Of normal_start: stride, or uniform.", rich_help_panel=CLIP)]
Stride = Annotated[
    int | None, typer.Option(help="Between frames of a dense or normal_start clip.", rich_help_panel=CLIP)
]
Crop = Annotated[str, typer.Option(help="Augmentation: auto, none, random, multi_scale, zoom.", rich_help_panel=CLIP)]
Flip = Annotated[
    float, typer.Option(help="Augmentation: share of clips mirrored, where labels allow.", rich_help_panel=CLIP)
]
Perturb = Annotated[
    float, typer.Option(help="Augmentation: share of clips blurred, recoloured, turned.", rich_help_panel=CLIP)
]
PerturbMethods = Annotated[str, typer.Option(help="Of --perturb: srtg or mtnet.", rich_help_panel=CLIP)]
Epochs = Annotated[int, typer.Option(rich_help_panel=OPTIMISER)]
BatchSize = Annotated[int, typer.Option(help="Clips a step on each device.", rich_help_panel=OPTIMISER)]
Accumulate = Annotated[int, typer.Option(help="Steps an update.", rich_help_panel=OPTIMISER)]
EffectiveBatch = Annotated[
    int,
    typer.Option(help="Clips an update, by accumulating; 0: as --accumulate says.", min=0, rich_help_panel=OPTIMISER),
]
WeightDecay = Annotated[float, typer.Option(rich_help_panel=OPTIMISER)]
Warmup = Annotated[float, typer.Option(help="Epochs of rising learning rate.", rich_help_panel=OPTIMISER)]
Multigrid = Annotated[
    str,
    typer.Option(help="none, long, short or both: small clips in large batches first.", rich_help_panel=OPTIMISER),
]
Precision = Annotated[str, typer.Option(help="32, bf16 or 16.", rich_help_panel=MACHINE)]
Devices = Annotated[int, typer.Option(help="Accelerators, or CPU processes.", rich_help_panel=MACHINE)]
Nodes = Annotated[int, typer.Option(help="Machines, each with so many devices.", rich_help_panel=MACHINE)]
CheckpointSteps = Annotated[
    int,
    typer.Option(help="Updates between checkpoints within an epoch; 0: at its end.", rich_help_panel=MACHINE),
]
RecordDynamics = Annotated[
    bool,
    typer.Option(
        "--record-dynamics/--no-record-dynamics",
        help="Keep each training video's probability and margin of every epoch, for audit.",
        rich_help_panel=MACHINE,
    ),
]
Workers = Annotated[int, typer.Option(help="Processes that read videos.", rich_help_panel=MACHINE)]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of decoded frames [beside the run: .frame-cache].", rich_help_panel=MACHINE),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Decode anew in every epoch.", rich_help_panel=MACHINE)]
Timeout = Annotated[float, typer.Option(help="Seconds allowed to decode a video.", rich_help_panel=MACHINE)]
Root = Annotated[
    Path | None, typer.Option(help="Where the videos are now, if they were moved.", rich_help_panel=MACHINE)
]
Restart = Annotated[bool, typer.Option("--restart", help="Throw away the run that is in the folder.")]
