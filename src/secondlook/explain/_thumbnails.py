"""Frames of a clip in a figure: which ones, and where."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

Frames = npt.NDArray[np.uint8]


def middles(steps: int, frames: int) -> list[int]:
    """The frame in the middle of each of so many equal parts of a clip."""
    return [(2 * step + 1) * frames // (2 * steps) for step in range(steps)]


def thumbnail(axes: Axes, frame_HWC: Frames, left: float, bottom: float, width: float, height: float) -> None:
    """A picture at a place of the axes, in their own coordinates; it does not change their limits."""
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(frame_HWC, extent=(left, left + width, bottom, bottom + height), aspect="auto", zorder=2)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
