"""What a training writes down as it goes: curves, videos that cannot be used, and how far it is."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from secondlook.errors import BadValue
from secondlook.layers.temporal_gate import gate_statistics
from secondlook.predict.loader import Batch

CURVES = ("epoch", "train_loss", "train_top1", "val_loss", "val_top1", "val_top3", "val_top5", "learning_rate")
"""First columns of curves.csv: no clock, so that a repeated run writes the same bytes. Empty cells: no validation.

Further ones are the parts of a loss that has several (`train_<part>`), and `open_rate`, the mean of the temporal gates.
"""


def read_curves(path: Path) -> list[dict[str, float]]:
    """Rows of a curves.csv as numbers, NaN for empty cells; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) if v else math.nan for k, v in row.items()} for row in csv.DictReader(file)]


class Curves(Callback):
    """Writes a row of `CURVES` an epoch.

    Raises:
        BadValue: at the end of an epoch whose loss is no number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the rows of complete epochs; one that was written just before a crash is written again."""
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= trainer.current_epoch]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds this epoch."""
        metrics: dict[str, Any] = {**trainer.callback_metrics, "learning_rate": pl_module.learning_rate}
        metrics |= _gates(trainer, pl_module)
        loss = float(metrics.get("train_loss", 0.0))
        if not math.isfinite(loss):
            raise BadValue(loss, f"the loss of epoch {trainer.current_epoch + 1} is no number any more",
                           "Give a lower --lr, a longer --warmup, or --precision 32.")  # fmt: skip
        further = sorted(metrics.keys() - set(CURVES))
        names = [*CURVES[1:], *further]
        numbers = {name: f"{float(metrics[name]):.9g}" if name in metrics else "" for name in names}
        self.rows.append({"epoch": str(trainer.current_epoch + 1), **numbers})
        if trainer.is_global_zero:
            part = self.path.with_name(self.path.name + ".part")
            with part.open("w", newline="", encoding="utf-8") as file:
                columns = list(dict.fromkeys(name for row in self.rows for name in row))
                writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)
            part.replace(self.path)


def _gates(trainer: Trainer, module: LightningModule) -> dict[str, float]:
    """Mean open rate of the temporal gates, if there are any; that of each goes to TensorBoard."""
    network = module.get_submodule("model")
    rates = getattr(module, "open_rates", {}) or gate_statistics(network)
    rates = {name: rate for name, rate in rates.items() if math.isfinite(rate)}
    if not rates:
        return {}
    if trainer.logger is not None:
        named = {f"open_rate/{name}": rate for name, rate in rates.items()}
        trainer.logger.log_metrics(named, step=trainer.current_epoch)
    return {"open_rate": sum(rates.values()) / len(rates)}


class Unreadable(Callback):
    """Keeps a list of the videos that could not be used: each once, in the order of their names.

    Args:
        path: CSV with `video_id, status, reason`; written when the first one is found.
        unusable: rows that the videos table says are unusable.
        train: rows that are trained on, in the order of the dataset.
        val: rows that are validated on.
    """

    def __init__(self, path: Path, unusable: pa.Table, train: pa.Table, val: pa.Table) -> None:
        self.path = path
        self.names = {"train": train["video_id"], "val": val["video_id"]}
        columns = (unusable[name].to_pylist() for name in ("video_id", "status", "reason"))
        self.found = {video_id: (status, reason) for video_id, status, reason in zip(*columns, strict=True)}
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.found |= {row["video_id"]: (row["status"], row["reason"]) for row in csv.DictReader(file)}
        if self.found:
            self._write()

    @property
    def failed(self) -> int:
        """Videos that could not be used, those set aside on purpose (`excluded`) not counted."""
        return sum(status != "excluded" for status, _ in self.found.values())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Looks for failures in a training batch."""
        self._look(trainer, "train", batch)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Looks for failures in a validation batch."""
        self._look(trainer, "val", batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Brings together what the devices found."""
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, self.found)
            self._add(trainer, {name: fact for found in gathered for name, fact in found.items()})

    def _look(self, trainer: Trainer, split: str, batch: Batch) -> None:
        failed = {self.names[split][f.row].as_py(): (f.status, f.reason) for f in batch.failed}
        self._add(trainer, failed)

    def _add(self, trainer: Trainer, found: Mapping[str, tuple[str, str]]) -> None:
        if found.keys() - self.found.keys():
            self.found = {**found, **self.found}
            if trainer.is_global_zero:
                self._write()

    def _write(self) -> None:
        part = self.path.with_name(self.path.name + ".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("video_id", "status", "reason"))
            writer.writerows((name, *fact) for name, fact in sorted(self.found.items()))
        part.replace(self.path)


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    epoch: int
    """Complete epochs."""
    epochs: int
    batch: int
    """Batches done since its start, those of epochs before a resume counted."""
    batches: int
    curve: Mapping[str, str]
    """The row of curves.csv of an epoch that has just ended; empty in between."""


class Watch(Callback):
    """Tells how far it is, after every batch and every epoch."""

    def __init__(self, tell: Callable[[Progress], None], batches: int, epochs: int, curves: Curves) -> None:
        self.tell, self.batches, self.epochs, self.curves = tell, batches, epochs, curves

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a batch."""
        done = trainer.current_epoch * self.batches + batch_idx + 1
        self._tell(trainer, Progress(trainer.current_epoch, self.epochs, done, self.batches * self.epochs, {}))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After an epoch."""
        epoch = trainer.current_epoch + 1
        total = self.batches * self.epochs
        self._tell(trainer, Progress(epoch, self.epochs, epoch * self.batches, total, self.curves.rows[-1]))

    def _tell(self, trainer: Trainer, progress: Progress) -> None:
        if trainer.is_global_zero:
            self.tell(progress)
