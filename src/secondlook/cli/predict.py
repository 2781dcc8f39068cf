"""Predict videos with a trained recogniser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondlook.cli._engine import Engine, RayAddress, RayWorkers, cluster_of
from secondlook.cli._say import AsJson, counted, finish, progress
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.predict.run import PredictResult, PredictSettings
    from secondlook.predict.weights import LoadedModel


def run(
    run: Annotated[
        Path, typer.Argument(help="Run folder from `secondlook train`; or scores made elsewhere (.csv, .npz).")
    ],
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Predictions table to write; with --test-modes a folder.")
    ],
    split: Annotated[str, typer.Option(help="train, val, test; or all.")] = "test",
    views: Annotated[str, typer.Option(help="Views a video, CLIPSxCROPS: 10x3, or allx10.")] = "1x1",
    test_modes: Annotated[
        bool, typer.Option("--test-modes", help="All clips or one, ten crops or one: four tables, one of accuracy.")
    ] = False,
    fuse: Annotated[
        str, typer.Option(help="How views become the video: mean of probabilities or logits.")
    ] = "probabilities",
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    batch_size: Annotated[int, typer.Option(help="Clips the network sees at once, at most.")] = 16,
    precision: Annotated[str, typer.Option(help="32, bf16 or 16.")] = "32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that read videos.")] = 2,
    cache: Annotated[Path | None, typer.Option(help="Folder of decoded frames [beside the run: .frame-cache].")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Decode each view anew.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds allowed to decode a video.")] = 30.0,
    root: Annotated[Path | None, typer.Option(help="Where the videos are now, if they were moved.")] = None,
    top_k: Annotated[Path | None, typer.Option(help="Also write the best classes of each video, as CSV.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many classes a video `--top-k` writes.")] = 5,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Write the logits of every view and of every video of a split.

    A stopped prediction goes on where it was; one that is finished is not made again.

    Example: `secondlook predict runs/a videos.parquet --split test --views 1x1 -o a.parquet`
    """
    if test_modes:
        _refuse_beside_modes(run, views, top_k)
    from secondlook import tables
    from secondlook.predict.run import PredictSettings, predict, rows_of_split
    from secondlook.predict.scores import import_scores, write_top_k
    from secondlook.predict.views import Views
    from secondlook.predict.weights import load_run

    cluster = cluster_of(engine, ray_address, ray_workers)
    table = tables.read(tables.VIDEOS, videos)
    if run.suffix.lower() in (".csv", ".npz") and not run.is_dir():
        if cluster is not None:
            raise BadValue(engine, "scores made elsewhere are only copied", "Leave out --engine.")
        done = import_scores(run, table, output, split)
    else:
        settings = PredictSettings(
            split=split, views=Views.parse(views), fuse=fuse, batch_size=batch_size,  # type: ignore[arg-type]
            precision=precision, device=device, workers=workers, timeout_s=timeout, root=root,  # type: ignore[arg-type]
            cache=None if no_cache else cache or run.parent / ".frame-cache",
        )  # fmt: skip
        model = load_run(run, which)  # type: ignore[arg-type]

        def one(output: Path, settings: PredictSettings, words: str = "predicting") -> PredictResult:
            with progress(words, len(rows_of_split(table, split))) as advance:
                on_step = counted(advance)
                try:
                    if cluster is not None:
                        from secondlook.bulk import predict as bulk

                        return bulk.predict(model, table, output, settings, cluster, on_step=on_step)
                    return predict(model, table, output, settings, on_step=on_step)
                except KeyboardInterrupt:
                    typer.echo("What is predicted so far is kept; the same command goes on with it.", err=True)
                    raise

        if test_modes:
            _four(model, output, settings, one, as_json)
            return
        done = one(output, settings)
    words = f"{done.videos} videos, {done.views} views, {done.classes} classes: {done.path}"
    if done.resumed:
        words = f"{done.resumed} videos were predicted before.\n{words}"
    if done.unusable:
        words += f"\n{done.unusable} videos could not be used: their logits are NaN, columns status and reason say why."
    if top_k is not None:
        write_top_k(tables.read(tables.PREDICTIONS, output), k, top_k)
        words += f"\nBest {k} classes of each video: {top_k}"
    finish(asdict(done), words, as_json, done.unusable)


def _refuse_beside_modes(run: Path, views: str, top_k: Path | None) -> None:
    if views != "1x1":
        raise BadValue(views, "the four test modes have views of their own", "Leave out --views or --test-modes.")
    if top_k is not None:
        raise BadValue(str(top_k), "best classes are written of one table", "Leave out --top-k or --test-modes.")
    if run.suffix.lower() in (".csv", ".npz") and not run.is_dir():
        raise BadValue(str(run), "scores made elsewhere have no other views", "Leave out --test-modes.")


def _four(
    model: LoadedModel,
    folder: Path,
    settings: PredictSettings,
    one: Callable[[Path, PredictSettings, str], PredictResult],
    as_json: bool,
) -> None:
    """The four test modes: a predictions table each, and their accuracy side by side."""
    from secondlook.audit import read_video_rows
    from secondlook.evaluate.modes_table import modes_table
    from secondlook.predict.modes import MODES, four_modes

    if folder.is_file():
        raise BadValue(str(folder), "is a file; four test modes need a folder", "Give -o a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    done = {
        mode: one(folder / f"{mode}.parquet", replace(settings, views=views), MODES[mode])
        for mode, views in four_modes(model.card.clip).items()
    }
    found = modes_table({mode: read_video_rows(result.path) for mode, result in done.items()}, model.card.name)
    written = found.write(folder)
    facts = {mode: asdict(result) for mode, result in done.items()}
    told = {"n": found.n, "top_k": found.top_k, "percent": found.percent, "modes": facts, "wrote": written}
    words = "\n".join(f"{MODES[mode]}: {result.views} views: {result.path}" for mode, result in done.items())
    unusable = max(result.unusable for result in done.values())
    finish(told, f"{words}\n\n{found.markdown()}\n{written[0]}, {written[1]}", as_json, unusable)
