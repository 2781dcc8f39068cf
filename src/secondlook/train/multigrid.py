"""Batches of multigrid training: which rows at which shape, and whether the network takes the shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.models._recogniser import Limits
from secondlook.predict.loader import Key
from secondlook.predict.weights import build_model
from secondlook.train.data import Batches
from secondlook.train.settings import TrainSettings
from secondlook.video.multigrid import Grid, Least, grids, schedule, sizes


class MultigridBatches(Batches):
    """Batches of one epoch at the shapes of a multigrid schedule: every row once.

    Order and shapes depend on `(seed, epoch)` alone. All epochs have the same number of batches, and so have all
    devices. A batch holds at most the clips of its shape, and fewer where the rows do not fill the last cycle, all
    batches alike. Batch normalisation sees the statistics of each shape in turn, and of 8 times the clips early in the
    long cycle; its running means are fed last by clips of all frames, as validation has them.

    Args:
        rows: of the epoch.
        batches: what `video.multigrid.schedule` gave for these rows and devices.
        seed: of the order.
        rank: which device.
        world: number of devices.
    """

    def __init__(self, rows: int, batches: Sequence[Grid], *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        super().__init__(rows, rows, shuffle=True, seed=seed, rank=rank, world=world)
        self.grids = tuple(batches)
        self.batches = len(self.grids)

    @property
    def rates(self) -> tuple[float, ...]:
        """Factor on the learning rate in each batch."""
        return tuple(grid.rate for grid in self.grids)

    def _cut(self, order_N: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        ends = np.cumsum(sizes(self.rows, list(self.grids), self.world).ravel())
        yield from np.split(order_N, ends[:-1])[self.rank :: self.world]

    def _shape(self, batch: int) -> tuple[int, int, int]:
        grid = self.grids[batch]
        return grid.frames, grid.height, grid.width

    def _keys(self, epoch: int, batch: int, rows: NDArray[np.int64]) -> list[Key]:
        shape = self._shape(batch)
        return [Key(row, epoch, shape=shape) for row in rows.tolist()]


def multigrid_of(rows: int, card: ModelCard, labels: int, settings: TrainSettings) -> list[Grid]:
    """The batches of an epoch under the settings' multigrid, when the network was found to take every shape.

    Args:
        rows: of the epoch.
        card: of the network.
        labels: number of classes.
        settings: of the training.

    Raises:
        BadValue: if the network is bound to one number of frames or size, is refused a shape, or rows are too few.
    """
    with torch.device("meta"):
        model = build_model(card, labels, settings.seed)
    clip = card.clip
    base = Grid(settings.batch_size, clip.frames, clip.height, clip.width, 1.0)
    limits: Limits = getattr(model, "limits", None) or Limits()
    least = Least(limits.min_frames, limits.frames_multiple, limits.min_size)
    check_shapes(model, card, sorted({grid[1:4] for part in grids(base, settings.multigrid, least) for grid in part}))
    return schedule(rows, base, settings.multigrid, settings.devices * settings.nodes, least)


def check_shapes(model: nn.Module, card: ModelCard, shapes: Sequence[tuple[int, int, int]]) -> None:
    """Tries a network on clips of each shape, without computing anything.

    Args:
        model: on torch's device `meta`.
        card: its card.
        shapes: frames, height and width.

    Raises:
        BadValue: with the first shape it does not take, and why.
    """
    limits: Limits = getattr(model, "limits", None) or Limits()
    for shape in shapes:
        why = limits.broken(*shape)
        if not why:
            try:
                model(torch.empty(2, card.clip.channels, *shape, device="meta"))
            except (BadValue, RuntimeError, ValueError, IndexError, AssertionError) as error:
                why = (str(error) or type(error).__name__).splitlines()[0]
        if why:
            raise BadValue(
                "x".join(map(str, shape)),
                f"a shape of multigrid that {card.name} does not take: {why}",
                "Give another --multigrid, more --frames, a larger --size, or a head that takes any number of frames.",
            )
