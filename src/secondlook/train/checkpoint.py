"""The run folder: what a training writes, whether it may be continued, and the best and last weights.

```
RUN/settings.json    how it was made       card.json, labels.json   input recipe and classes
RUN/split.json       which rows it saw     curves.csv, tensorboard  loss and top-1 of every epoch
RUN/best.safetensors, last.safetensors     weights alone, for `predict`
RUN/checkpoints/best.ckpt, last.ckpt       with the state of the optimiser, for going on
RUN/unreadable.csv   videos that could not be used; not there if all could
RUN/dynamics.parquet what the network said of each training video in each epoch (`dynamics`)
```
"""

from __future__ import annotations

import math
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from secondlook import tables
from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.predict.loader import fingerprint
from secondlook.predict.weights import read_json, save_weights, write_json
from secondlook.train.optim import monitored, rank
from secondlook.train.settings import FREE, Monitor, TrainSettings

_OURS = (
    "settings.json", "card.json", "labels.json", "split.json", "curves.csv", "unreadable.csv", "best.safetensors",
    "last.safetensors", "checkpoints", "tensorboard", "dynamics.parquet",
)  # fmt: skip
"""What `restart` removes, and nothing else."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and how far it is."""

    path: Path

    @property
    def last(self) -> Path:
        """The checkpoint that a run goes on from: of the end of an epoch, or of a step within one."""
        return self.path / "checkpoints" / "last.ckpt"

    def epochs_done(self) -> int:
        """Complete epochs in the last checkpoint.

        Raises:
            BadValue: if it cannot be read.
        """
        return self.position()[0]

    def position(self) -> tuple[int, int, int]:
        """Complete epochs in the last checkpoint, batches of the next one that are done, and on how many devices.

        Raises:
            BadValue: if it cannot be read.
        """
        if not self.last.is_file():
            return 0, 0, 0
        try:
            about = torch.load(self.last, map_location="cpu", weights_only=True, mmap=True)["secondlook"]
        except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            what = (str(error) or type(error).__name__).splitlines()[0]
            raise BadValue(str(self.last), f"is no checkpoint that can be continued ({what})",
                           "Start over with --restart.") from None  # fmt: skip
        return int(about["epochs_done"]), int(about.get("batches_done", 0)), int(about.get("devices", 0))

    def start(self, devices: int) -> tuple[int, int]:
        """Epoch and batch that the run goes on with.

        Raises:
            BadValue: if it stopped within an epoch and the number of devices is another one now.
        """
        epochs, batches, before = self.position()
        if batches and before != devices:
            raise BadValue(devices, f"the run stopped within an epoch on {before} devices in all",
                           "Give as many until the end of the epoch, or --restart.")  # fmt: skip
        return epochs, batches

    def open(
        self,
        videos: pa.Table,
        settings: TrainSettings,
        card: ModelCard,
        labels: LabelSpace,
        inputs: Mapping[str, str],
        restart: bool,
    ) -> int:
        """Makes a new run folder, or checks that this one holds the same run.

        Args:
            videos: the videos table.
            settings: as they are now.
            card: of the model.
            labels: label space.
            inputs: name and SHA-256 of other inputs that the result depends on.
            restart: throw away what is there.

        Returns:
            The number of epochs that are done.

        Raises:
            BadValue: if the folder holds something else, another run, or a run on another split; names the difference.
        """
        about = {
            "command": "train",
            "settings": settings.to_dict(),
            "seed": settings.seed,
            "version": tables.provenance("train", {})["version"],
            "inputs": dict(inputs),
        }
        split = _split(videos)
        if (self.path / "settings.json").is_file():
            if not restart:
                self._check(about, split)
            elif _is_first_process():
                self._clear()
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise BadValue(str(self.path), "holds something that is not a run", "Give a new or empty folder.")
        if _is_first_process():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / "card.json", card.to_dict())
            write_json(self.path / "labels.json", labels.to_dict())
            write_json(self.path / "split.json", split)
            write_json(self.path / "settings.json", about)  # last: with it the folder is a run
        return self.epochs_done()

    def _check(self, about: Mapping[str, Any], split: Mapping[str, Any]) -> None:
        restart = "Give another folder, or --restart to throw this run away."
        before = read_json(self.path / "settings.json")
        for name, value in about["settings"].items():
            was = before["settings"].get(name)
            if was != value and name not in FREE:
                raise BadValue(value, f"{name} was {was!r} when {self.path} was started", restart)
        for name in sorted(before["inputs"].keys() | about["inputs"].keys()):
            if before["inputs"].get(name) != about["inputs"].get(name):
                raise BadValue(name, f"is not the file that {self.path} was started with", restart)
        was_split = read_json(self.path / "split.json")
        if was_split["rows"] != split["rows"]:
            raise BadValue(
                _in_words(split), f"{self.path} was trained on another split: {_in_words(was_split)}", restart
            )

    def _clear(self) -> None:
        for name in _OURS:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _split(videos: pa.Table) -> dict[str, Any]:
    counts = pc.value_counts(videos["split"]).to_pylist()
    return {
        "rows": fingerprint(videos),
        "fingerprint": tables.made(videos).get("fingerprint", ""),
        "dataset": tables.made(videos).get("dataset", ""),
        "videos": {count["values"]: count["counts"] for count in sorted(counts, key=lambda c: str(c["values"]))},
    }


def _in_words(split: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{number} {name or 'without split'}" for name, number in split["videos"].items())
    return f"split {split['rows'][:12]} ({counts})"


def _is_first_process() -> bool:
    """False in the further processes that Lightning starts for further devices."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("RANK", "0")) == 0


class Checkpoints(Checkpoint):
    """Writes the last and the best checkpoint and their weights at the end of every epoch.

    Best is the highest validation top-1 (or mean of top-1 and top-3, or lowest loss, as `monitor` says), of equals the
    lowest validation loss, of equals the earliest; without validation the last. `last.ckpt` is written last of all
    files: whatever a crash leaves behind, a run goes on from an epoch of which everything is there. Differs from
    Lightning's `ModelCheckpoint` in that order, in breaking ties, and in keeping no absolute path, so that a run folder
    can be moved.

    Within an epoch only `last.ckpt` is written, when the weights have just moved: every `every` steps, and when
    `stopping` is set. The last batch of an epoch writes none, for the end of the epoch does.

    Args:
        run: its folder.
        monitor: says which epoch is the best.
        every: optimiser steps from one checkpoint within an epoch to the next; 0 for none.
    """

    def __init__(self, run: RunFolder, monitor: Monitor = "top1", every: int = 0) -> None:
        self.run, self.monitor, self.every = run, monitor, every
        self.stopping = False
        """Set from outside: write a checkpoint as soon as that is possible, and raise KeyboardInterrupt."""
        self.in_batches = False
        """Whether training batches are being worked on, so that `stopping` will be seen soon."""
        self.best: tuple[float, float] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.best = tuple(state_dict["best"]) if state_dict["best"] else None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """From here on a stop waits for the end of the step."""
        self.in_batches = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes a checkpoint within the epoch if it is time, and stops if that was asked for."""
        done = batch_idx + 1
        if done >= trainer.num_training_batches:
            self.in_batches = False
        elif done % trainer.accumulate_grad_batches:
            return
        elif self.stopping or (self.every and trainer.global_step % self.every == 0):
            module: Any = pl_module
            module.batches_done = done
            part = self.run.last.with_suffix(".part")
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                part.replace(self.run.last)
            module.batches_done = 0
        if self.stopping:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes what this epoch led to."""
        metrics = trainer.callback_metrics
        score = None if math.isnan(monitored(self.monitor, metrics)) else rank(self.monitor, metrics)
        is_best = score is None or self.best is None or score > self.best
        if is_best:
            self.best = score
        folder = self.run.path
        names = ("best", "last") if is_best else ("last",)
        if trainer.is_global_zero:
            for name in names:
                save_weights(pl_module.get_submodule("model"), folder / f"{name}.safetensors")
        trainer.save_checkpoint(self.run.last.with_name(f"{names[0]}.ckpt"))
        if is_best and trainer.is_global_zero:
            part = self.run.last.with_suffix(".part")
            shutil.copyfile(self.run.last.with_name("best.ckpt"), part)
            part.replace(self.run.last)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """A run stopped before its first epoch ended leaves the weights it had by then, so that it can be looked at."""
        if trainer.is_global_zero and not (self.run.path / "last.safetensors").is_file():
            save_weights(pl_module.get_submodule("model"), self.run.path / "last.safetensors")
