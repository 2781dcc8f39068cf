"""The training itself: run folder, network, data and Lightning's Trainer put together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from lightning.pytorch import Callback

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.train.checkpoint import Checkpoints, RunFolder
from secondlook.train.compose import helpers_of, objective_of
from secondlook.train.data import ClipData, choose_rows
from secondlook.train.dynamics import RecordDynamics
from secondlook.train.fit import fit
from secondlook.train.freeze import trainable
from secondlook.train.module import Recogniser
from secondlook.train.multigrid import multigrid_of
from secondlook.train.optim import rank
from secondlook.train.record import Curves, Progress, Unreadable, Watch, read_curves
from secondlook.train.settings import TrainSettings
from secondlook.train.start import card_of, start_model


@dataclass(frozen=True)
class TrainResult:
    """What a training led to."""

    run: Path
    epochs: int
    """Complete epochs in the run folder."""
    resumed: int
    """Of these, epochs that were there already."""
    best: Mapping[str, float]
    """Row of curves.csv of the best epoch; the last one where there is no validation."""
    last: Mapping[str, float]
    train_videos: int
    val_videos: int
    unreadable: int
    """Videos that could not be used (`unreadable.csv`), those set aside on purpose not counted."""
    notes: tuple[str, ...]
    """Sentences that the user should see."""
    clips_per_s: float
    """Training clips a second of this call, validation and writing included; 0 if nothing was left to do."""


def train(
    videos: pa.Table,
    run: str | Path,
    settings: TrainSettings | None = None,
    *,
    reassessed: pa.Table | None = None,
    inputs: Mapping[str, str] | None = None,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Trains a recogniser on split `train` of a videos table, or goes on with a run that was stopped.

    A run folder that holds a complete epoch of the same run is continued after it; the result is the same, bit for bit
    on one machine, as without the stop. Every random number comes from `settings.seed`; the caller's generator is left
    as it was. Videos that cannot be read are listed in `unreadable.csv`; the rest of their batch is trained on.

    Args:
        videos: a videos table with its label space.
        run: folder to write (`checkpoint` says what is in it).
        settings: see `TrainSettings`.
        reassessed: a labels table: train on its sets with the sigmoid loss (`losses.k_hot_cross_entropy`).
        inputs: name and SHA-256 of other files the result depends on; a run goes on only with the same.
        restart: throw away the run that is in the folder.
        on_progress: called after every batch and epoch.
        callbacks: further callbacks for Lightning's Trainer.

    Raises:
        BadValue: if settings, data or the folder's run do not fit.
        KeyboardInterrupt: after a ctrl-C, when everything is written.
    """
    settings, folder = settings or TrainSettings(), RunFolder(Path(run))
    labels = tables.label_space(videos)
    if reassessed is not None and (settings.label_smoothing or settings.swap_left_right):
        name = "label_smoothing" if settings.label_smoothing else "swap_left_right"
        raise BadValue(getattr(settings, name), f"{name} is not for training on label sets", "Leave it out.")
    rows = choose_rows(videos, labels, reassessed)
    helpers = helpers_of(settings, labels)
    card = helpers.card(card_of(settings))
    data = ClipData(videos, rows, card.clip, labels, settings)
    if settings.multigrid != "none":
        data.multigrid = multigrid_of(len(rows.train), card, len(labels), settings)
    batches = len(data.batches("train", world=settings.devices * settings.nodes))
    model, notes = start_model(card, labels, settings, reassessed is not None and not settings.soft_targets)
    objective, more = objective_of(settings, model, card, labels, data, helpers, reassessed)
    notes = (*notes, *more, *rows.notes, *data.notes)
    if not len(rows.val):
        if settings.schedule == "plateau":
            raise BadValue("plateau", "needs validation, and there is no split val", "Take --schedule cosine or step.")
        notes = (*notes, "there is no split val: the best weights are the last ones")
    done = folder.open(videos, settings, card, labels, {**(inputs or {}), **helpers.inputs}, restart)
    unreadable = Unreadable(folder.path / "unreadable.csv", rows.unusable, rows.train, rows.val)
    curves = Curves(folder.path / "curves.csv")
    module = Recogniser(
        model,
        settings,
        -(-batches // settings.accumulate),
        {"card": card.to_dict(), "labels": labels.to_dict(), "settings": settings.to_dict()},
        objective,
    )
    module.batch_rates = [grid.rate for grid in data.multigrid]
    watch: list[Callback] = [Watch(on_progress, batches, settings.epochs, curves)] if on_progress else []
    if settings.record_dynamics:
        watch.append(RecordDynamics(folder.path / "dynamics.parquet", rows.train))
    if settings.freeze:
        training, total = trainable(model)
        notes = (*notes, f"{training:,} of {total:,} parameters are trained; frozen: {', '.join(settings.freeze)}")
    checkpoints = Checkpoints(folder, settings.monitor, settings.checkpoint_steps)
    began_s = time.perf_counter()
    if done < settings.epochs:
        fit(
            module,
            data,
            folder,
            settings,
            [curves, unreadable, *watch, *callbacks, checkpoints],
        )
    clips = (settings.epochs - done) * len(rows.train)
    rows_of_curves = read_curves(curves.path)
    return TrainResult(
        run=folder.path,
        epochs=settings.epochs,
        resumed=done,
        best=_best(rows_of_curves, settings.monitor),
        last=rows_of_curves[-1],
        train_videos=len(rows.train),
        val_videos=len(rows.val),
        unreadable=unreadable.failed,
        notes=notes,
        clips_per_s=clips / (time.perf_counter() - began_s),
    )


def _best(rows: Sequence[Mapping[str, float]], monitor: str) -> Mapping[str, float]:
    """The row whose weights are the best: see `Checkpoints`."""
    if not rows or math.isnan(rows[-1]["val_top1"]):
        return rows[-1] if rows else {}
    return max(rows, key=lambda row: (*rank(monitor, row), -row["epoch"]))
