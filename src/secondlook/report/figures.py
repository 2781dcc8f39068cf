"""Figures that show how a method works, one function each: arrays in, a picture file out (matplotlib, no torch).

Drawn dark on white, in colours that colour-blind eyes tell apart; what matters is told by shape, width or words too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from secondlook.errors import BadValue
from secondlook.figure_files import BLUE, GREEN, GREY, ORANGE, STYLE

Frame = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""


@mpl.rc_context(STYLE)
def crops(frame_HWC: Frame, boxes: Sequence[Box], inference: Sequence[Box]) -> Figure:
    """Places of a training crop on a frame, those of ten-crop testing drawn thick (`late-temporal-bert`, section 3.1).

    Args:
        frame_HWC: the frame.
        boxes: all places.
        inference: those that a test uses, too; a box of `boxes` that is one of these is drawn once, thick.
    """
    height, width = frame_HWC.shape[:2]
    figure = _figure(7.0, 7.0 * height / width + 0.5)
    axes = figure.add_subplot()
    axes.imshow(frame_HWC, alpha=0.75)
    for box in [box for box in boxes if box not in inference]:
        _outline(axes, box, GREY, 1.2, "--")
    for box, colour in zip(inference, (ORANGE, BLUE, BLUE, BLUE, BLUE), strict=False):
        _outline(axes, box, colour, 2.6, "-")
    for number, (top, left, tall, wide) in enumerate(boxes, start=1):
        axes.text(left + wide / 2, top + tall / 2, str(number), ha="center", va="center", fontsize=9, color="white",
                  bbox={"boxstyle": "circle,pad=0.25", "color": "black", "alpha": 0.75})  # fmt: skip
    axes.plot([], [], color=ORANGE, lw=2.6, label="centre")
    axes.plot([], [], color=BLUE, lw=2.6, label="corners: with their mirror images, the ten test crops")
    axes.plot([], [], color=GREY, lw=1.2, ls="--", label="further places in training")
    axes.set_axis_off()
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _outline(axes: Axes, box: Box, colour: str, width: float, style: str) -> None:
    top, left, tall, wide = box
    axes.add_patch(Rectangle((left - 0.5, top - 0.5), wide, tall, fill=False, ec=colour, lw=width, ls=style))


@mpl.rc_context(STYLE)
def strips(rows: Mapping[str, Sequence[Frame]], times_s: Sequence[float]) -> Figure:
    """Frames of one video in several modalities, one row each (RGB, flow in x and y, pose), under their times.

    Raises:
        BadValue: if a row has not one picture a time.
    """
    for name, pictures in rows.items():
        if len(pictures) != len(times_s):
            raise BadValue(len(pictures), f"row {name} needs {len(times_s)} pictures, one a time")
    first = next(iter(rows.values()))[0]
    wide, tall = 1.5, 1.5 * first.shape[0] / first.shape[1]
    figure = _figure(wide * len(times_s) + 0.8, tall * len(rows) + 0.4)
    grid = figure.subplots(len(rows), len(times_s), squeeze=False)
    for axes_row, (name, pictures) in zip(grid, rows.items(), strict=True):
        for axes, picture in zip(axes_row, pictures, strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([], [])
            axes.set_yticks([], [])
            for spine in axes.spines.values():
                spine.set_visible(False)
        axes_row[0].set_ylabel(name)
    for axes, time_s in zip(grid[0], times_s, strict=True):
        axes.set_title(f"{time_s:.2f} s", fontsize=9)
    return figure


@mpl.rc_context(STYLE)
def filmstrips(rows: Sequence[tuple[str, Sequence[Frame]]]) -> Figure:
    """A strip of frames a video under each other, with words on the left; a video without frames keeps its row."""
    columns = max((len(pictures) for _, pictures in rows), default=0) or 1
    figure = _figure(1.9 * columns + 1.8, 1.25 * len(rows) + 0.2)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (words, pictures) in zip(grid, rows, strict=True):
        for axes in axes_row:
            axes.set_xticks([], [])
            axes.set_yticks([], [])
            for spine in axes.spines.values():
                spine.set_visible(False)
        for axes, picture in zip(axes_row, pictures, strict=False):
            axes.imshow(picture)
        axes_row[0].set_ylabel(words, rotation=0, ha="right", va="center")
    return figure


@mpl.rc_context(STYLE)
def shift(frames: int, channels: int, fraction: float, *, online: bool = False) -> Figure:
    """Where each channel of each frame comes from after a temporal shift: the frame's number is written in the cell.

    Args:
        frames: T.
        channels: C.
        fraction: of the channels that come from each neighbour.
        online: only from the frame before.
    """
    moved = int(fraction * channels + 1e-6)
    source_CT = np.tile(np.arange(frames), (channels, 1))
    if online:
        source_CT[:moved] -= 1
    else:
        source_CT[:moved] += 1
        source_CT[moved : 2 * moved] -= 1
    figure = _figure(1.0 + 0.6 * frames, 1.0 + 0.4 * channels)
    axes = figure.add_subplot()
    for c in range(channels):
        for t in range(frames):
            source, inside = int(source_CT[c, t]), 0 <= source_CT[c, t] < frames
            colour = "#e5e7eb" if source == t else BLUE if source < t else ORANGE
            axes.add_patch(Rectangle((t, c), 0.94, 0.9, color=colour if inside else "white", ec=GREY, lw=0.8))
            axes.text(t + 0.47, c + 0.45, f"{source + 1}" if inside else "0", ha="center", va="center", fontsize=9,
                      color="white" if source != t and inside else "black")  # fmt: skip
    axes.set_xlim(-0.1, frames + 0.1)
    axes.set_ylim(channels, -0.1)
    axes.set_xticks(np.arange(frames) + 0.47, [f"{t + 1}" for t in range(frames)])
    axes.set_yticks([])
    axes.set_xlabel("frame")
    axes.set_ylabel("channels")
    axes.plot([], [], "s", color=BLUE, label="from the frame before")
    if not online:
        axes.plot([], [], "s", color=ORANGE, label="from the frame after")
    axes.plot([], [], "s", mfc="white", mec=GREY, label="zero")
    figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return figure


@mpl.rc_context(STYLE)
def attention_over_time(frames_NHWC: Sequence[Frame], times_s: Sequence[float], weights_HT: npt.ArrayLike) -> Figure:
    """How much the class token looks at each token: a bar a token (mean over the heads), a dot a head, a frame below.

    Args:
        frames_NHWC: a picture for each token, the middle of its frames.
        times_s: their times.
        weights_HT: attention weights of each head; rows are scaled to sum to 1.

    Raises:
        BadValue: if there is not one picture a token.
    """
    weights = np.asarray(weights_HT, np.float64)
    if not len(frames_NHWC) == len(times_s) == weights.shape[1]:
        raise BadValue(len(frames_NHWC), f"{weights.shape[1]} tokens need as many pictures and times")
    weights = weights / weights.sum(1, keepdims=True)
    tokens = weights.shape[1]
    figure = _figure(max(4.0, 1.25 * tokens), 3.4)
    grid = figure.add_gridspec(2, tokens, height_ratios=(2, 1))
    axes = figure.add_subplot(grid[0, :])
    axes.bar(range(tokens), weights.mean(0) * 100, color=BLUE, width=0.6, label="mean of the heads")
    for head in weights:
        axes.plot(range(tokens), head * 100, "o", color=ORANGE, ms=3.5, alpha=0.7)
    axes.plot([], [], "o", color=ORANGE, ms=3.5, label="one head")
    axes.axhline(100 / tokens, color=GREY, ls="--", lw=1, label="all frames alike")
    axes.set_xticks(range(tokens), [f"{t:.2f} s" for t in times_s], fontsize=8)
    axes.set_ylabel("attention (%)")
    axes.set_xlim(-0.5, tokens - 0.5)
    for column, picture in enumerate(frames_NHWC):
        below = figure.add_subplot(grid[1, column])
        below.imshow(picture)
        below.set_axis_off()
    figure.legend(loc="outside upper right", ncols=3, fontsize=9)
    return figure


@mpl.rc_context(STYLE)
def token_similarity(cosine_ST: npt.ArrayLike, title: str = "") -> Figure:
    """Cosine between each of the student's tokens (rows) and each of the teacher's; the matched pairs are outlined."""
    cosine = np.asarray(cosine_ST, np.float64)
    students, teachers = cosine.shape
    figure = _figure(1.8 + 0.55 * teachers, 1.2 + 0.5 * students)
    axes = figure.add_subplot()
    image = axes.imshow(cosine, cmap="cividis", vmin=-1, vmax=1)
    for s in range(students):
        for t in range(teachers):
            axes.text(t, s, f"{cosine[s, t]:.2f}", ha="center", va="center", fontsize=8,
                      color="black" if cosine[s, t] > 0.2 else "white")  # fmt: skip
        if students == teachers:
            axes.add_patch(Rectangle((s - 0.5, s - 0.5), 1, 1, fill=False, ec=ORANGE, lw=2))
    axes.set_xticks(range(teachers), [str(t + 1) for t in range(teachers)])
    axes.set_yticks(range(students), [str(s + 1) for s in range(students)])
    axes.set_xlabel("teacher's token")
    axes.set_ylabel("student's token")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.8).set_label("cosine")
    return figure


@mpl.rc_context(STYLE)
def start_frames(frame_count: int, starts_N: npt.ArrayLike) -> Figure:
    """Where clips of a video start: how often the sampler chose each frame, and the normal density it is drawn from.

    `N(L/4, (L/6)^2)` cut to [0, L/2] (`srtg-mtnet-classreg-visualisation`, section 2.17, figure 5.6).

    Args:
        frame_count: L.
        starts_N: start frames that a sampler drew.
    """
    starts = np.asarray(starts_N, np.float64)
    mean, deviation, end = frame_count / 4, frame_count / 6, frame_count / 2
    x = np.linspace(0, end, 200)
    density = np.exp(-0.5 * ((x - mean) / deviation) ** 2)
    density /= np.trapezoid(density, x)
    figure = _figure(6.4, 3.2)
    axes = figure.add_subplot()
    bins = np.linspace(0, end, min(40, max(4, frame_count // 4)) + 1).tolist()
    axes.hist(starts, bins=bins, density=True, color=BLUE, alpha=0.55, label=f"{len(starts):,} starts drawn")
    axes.plot(x, density, color=ORANGE, lw=2.2, label="density")
    axes.axvline(mean, color=GREEN, ls="--", lw=1.4, label=f"L/4 = {mean:g}")
    axes.set_xlim(0, frame_count)
    axes.set_xlabel(f"start frame of a video of L = {frame_count} frames")
    axes.set_yticks([])
    axes.legend(fontsize=9)
    return figure


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")
