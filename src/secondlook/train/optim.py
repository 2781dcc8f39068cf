"""Optimisers and learning-rate schedules by name, as Lightning takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.train.settings import TrainSettings


def optimisation(model: nn.Module, settings: TrainSettings, steps_per_epoch: int) -> Any:
    """The optimiser of a training and its schedule in steps: what `configure_optimizers` gives.

    Args:
        model: whose parameters that require a gradient are trained; see `parameter_groups`.
        settings: of the training.
        steps_per_epoch: optimiser steps.
    """
    rate = settings.peak_learning_rate
    groups = parameter_groups(model, rate, settings.weight_decay)
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(groups, lr=rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(settings, step, steps_per_epoch))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


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


def rate_factor(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Part of the peak learning rate in a step: `(s + 1) / W` while warming up for W steps, then the schedule.

    Cosine: `(1 + cos(pi (s - W) / (S - W))) / 2` of S steps in all.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    total = settings.epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / warmup
    if settings.schedule == "none" or total <= warmup:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))
