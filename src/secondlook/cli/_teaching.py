"""Options of `train` on what is learned beside the given labels: a teacher, label embeddings, votes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BESIDE = "Learned beside the labels"

Teacher = Annotated[Path | None, typer.Option(help="Run folder of a frozen teacher.", rich_help_panel=BESIDE)]
TeacherVideos = Annotated[
    Path | None,
    typer.Option(
        help="The teacher's own videos table, with the same video_id [the student's].", rich_help_panel=BESIDE
    ),
]
Distillation = Annotated[str, typer.Option(help="bert, mars, mers or hinton.", rich_help_panel=BESIDE)]
DistillationWeight = Annotated[
    float | None,
    typer.Option(help="Lambda [bert 100000, mars and mers 50, hinton 1].", rich_help_panel=BESIDE),
]
DistillationReduction = Annotated[
    str,
    typer.Option(help="sum, mean, or axes to average over: batch+tokens+dims.", rich_help_panel=BESIDE),
]
DistillationAdapter = Annotated[
    bool,
    typer.Option(
        "--distillation-adapter", help="A linear layer between features of two widths.", rich_help_panel=BESIDE
    ),
]
Temperature = Annotated[float, typer.Option(help="Of hinton's soft labels.", rich_help_panel=BESIDE)]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        help="Label vectors, from `secondlook language embed`: head hybrid learns them.", rich_help_panel=BESIDE
    ),
]
EmbeddingWeight = Annotated[float, typer.Option(help="Of the embedding's loss.", rich_help_panel=BESIDE)]
SoftTargets = Annotated[
    bool,
    typer.Option("--soft-targets", help="With --labels: shares of votes, not sets.", rich_help_panel=BESIDE),
]
