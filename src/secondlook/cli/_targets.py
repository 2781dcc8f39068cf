"""`train --compare-targets`: the same recogniser learns given labels, reassessed sets and shares of votes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from secondlook.cli._epochs import epochs_bar
from secondlook.cli._say import finish, progress
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
    "k-hot": "reassessed sets, a sigmoid a label",
    "soft": "shares of votes",
    "one-hot": "given labels",
}
"""Name of each run, and what it learns. Sets come first: settings that do not go with them are refused at once."""


def compare(
    videos: Path, labels: Path | None, output: Path, settings: TrainSettings, published: Path | None, *,
    restart: bool, as_json: bool,
) -> None:  # fmt: skip
    """Trains a run for each target, predicts one split with each, and scores them against given and reassessed labels.

    Writes `output/TARGET/` (runs), `output/TARGET.parquet` (predictions of split test, or val where there is no test)
    and `output/scores.json`. The best epoch of each is by what it learns, on split val. The same command goes on where
    it was stopped.

    Raises:
        BadValue: without a labels table, with soft targets or several processes, or with nothing to measure on.
    """
    from secondlook import tables
    from secondlook.cli.evaluate import say_scores, words
    from secondlook.evaluate.scores import write

    if labels is None:
        raise BadValue("--compare-targets", "needs label sets to learn from", "Give --labels labels.parquet.")
    if settings.soft_targets:
        raise BadValue("--soft-targets", "is one of the three that are compared", "Leave it out.")
    if settings.devices * settings.nodes > 1:
        raise BadValue(
            settings.devices * settings.nodes, "the three are trained in one process, one after the other",
            "Leave --devices out, or train them apart: without --labels, with it, and with --soft-targets.",
        )  # fmt: skip
    table, reassessed = tables.read(tables.VIDEOS, videos), tables.read(tables.LABELS, labels)
    split = _measured_split(table)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    runs: dict[str, TrainResult] = {}
    predicted: dict[str, PredictResult] = {}
    for target, learned in TARGETS.items():
        console.print(f"{target}: {learned}", markup=False)
        of_target = replace(settings, soft_targets=target == "soft")
        sets, depends_on = (None, {}) if target == "one-hot" else (reassessed, {"labels": labels})
        if published is not None:
            depends_on = {**depends_on, "weights": published}
        with _stoppable(console, output):
            runs[target] = _train(console, table, output / target, of_target, sets, depends_on, restart)
            predicted[target] = _predict(table, runs[target].run, output / f"{target}.parquet", of_target, split)
    paths = {name: predicted[name].path for name in sorted(TARGETS, key=("one-hot", "k-hot", "soft").index)}
    looked_at = _looked_at(table, reassessed, split)
    inputs = [videos, labels] if looked_at else [videos]
    scores = _score(paths, table, reassessed if looked_at else None, split, settings.seed)
    made = tables.provenance("evaluate", {"split": split}, [*paths.values(), *inputs], settings.seed)
    wrote = write(scores, output / "scores.json", made)
    if not as_json:
        say_scores(scores)
    said = [] if looked_at else [f"no video of split {split} was reassessed: accuracy is against given labels only."]
    said += [f"measured on split {split}; {words({**scores, 'wrote': str(wrote)})}"]
    for name, run in runs.items():
        said += [f"note: {name}: {note}." for note in run.notes]
        if run.unreadable:
            said.append(f"{name}: {run.unreadable} videos could not be used; see {run.run / 'unreadable.csv'}.")
    result = {**scores, "measured_split": split, "runs": {n: str(r.run) for n, r in runs.items()}, "wrote": str(wrote)}
    unusable = max(predicted[name].unusable + runs[name].unreadable for name in TARGETS)
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
    depends_on: Mapping[str, Path], restart: bool,
) -> TrainResult:  # fmt: skip
    from secondlook import tables
    from secondlook.train.loop import train

    inputs = {name: tables.file_sha256(path) for name, path in depends_on.items()}
    with epochs_bar(console) as tell:
        return train(videos, run, settings, reassessed=reassessed, inputs=inputs, restart=restart, on_progress=tell)


def _predict(videos: pa.Table, run: Path, output: Path, settings: TrainSettings, split: str) -> PredictResult:
    from secondlook.predict.run import PredictSettings, predict, rows_of_split
    from secondlook.predict.weights import load_run

    alike = PredictSettings(
        split=split, batch_size=settings.batch_size, workers=settings.workers, timeout_s=settings.timeout_s,
        cache=settings.cache, root=settings.root,
    )  # fmt: skip
    before = 0
    with progress(f"predicting {split}", len(rows_of_split(videos, split))) as advance:

        def on_step(done: int, _: int) -> None:
            nonlocal before
            advance(done - before)
            before = done

        return predict(load_run(run), videos, output, alike, on_step=on_step)


def _looked_at(videos: pa.Table, reassessed: pa.Table, split: str) -> bool:
    import pyarrow.compute as pc

    measured = videos.filter(pc.equal(videos["split"], split))["video_id"]
    return bool(pc.any(pc.is_in(reassessed["video_id"], value_set=measured.combine_chunks())).as_py())


def _score(
    predicted: Mapping[str, Path], videos: pa.Table, reassessed: pa.Table | None, split: str, seed: int
) -> dict[str, Any]:
    from secondlook import tables
    from secondlook.audit import align, read_video_rows
    from secondlook.evaluate.scores import score_aligned

    models = {name: read_video_rows(path) for name, path in predicted.items()}
    cards = {name: str(tables.made(table).get("model", "")) for name, table in models.items()}
    return dict(score_aligned(align(models, videos, split=split), reassessed, cards=cards, split=split, seed=seed))
