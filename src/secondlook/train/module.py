"""What Lightning trains: a network, its loss, its optimiser and schedule.

Shapes: B clips, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from secondlook.predict.loader import Batch
from secondlook.train.freeze import freeze, hold
from secondlook.train.losses import LabelSets, cross_entropy, is_correct, k_hot_cross_entropy
from secondlook.train.settings import TrainSettings


class Recogniser(LightningModule):
    """A network in training.

    Every step seeds torch's generator from `(seed, epoch, step, device)`, so dropout does not depend on what was run
    before, and a resumed run draws what an uninterrupted one draws.

    Args:
        model: the network, `x_BCTHW -> logits_BK`.
        settings: the training's settings.
        steps_per_epoch: optimiser steps.
        about: what is kept in every checkpoint, JSON values (card, labels, settings).
        train_sets: reassessed sets of the training rows, for the sigmoid loss; None for cross-entropy.
        val_sets: those of the validation rows.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        steps_per_epoch: int,
        about: dict[str, Any],
        train_sets: LabelSets | None = None,
        val_sets: LabelSets | None = None,
    ) -> None:
        super().__init__()
        self.frozen = freeze(model, settings.freeze)
        """Not trained. A tuple, so that each stays the network's own submodule."""
        self.model, self.settings, self.steps_per_epoch, self.about = model, settings, steps_per_epoch, about
        self.train_sets, self.val_sets = train_sets, val_sets
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
        loss_B, correct_B = self._losses(batch, self.train_sets, self.settings.label_smoothing)
        self.train_loss.update(loss_B.detach())
        self.train_top1.update(correct_B)
        self.log("train_loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train_top1", self.train_top1, on_step=False, on_epoch=True)
        return loss_B.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss (without smoothing) and top-1 of the clips that could be read."""
        if len(batch.index_B):
            loss_B, correct_B = self._losses(batch, self.val_sets, 0.0)
            self.val_loss.update(loss_B)
            self.val_top1.update(correct_B)
            self.log("val_loss", self.val_loss, on_step=False, on_epoch=True)
            self.log("val_top1", self.val_top1, on_step=False, on_epoch=True)

    def _losses(self, batch: Batch, sets: LabelSets | None, smoothing: float) -> tuple[Tensor, Tensor]:
        logits_BK = self(batch.x_BCTHW).float()
        if sets is None:
            target_BK = functional.one_hot(batch.label_B, logits_BK.shape[1]).float()
            loss_B = cross_entropy(logits_BK, batch.label_B, smoothing)
        else:
            target_BK = sets.k_hot(batch.index_B)
            loss_B = k_hot_cross_entropy(logits_BK, target_BK)
        return loss_B, is_correct(logits_BK.detach(), target_BK)

    def configure_optimizers(self) -> Any:
        """SGD with momentum or AdamW, no decay of vectors, and the schedule in steps.

        A network may ask for other rates: `learning_rate_scales()` gives, by the start of a parameter's name, the
        factor on its rate.
        """
        scales: Mapping[str, float] = getattr(self.model, "learning_rate_scales", dict)()
        groups: dict[tuple[float, bool], list[Tensor]] = {}
        for name, p in self.model.named_parameters():
            if p.requires_grad:
                scale = next((factor for start, factor in scales.items() if name.startswith(start)), 1.0)
                groups.setdefault((scale, p.ndim > 1), []).append(p)
        rate = self.settings.peak_learning_rate
        ordered = [
            {"params": params, "lr": rate * scale, "weight_decay": self.settings.weight_decay if decays else 0.0}
            for (scale, decays), params in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ]
        optimizer: torch.optim.Optimizer
        if self.settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(ordered, lr=rate, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(ordered, lr=rate)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """Part of the peak learning rate in a step: `(s + 1) / W` while warming up for W steps, then the schedule.

        Cosine: `(1 + cos(pi (s - W) / (S - W))) / 2` of S steps in all.
        """
        warmup = round(self.settings.warmup_epochs * self.steps_per_epoch)
        total = self.settings.epochs * self.steps_per_epoch
        if step < warmup:
            return (step + 1) / warmup
        if self.settings.schedule == "none" or total <= warmup:
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Every checkpoint says by itself what it is of."""
        checkpoint["secondlook"] = {**self.about, "epochs_done": self.current_epoch + 1}
