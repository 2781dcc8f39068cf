"""Optimisers and learning-rate schedules by name, as Lightning takes them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LinearLR, ReduceLROnPlateau

from secondlook.train.settings import TrainSettings
from secondlook.train.swats import Swats

MONITORED: Mapping[str, tuple[str, str]] = {
    "top1": ("val_top1", "max"),
    "loss": ("val_loss", "min"),
    "top1_top3": ("val_top1_top3", "max"),
}
"""By what epochs are compared: its name, and which way is better."""


def monitored(monitor: str, numbers: Mapping[str, Any]) -> float:
    """What epochs are compared by: `val_top1`, `val_loss`, or `(val_top1 + val_top3) / 2`; NaN if not measured."""
    if monitor == "top1_top3":
        return (float(numbers.get("val_top1", math.nan)) + float(numbers.get("val_top3", math.nan))) / 2
    return float(numbers.get(MONITORED[monitor][0], math.nan))


def rank(monitor: str, numbers: Mapping[str, Any]) -> tuple[float, float]:
    """Orders epochs, the best one highest: by what is monitored, of equals the lower validation loss."""
    sign = 1 if MONITORED[monitor][1] == "max" else -1
    return sign * monitored(monitor, numbers), -float(numbers["val_loss"])


def optimisation(model: nn.Module, settings: TrainSettings, steps_per_epoch: int) -> Any:
    """The optimiser of a training and its schedules: what `configure_optimizers` gives.

    Args:
        model: whose parameters that require a gradient are trained; see `parameter_groups`.
        settings: of the training.
        steps_per_epoch: optimiser steps.
    """
    rate = settings.peak_learning_rate
    groups = parameter_groups(model, rate, settings.weight_decay)
    optimizer = optimiser(groups, settings)
    warmup = warmup_steps(settings, steps_per_epoch)
    if settings.schedule != "plateau":
        factor = LambdaLR(optimizer, lambda step: rate_factor(settings, step, steps_per_epoch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}
    schedules: list[dict[str, Any]] = []
    if warmup > 1:
        rising = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
        schedules.append({"scheduler": rising, "interval": "step"})
    name, mode = MONITORED[settings.monitor]
    falling = ReduceLROnPlateau(optimizer, mode, settings.rate_decay, settings.patience, threshold=0.0)  # type: ignore[arg-type]
    # Lightning would step it after the checkpoint is written, and a resumed run would miss it: the module does it.
    schedules.append({"scheduler": falling, "interval": "epoch", "monitor": name, "frequency": sys.maxsize})
    return [optimizer], schedules


def step_plateau(trainer: Trainer, monitor: str) -> None:
    """Tells a schedule that waits for a plateau what the epoch that ends has come to."""
    reached = monitored(monitor, trainer.callback_metrics)
    for schedule in trainer.lr_scheduler_configs:
        if isinstance(schedule.scheduler, ReduceLROnPlateau) and not math.isnan(reached):
            schedule.scheduler.step(reached)


def optimiser(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser by name: `sgd` has momentum 0.9; `adam` adds weight decay to the gradient, `adamw` does not."""
    rate = settings.peak_learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if settings.optimizer == "swats":
        return Swats(groups, lr=rate, tolerance=settings.switch_tolerance)
    return torch.optim.AdamW(groups, lr=rate)


def parameter_groups(model: nn.Module, rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that are trained, by learning rate and decay: vectors (biases, scales of normalisations) do not decay.

    A network may ask for other rates: `learning_rate_scales()` gives, by the start of a parameter's name, the factor
    on its rate.
    """
    scales: Mapping[str, float] = getattr(model, "learning_rate_scales", dict)()
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            scale = next((factor for start, factor in scales.items() if name.startswith(start)), 1.0)
            groups.setdefault((scale, p.ndim > 1), []).append(p)
    return [
        {"params": params, "lr": rate * scale, "weight_decay": weight_decay if decays else 0.0}
        for (scale, decays), params in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def warmup_steps(settings: TrainSettings, steps_per_epoch: int) -> int:
    """W, optimiser steps of rising learning rate."""
    return settings.warmup_steps or round(settings.warmup_epochs * steps_per_epoch)


def rate_factor(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Part of the peak learning rate in a step: `(s + 1) / W` while warming up for W steps, then the schedule.

    * cosine: `(1 + cos(pi (s - W) / (S - W))) / 2` of S steps in all.
    * step: `decay^n` after n of the milestones, each the number of epochs that were trained before.
    """
    warmup = warmup_steps(settings, steps_per_epoch)
    total = settings.epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "step":
        return settings.rate_decay ** sum(step >= epoch * steps_per_epoch for epoch in settings.milestones)
    if settings.schedule != "cosine" or total <= warmup:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))
