"""What Lightning trains: a network, its loss, its optimiser and schedule.

Shapes: B clips, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric

from secondlook.predict.loader import Batch
from secondlook.train.freeze import freeze, hold
from secondlook.train.objective import GivenLabels, Objective
from secondlook.train.optim import optimisation
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
        # A loss that is not a number must be seen, not left out of the mean.
        self.train_loss, self.train_top1 = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")
        self.val_loss, self.val_top1 = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        if x_BCTHW.device.type == "cpu":
            x_BCTHW = x_BCTHW.contiguous(memory_format=torch.channels_last_3d)
        logits_BK: Tensor = self.model(x_BCTHW)
        return logits_BK

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds what the network draws in this step."""
        key = (self.settings.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        self.learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        hold(self.frozen)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss over the clips that could be read; a batch without any moves no weight by its gradient."""
        if not len(batch.index_B):
            return torch.stack([p.sum() for p in self.parameters()]).sum() * 0.0
        losses = self.objective.training(self, batch)
        self.train_loss.update(losses.loss_B.detach())
        self.train_top1.update(losses.correct_B)
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_top1", self.train_top1, on_step=False, on_epoch=True)
        for name, part_B in losses.parts.items():
            self.log(f"train_{name}", part_B.mean(), on_step=False, on_epoch=True, batch_size=len(part_B))
        return losses.loss_B.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and top-1 of the clips that could be read."""
        if len(batch.index_B):
            losses = self.objective.validation(self, batch)
            self.val_loss.update(losses.loss_B)
            self.val_top1.update(losses.correct_B)
            self.log("val_loss", self.val_loss, on_step=False, on_epoch=True)
            self.log("val_top1", self.val_top1, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        """See `optim.optimisation`."""
        trained = self.model if self.beside is None else Together(self.model, self.beside)
        return optimisation(trained, self.settings, self.steps_per_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Every checkpoint says by itself what it is of."""
        checkpoint["secondlook"] = {**self.about, "epochs_done": self.current_epoch + 1}
