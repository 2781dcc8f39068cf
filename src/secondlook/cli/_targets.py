"""`train --compare-targets`: the same recogniser learns given labels, reassessed sets and shares of votes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar
from secondlook.cli._say import counted, finish, progress
from secondlook.cli._teaching import BESIDE
from secondlook.errors import BadValue

if TYPE_CHECKING:
    import pyarrow as pa

    from secondlook.predict.run import PredictResult
    from secondlook.train.loop import TrainResult
    from secondlook.train.settings import TrainSettings

CompareTargets = Annotated[
    bool,
    typer.Option(
        "--compare-targets",
        help="With --labels: train on given labels, on sets and on shares of votes, and measure the three alike.",
        rich_help_panel=BESIDE,
    ),
]
TARGETS = {
    "one-hot": "given labels",
    "k-hot": "reassessed sets, a sigmoid a label",
    "soft": "shares of votes",
}
"""Name of each run, and what it learns."""


def compare(
    videos: Path, table: pa.Table, labels: Path | None, reassessed: pa.Table | None, output: Path,
    settings: TrainSettings, inputs: Mapping[str, str], *, restart: bool, as_json: bool,
) -> None:  # fmt: skip
    """Trains a run for each target, predicts one split with each, and scores them against given and reassessed labels.

    Writes `output/TARGET/` (runs), `output/TARGET.parquet` (predictions of split test, or val where there is no test)
    and `output/scores.json`. The best epoch of each is by what it learns, on split val. The same command goes on where
    it was stopped.

    Args:
        videos: where `table` was read from, as `labels` for `reassessed`.
        inputs: name and SHA-256 of the files that a run depends on, as `train` takes them.

    Raises:
        BadValue: without a labels table, with soft targets or several processes, or with nothing to measure on.
    """
    from secondlook import tables
    from secondlook.audit import align, read_video_rows
    from secondlook.cli.evaluate import say_scores, words
    from secondlook.evaluate.scores import score_aligned, write

    if labels is None or reassessed is None:
        raise BadValue("--compare-targets", "needs label sets to learn from", "Give --labels labels.parquet.")
    if settings.soft_targets:
        raise BadValue("--soft-targets", "is one of the three that are compared", "Leave it out.")
    if settings.devices * settings.nodes > 1:
        raise BadValue(
            settings.devices * settings.nodes, "the three are trained in one process, one after the other",
            "Leave --devices out, or train them apart: without --labels, with it, and with --soft-targets.",
        )  # fmt: skip
    split = _measured_split(table)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    runs: dict[str, TrainResult] = {}
    predicted: dict[str, PredictResult] = {}
    for target in sorted(TARGETS, key="one-hot".__eq__):  # last: settings that do not go with sets are refused at once
        console.print(f"{target}: {TARGETS[target]}", markup=False)
        of_target = replace(settings, soft_targets=target == "soft")
        with _stoppable(console, output):
            if target == "one-hot":
                of_given = {name: sha256 for name, sha256 in inputs.items() if name != "labels"}
                runs[target] = _train(console, table, output / target, of_target, None, of_given, restart)
            else:
                runs[target] = _train(console, table, output / target, of_target, reassessed, inputs, restart)
            predicted[target] = _predict(table, runs[target].run, output / f"{target}.parquet", of_target, split)
    paths = [predicted[target].path for target in TARGETS]
    models = dict(zip(TARGETS, map(read_video_rows, paths), strict=True))
    aligned = align(models, table, split=split)
    looked_at = not set(reassessed["video_id"].to_pylist()).isdisjoint(aligned.video_id_N.tolist())
    scores = dict(
        score_aligned(
            aligned, reassessed if looked_at else None, split=split, seed=settings.seed,
            cards={name: str(tables.made(model).get("model", "")) for name, model in models.items()},
        )
    )  # fmt: skip
    read = [*paths, videos, labels] if looked_at else [*paths, videos]
    wrote = write(scores, output / "scores.json", tables.provenance("evaluate", {"split": split}, read, settings.seed))
    if not as_json:
        say_scores(scores)
    said = [] if looked_at else [f"no video of split {split} was reassessed: accuracy is against given labels only."]
    said += [f"measured on split {split}; {words({**scores, 'wrote': str(wrote)})}"]
    for name in TARGETS:
        said += [f"note: {name}: {note}." for note in runs[name].notes]
        if runs[name].unreadable:
            unreadable = runs[name].run / "unreadable.csv"
            said.append(f"{name}: {runs[name].unreadable} videos could not be used; see {unreadable}.")
    folders = {name: str(runs[name].run) for name in TARGETS}
    unusable = max(predicted[name].unusable + runs[name].unreadable for name in TARGETS)
    result = {**scores, "measured_split": split, "runs": folders, "wrote": str(wrote)}
    finish(result, "\n".join(said), as_json, unusable)


def _measured_split(videos: pa.Table) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    from secondlook import tables

    usable = videos.filter(pc.is_in(videos["status"], value_set=pa.array(sorted(tables.USABLE))))
    there = set(usable["split"].unique().to_pylist())
    for split in ("test", "val"):
        if split in there:
            return split
    raise BadValue(
        ", ".join(sorted(there)) or "no split", "there is no usable video in split test or val to measure on",
        "Give `secondlook index` a split, as --splits 70/15/15.",
    )  # fmt: skip


@contextmanager
def _stoppable(console: Console, output: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"What there is in {output} is kept; the same command goes on with it.", markup=False)
        raise


def _train(
    console: Console, videos: pa.Table, run: Path, settings: TrainSettings, reassessed: pa.Table | None,
    inputs: Mapping[str, str], restart: bool,
) -> TrainResult:  # fmt: skip
    from secondlook.train.loop import train

    with epochs_bar(console) as tell:
        return train(videos, run, settings, reassessed=reassessed, inputs=inputs, restart=restart, on_progress=tell)


def _predict(videos: pa.Table, run: Path, output: Path, settings: TrainSettings, split: str) -> PredictResult:
    from secondlook.predict.run import PredictSettings, predict, rows_of_split
    from secondlook.predict.weights import load_run

    alike = PredictSettings(
        split=split, batch_size=settings.batch_size, workers=settings.workers, timeout_s=settings.timeout_s,
        cache=settings.cache, root=settings.root,
    )  # fmt: skip
    with progress(f"predicting {split}", len(rows_of_split(videos, split))) as advance:
        return predict(load_run(run), videos, output, alike, on_step=counted(advance))
