"""What Lightning trains: a network, its loss, its optimiser and schedule.

Shapes: B clips, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric

from secondlook.layers.temporal_gate import (
    gate_counts,
    gate_statistics,
    reset_gate_statistics,
    restore_gate_counts,
)
from secondlook.predict.loader import Batch
from secondlook.train.freeze import freeze, hold
from secondlook.train.losses import is_among
from secondlook.train.objective import GivenLabels, Objective
from secondlook.train.optim import optimisation, step_plateau
from secondlook.train.running import restore_running_means, running_means, running_part
from secondlook.train.settings import TrainSettings


class Together(nn.Module):
    """A network and what is trained beside it, as one thing to optimise; never called.

    Args:
        model: may ask for learning rates of its own.
        beside: learns at the usual rate.
    """

    def __init__(self, model: nn.Module, beside: nn.Module) -> None:
        super().__init__()
        self.model, self.beside = model, beside

    def learning_rate_scales(self) -> dict[str, float]:
        """Those of the network."""
        scales: dict[str, float] = getattr(self.model, "learning_rate_scales", dict)()
        return {f"model.{start}": factor for start, factor in scales.items()}


class Recogniser(LightningModule):
    """A network in training.

    Every step seeds torch's generator from `(seed, epoch, step, device)`, so dropout does not depend on what was run
    before, and a resumed run draws what an uninterrupted one draws.

    Args:
        model: the network, `x_BCTHW -> logits_BK`.
        settings: the training's settings.
        steps_per_epoch: optimiser steps.
        about: what is kept in every checkpoint, JSON values (card, labels, settings).
        objective: what is minimised; None for cross-entropy on the given labels.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        steps_per_epoch: int,
        about: dict[str, Any],
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.frozen = freeze(model, settings.freeze)
        """Not trained. A tuple, so that each stays the network's own submodule."""
        self.model, self.settings, self.steps_per_epoch, self.about = model, settings, steps_per_epoch, about
        self.objective: Objective = objective or GivenLabels(settings.label_smoothing)
        self.beside: nn.Module | None = getattr(self.objective, "trained", None)
        """Trained with the network and kept in checkpoints, but not a part of it (an adapter to a teacher)."""
        self.learning_rate = 0.0
        """Of the last step."""
        self.train_logits_BK: Tensor | None = None
        """Of the last step, detached: what callbacks may read of it."""
        self.batch_rates: Sequence[float] = ()
        """Factor on the learning rate in each batch of an epoch (multigrid); empty for none."""
        self.batches_done = 0
        """Of the epoch that is being trained, when a checkpoint is written within it."""
        # A loss that is not a number must be seen, not left out of the mean.
        self.train_loss, self.train_top1 = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.train_parts = nn.ModuleDict()
        """Means of the parts of the loss, by name."""
        self.val_loss, self.val_top1 = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.val_top3, self.val_top5 = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.open_rates: dict[str, float] = {}
        """Share of the last epoch's training clips for which each temporal gate was open."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        if x_BCTHW.device.type == "cpu":
            x_BCTHW = x_BCTHW.contiguous(memory_format=torch.channels_last_3d)
        logits_BK: Tensor = self.model(x_BCTHW)
        return logits_BK

    def on_train_epoch_start(self) -> None:
        """Temporal gates count anew in every epoch, but for one that is gone on with."""
        if not self.trainer.fit_loop.epoch_loop.batch_progress.current.ready:
            reset_gate_statistics(self.model)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds what the network draws in this step."""
        key = (self.settings.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        self.learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"] * self._rate(batch_idx)
        hold(self.frozen)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss over the clips that could be read; a batch without any moves no weight by its gradient."""
        if not len(batch.index_B):
            return torch.stack([p.sum() for p in self.parameters()]).sum() * 0.0
        losses = self.objective.training(self, batch)
        self.train_logits_BK = losses.logits_BK
        self.train_loss.update(losses.loss_B.detach())
        self.train_top1.update(losses.correct_B)
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_top1", self.train_top1, on_step=False, on_epoch=True)
        for name, part_B in losses.parts.items():
            part = running_part(self, name)
            part.update(part_B)
            self.log(f"train_{name}", part, on_step=False, on_epoch=True, metric_attribute=f"train_parts.{name}")
        return losses.loss_B.mean()

    def on_validation_start(self) -> None:
        """Keeps what the gates did in training, before validation counts as well."""
        self.open_rates = gate_statistics(self.model)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss, top-1, top-3 and top-5 of the clips that could be read."""
        if len(batch.index_B):
            losses = self.objective.validation(self, batch)
            top1_B, top3_B = losses.correct_B, is_among(losses.logits_BK, losses.target_BK, 3)
            numbers = {
                "loss": losses.loss_B,
                "top1": top1_B,
                "top3": top3_B,
                "top5": is_among(losses.logits_BK, losses.target_BK, 5),
            }
            for name, value_B in numbers.items():
                metric = self.get_submodule(f"val_{name}")
                assert isinstance(metric, MeanMetric)
                metric.update(value_B)
                self.log(f"val_{name}", metric, on_step=False, on_epoch=True)

    def on_train_epoch_end(self) -> None:
        """Before the epoch's checkpoint is written, see `optim.step_plateau`."""
        step_plateau(self.trainer, self.settings.monitor)

    def configure_optimizers(self) -> Any:
        """See `optim.optimisation`."""
        trained = self.model if self.beside is None else Together(self.model, self.beside)
        return optimisation(trained, self.settings, self.steps_per_epoch)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """A step at the batch's learning rate: of several accumulated batches, the last one's. The schedules see none
        of it."""
        rate = self._rate(batch_idx)
        before = [group["lr"] for group in optimizer.param_groups]
        for group, was in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = was * rate
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        for group, was in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = was

    def _rate(self, batch_idx: int) -> float:
        return self.batch_rates[batch_idx] if self.batch_rates else 1.0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Every checkpoint says by itself what it is of, and how far it is."""
        checkpoint["secondlook"] = {
            **self.about,
            "epochs_done": self.current_epoch + (self.batches_done == 0),
            "batches_done": self.batches_done,
            "devices": self.trainer.world_size,
        }
        if self.batches_done:
            checkpoint["running"] = running_means(self)
        checkpoint["gates"] = gate_counts(self.model)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes back what is no weight."""
        restore_gate_counts(self.model, checkpoint.get("gates", {}))
        restore_running_means(self, checkpoint.get("running", []))
