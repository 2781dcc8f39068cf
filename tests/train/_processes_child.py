"""A training of a network without batch normalisation, in as many processes as asked for: `TABLE RUN DEVICES CACHE`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from secondlook import tables
from secondlook.train import loop
from tests.train.toy import toy_settings


def no_norm(*_: object) -> tuple[nn.Module, tuple[str, ...]]:
    """A network whose clips do not see each other."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool3d((4, 2, 2)), nn.Flatten(), nn.Linear(32, 2)), ()


def train(table: str | Path, run: str | Path, devices: int, cache: str | Path) -> None:
    """Two epochs with four clips a step, whatever the number of devices; `loop.start_model` is `no_norm`."""
    settings = toy_settings(
        devices=devices, batch_size=4 // devices, optimizer="sgd", learning_rate=0.1, epochs=2,
        cache=Path(cache), checkpoint_steps=1,
    )  # fmt: skip
    loop.train(tables.read(tables.VIDEOS, table), run, settings)


if __name__ == "__main__":
    loop.start_model = no_norm  # type: ignore[assignment]
    train(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
