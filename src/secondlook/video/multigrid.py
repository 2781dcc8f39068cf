"""Multigrid batch shapes: fewer frames and pixels, as many more clips, so that every step costs the same.

Base batch: B clips of T frames, H x W pixels.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, UnknownName

Multigrid = Literal["none", "long", "short", "both"]
LONG = ((4, 2), (2, 2), (2, 1), (1, 1))
"""Long cycle: the divisor of the frames and that of the area, H / sqrt(a) x W / sqrt(a), in the order of an epoch."""
SHORT = (4, 2, 1)
"""Short cycle: the divisor of the area in each step in turn."""


class Shape(NamedTuple):
    """A batch before rounding: `clips * frames * height * width` is that of the base."""

    clips: float
    frames: float
    height: float
    width: float

    @property
    def volume(self) -> float:
        """What the batch costs."""
        return self.clips * self.frames * self.height * self.width


class Grid(NamedTuple):
    """A batch as it is made: whole clips, frames and pixels."""

    clips: int
    """On each device, at most."""
    frames: int
    height: int
    width: int
    rate: float
    """Factor on the learning rate: the clips of the long cycle's batch over those of the base."""


def shrunk(base: Shape, frames_by: float, area_by: float) -> Shape:
    """A base batch with fewer frames and pixels and as many more clips: `(B f a, T / f, H / sqrt(a), W / sqrt(a))`."""
    side = math.sqrt(area_by)
    return Shape(base.clips * frames_by * area_by, base.frames / frames_by, base.height / side, base.width / side)


def cycle(base: Shape, mode: Multigrid) -> tuple[tuple[Shape, ...], ...]:
    """Shapes of an epoch: for each part of the long cycle, those that its steps take in turn.

    Source: Wu et al. 2020, "A Multigrid Method for Efficiently Training Video Models"; the shapes are those of
    `srtg-mtnet-classreg-visualisation`, section 2.16. The short cycle shrinks the shape that the long one has reached.

    Raises:
        UnknownName: if there is no such mode.
    """
    if mode not in get_args(Multigrid):
        raise UnknownName("multigrid", mode, get_args(Multigrid))
    long = LONG if mode in ("long", "both") else ((1, 1),)
    short = SHORT if mode in ("short", "both") else (1,)
    return tuple(tuple(shrunk(base, frames_by, area_by * more) for more in short) for frames_by, area_by in long)


class Least(NamedTuple):
    """The smallest clips that a network takes."""

    frames: int = 1
    frames_multiple: int = 1
    side: int = 1
    """Pixels."""


def at_least(shape: Shape, base: Shape, least: Least) -> Shape:
    """A shape that is too small for the network, as small as it takes, with as many fewer clips.

    The frames become the next multiple of `frames_multiple`, both sides grow alike; neither beyond the base's.
    """
    frames = shape.frames
    if frames < least.frames or round(frames) % least.frames_multiple:
        multiple = least.frames_multiple
        frames = min(base.frames, float(multiple * math.ceil(max(frames, least.frames) / multiple)))
    grown = max(1.0, least.side / min(shape.height, shape.width))
    height, width = min(base.height, shape.height * grown), min(base.width, shape.width * grown)
    return Shape(shape.clips * (shape.frames / frames) * (shape.height / height) * (shape.width / width),
                 frames, height, width)  # fmt: skip


def grids(base: Grid, mode: Multigrid, least: Least = Least()) -> tuple[tuple[Grid, ...], ...]:  # noqa: B008
    """`cycle` in whole numbers, each the nearest."""
    exact = Shape(*map(float, base[:4]))
    found = []
    for part in cycle(exact, mode):
        shapes = [at_least(shape, exact, least) for shape in part]
        rate = shapes[-1].clips / exact.clips  # the short cycle ends on the shape of the long one
        found.append(tuple(_whole(shape, rate) for shape in shapes))
    return tuple(found)


def _whole(shape: Shape, rate: float) -> Grid:
    clips, frames, height, width = (max(1, round(number)) for number in shape)
    return Grid(clips, frames, height, width, rate)


def schedule(rows: int, base: Grid, mode: Multigrid, world: int = 1, least: Least = Least()) -> list[Grid]:  # noqa: B008
    """The batches of an epoch, in their order; all epochs have the same.

    The parts of the long cycle have equally many steps (to within one), and there are as few steps as can show every
    row once: an epoch costs less than one of base batches, which is the gain. Few rows fill no batch.

    Args:
        rows: of the epoch.
        base: batch of one device, and shape, without multigrid.
        mode: which cycles.
        world: devices.
        least: what the network takes.

    Raises:
        BadValue: if there are too few rows for every shape of the cycle to have one on each device.
    """
    parts = grids(base, mode, least)
    steps = len(parts) * len(parts[0])
    if rows < steps * world:
        raise BadValue(rows, f"rows are fewer than the {steps * world} batches of one multigrid cycle",
                       "Give --multigrid none.")  # fmt: skip
    while True:
        batches = [parts[len(parts) * i // steps][i % len(parts[0])] for i in range(steps)]
        room = world * sum(batch.clips for batch in batches)
        if room >= rows:
            return batches
        steps = max(steps + 1, steps * rows // (room + world * max(batch.clips for batch in batches)))


def sizes(rows: int, batches: list[Grid], world: int = 1) -> npt.NDArray[np.int64]:
    """Rows of each batch on each device, `N x world`: in proportion to its clips, from 1 to as many."""
    room = np.repeat([batch.clips - 1 for batch in batches], world).astype(np.int64)
    more = rows - len(room)
    ends = np.cumsum(room) * more // max(1, int(room.sum()))
    found: npt.NDArray[np.int64] = (1 + np.diff(ends, prepend=0)).reshape(len(batches), world)
    return found


def frame_choice(frames: int, wanted: int) -> npt.NDArray[np.int64]:
    """Which of T frames a clip of fewer keeps: uniformly, the first one always, `floor(i T / t)`."""
    chosen: npt.NDArray[np.int64] = np.arange(wanted, dtype=np.int64) * frames // wanted
    return chosen
