"""Figures of schedules: the shapes of multigrid batches over an epoch (matplotlib, no torch)."""

from __future__ import annotations

import math
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from secondlook.figure_files import BLUE, GREY, ORANGE, STYLE
from secondlook.video.multigrid import Multigrid, Shape, cycle

_TITLES = {
    "none": "(a) baseline",
    "long": "(b) long cycle",
    "short": "(c) short cycle",
    "both": "(d) long and short cycle",
}
_TIMES = 3
"""Short cycles drawn for each part of the long one."""


@mpl.rc_context(STYLE)
def multigrid(clips: int, frames: int, height: int, width: int) -> Figure:
    """Shapes of the batches of an epoch, step by step, without multigrid and with each of its cycles.

    Each step is a stack of frames seen from the front: as wide as the clip's width, as many sheets as it has frames,
    and below it a bar as high as the batch has clips (logarithmic), with their number. All cost the same
    (`srtg-mtnet-classreg-visualisation`, section 2.16, figure 4.6).

    Args:
        clips: B, the base batch.
        frames: T.
        height: H.
        width: W.
    """
    base = Shape(float(clips), float(frames), float(height), float(width))
    figure = Figure(figsize=(11.0, 9.6), layout="constrained")
    panels = figure.subplots(4, 1)
    for axes, mode in zip(panels, get_args(Multigrid), strict=True):
        parts = cycle(base, mode)
        each = _TIMES if len(parts[0]) > 1 or len(parts) == 1 else 3
        steps = [part[i % len(part)] for part in parts for i in range(each * (1 if len(parts) > 1 else 4))]
        _timeline(axes, steps, base)
        if len(parts) > 1:
            for change in range(1, len(parts)):
                axes.axvline(change * each - 0.5, color=GREY, ls=":", lw=1)
        axes.set_title(_TITLES[mode], loc="left", fontsize=11)
    panels[-1].set_xlabel("step of an epoch (drawn short: a part of the long cycle has as many steps as the rows need)")
    sizes = sorted({_words(shape) for mode in get_args(Multigrid) for part in cycle(base, mode) for shape in part})
    figure.suptitle(f"Batches of {clips} clips of {frames} x {height} x {width}: {len(sizes)} shapes of one cost",
                    fontsize=12)  # fmt: skip
    return figure


def _timeline(axes: Axes, steps: list[Shape], base: Shape) -> None:
    largest = math.log2(32 * base.clips) - math.log2(base.clips) + 1
    for number, shape in enumerate(steps):
        _stack(axes, number, shape, base)
        high = (math.log2(shape.clips / base.clips) + 1) / largest * 1.05
        axes.add_patch(Rectangle((number - 0.3, -1.9), 0.6, high, color=ORANGE, lw=0))
        axes.text(number, -1.87 + high, f"{shape.clips:g}", ha="center", va="bottom", fontsize=8)
        axes.text(number, -0.36, f"{shape.frames:g}x{round(shape.height)}", ha="center", va="center", fontsize=8)
    axes.set_xlim(-0.6, 11.6)
    axes.set_ylim(-1.95, 1.3)
    axes.set_xticks(range(12), [str(i + 1) for i in range(12)], fontsize=8)
    axes.set_yticks([-1.4, 0.4], ["clips", "clip"])
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _stack(axes: Axes, at: int, shape: Shape, base: Shape) -> None:
    """A clip: its frames behind each other, to scale."""
    wide, tall = 0.5 * shape.width / base.width, 0.9 * shape.height / base.height
    sheets = max(1, round(8 * shape.frames / base.frames))
    for sheet in np.arange(sheets)[::-1]:
        x, y = at - 0.36 + 0.028 * sheet, -0.12 + 0.05 * sheet
        face: Any = BLUE if sheet == 0 else "white"
        axes.add_patch(Rectangle((x, y), wide, tall, fc=face, ec=BLUE, lw=0.8))


def _words(shape: Shape) -> str:
    return f"{shape.clips:g} x {shape.frames:g} x {shape.height:.0f}"
