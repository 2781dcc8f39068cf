"""Means over an epoch that is not over yet: kept in a checkpoint within it, and taken back when it is gone on with."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MeanMetric

State = dict[str, dict[str, Tensor]]
"""By name of a mean, its sum and its weight."""


def running_part(module: LightningModule, name: str) -> MeanMetric:
    """The mean of a part of the loss, `module.train_parts.<name>`; made when it is first asked for."""
    parts = module.get_submodule("train_parts")
    assert isinstance(parts, nn.ModuleDict)
    if name not in parts:
        parts[name] = MeanMetric(nan_strategy="disable").to(module.device)
    part = parts[name]
    assert isinstance(part, MeanMetric)
    return part


def running_means(module: LightningModule) -> list[State]:
    """The training means of each device; to be called on all of them."""
    mine: State = {
        name: {key: value.detach().cpu() for key, value in metric.metric_state.items() if isinstance(value, Tensor)}
        for name, metric in module.named_modules()
        if name.startswith("train_") and isinstance(metric, MeanMetric)
    }
    world = module.trainer.world_size
    if world == 1:
        return [mine]
    every: list[Any] = [None] * world
    torch.distributed.all_gather_object(every, mine)
    return every


def restore_running_means(module: LightningModule, states: list[State]) -> None:
    """Takes back what `running_means` gave; nothing of an empty list."""
    if not states:
        return
    for name, state in states[module.trainer.global_rank].items():
        parent, _, part = name.partition(".")
        metric = running_part(module, part) if part else module.get_submodule(parent)
        for key, value in state.items():
            setattr(metric, key, value.to(module.device))
