"""Fuse predictions tables: streams of one model, or an ensemble."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, finish
from secondlook.errors import BadValue


def run(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions tables, one a stream or model; two or more.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Predictions table to write.")],
    method: Annotated[
        str, typer.Option(help="mean_softmax, sum (of scores) or weights (weighted mean of softmax).")
    ] = "mean_softmax",
    weights: Annotated[str, typer.Option(help="With weights: one a table, as 1,1.5.")] = "",
    fit: Annotated[
        str, typer.Option(help="With weights: tables of validation videos to fit them on, as rgb-val.parquet,...")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fuse the scores of two or more models video by video, into a table that evaluate, audit and report read.

    Streams trained apart on images, flow or pose are fused by the mean of their softmax (2D networks) or by the sum of
    their scores (3D networks). Fitted weights minimise the log-loss on the tables of --fit.

    Example: `secondlook fuse rgb.parquet flow.parquet -o fused.parquet --method weights --weights 1,1.5`
    """
    from secondlook.evaluate.fusion import fuse_files

    held = [part.strip() for part in fit.split(",") if part.strip()]
    done = fuse_files(predictions, output, method, weights=_decimals(weights), fit=held)  # type: ignore[arg-type]
    shares = ", ".join(f"{name} {weight:g}" for name, weight in zip(done.models, done.weights, strict=True))
    words = f"{done.videos} videos of {len(done.models)} tables, {done.method}: {done.path}"
    if method == "weights":
        words += f"\nweights: {shares}"
    if done.fitted_on:
        words += f", fitted on {done.fitted_on} videos (log-loss {done.log_loss:.4f})"
    if done.unusable:
        words += f"\n{done.unusable} videos could not be used: their logits are NaN, columns status and reason say why."
    finish(asdict(done), words, as_json, done.unusable)


def _decimals(text: str) -> list[float]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise BadValue(text, "weights are numbers, one a table", "Join them by commas: --weights 1,1.5.") from None
