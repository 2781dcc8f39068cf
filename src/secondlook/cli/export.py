"""Export a trained recogniser for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, Seed, finish


def run(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder from `secondlook train`.")],
    format: Annotated[str, typer.Option("--format", help="onnx, or torch_export (.pt2).")] = "onnx",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write [RUN/model.onnx or RUN/model.pt2].")
    ] = None,
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write a trained network as ONNX or as a torch.export program, checked against the network on seeded clips.

    Beside it a JSON with what a program needs to use it: input recipe, labels, card. ONNX needs `secondlook[export]`.

    Example: `secondlook export runs/a --format onnx -o a.onnx`
    """
    from secondlook.predict.export import SUFFIX, export
    from secondlook.predict.weights import load_run

    loaded = load_run(run_folder, which)  # type: ignore[arg-type]  # checked there
    path = output or run_folder / f"model{SUFFIX.get(format, '')}"
    done = export(loaded, path, format, seed=seed)  # type: ignore[arg-type]  # checked there
    words = [
        f"{loaded.card.name}, {len(loaded.labels)} classes: {done.path}",
        f"its logits are within {done.largest_difference:.1g} of the network's (the largest is "
        f"{done.largest_logit:.2g})",
        f"input {'any number of clips' if done.any_batch else 'one clip'}; recipe, labels and card: {done.about}",
    ]
    words += [f"only one clip at a time, because: {done.note}"] if done.note else []
    finish({**asdict(done), "model": loaded.card.name, "classes": len(loaded.labels)}, "\n".join(words), as_json)
