"""Where networks look, class by class: heat maps on one small grid, the mean of a class, its distance (no torch).

A focus is a heat map brought onto a grid of `t x h x w` equal parts of the clip and of the frame: heat that speaks for
the class, as shares that sum to 1. Foci of videos of any size and length can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.errors import BadValue

Foci = npt.NDArray[np.float64]
GRID = (4, 8, 8)
"""Parts of the clip, rows and columns of the frame."""


@dataclass(frozen=True)
class ClassFocus:
    """The mean focus of one class."""

    label: int
    clips: int
    mean_thw: Foci
    distance: float
    """Share of the focus that would have to move to look like the mean of all classes, in [0, 1]."""
    chance: float
    """95th percentile of that distance for as many clips drawn at random: what is below it says nothing."""

    @property
    def looks_elsewhere(self) -> bool:
        """Whether the distance is greater than chance."""
        return self.distance > self.chance


def focus_of(heat: HeatMap, grid: tuple[int, int, int] = GRID) -> Foci:
    """A heat map on the grid: `f = M / sum M`, with M the mean of `max(heat, 0)` over each cell, edges shared exactly.

    Args:
        heat: explanation of one clip; its sampled frames are taken as equal parts of the clip.
        grid: t, h, w.

    Returns:
        `focus_thw`, which sums to 1; all 0 where nothing speaks for the class.

    Raises:
        BadValue: if a side of the grid is below 1.
    """
    if min(grid) < 1:
        raise BadValue(grid, "a grid needs at least one part each of time, height and width")
    t, h, w = grid
    heat_THW = np.maximum(heat.heat_THW, 0)
    frames, height, width = heat_THW.shape
    in_rows_ThW = np.einsum("hH,THW->ThW", overlap(height, h), heat_THW)
    in_columns_Thw = np.einsum("ThW,wW->Thw", in_rows_ThW, overlap(width, w))
    focus_thw = np.einsum("tT,Thw->thw", overlap(frames, t), in_columns_Thw)
    total = float(focus_thw.sum())
    return focus_thw / total if total > 0 else np.zeros(grid)


def distance(one: Foci, other: Foci) -> float:
    """`1/2 sum |p - q|` of two foci: the share that would have to move to make one of the other; in [0, 1]."""
    return float(0.5 * np.abs(one - other).sum())


def class_focus(
    focus_Nthw: Foci, label_N: npt.NDArray[np.integer], rng: np.random.Generator, *, draws: int = 200
) -> list[ClassFocus]:
    """The mean focus of each class, and how far it is from the mean over classes (each class counts alike).

    Args:
        focus_Nthw: one focus a clip, each of which sums to 1.
        label_N: class of each clip.
        rng: draws the clips that chance is judged by.
        draws: how often clips are drawn; their mean is compared with the mean of all clips.

    Returns:
        Classes in rising order of their index.

    Raises:
        BadValue: if the numbers of foci and labels differ.
    """
    if len(focus_Nthw) != len(label_N):
        raise BadValue(len(label_N), f"there must be a label for each of the {len(focus_Nthw)} foci")
    if not len(label_N):
        return []
    classes, members_N = np.unique(label_N, return_inverse=True)
    sizes_K = np.bincount(members_N)
    mean_Kthw = np.stack([focus_Nthw[members_N == k].mean(axis=0) for k in range(len(classes))])
    of_classes_thw, of_clips_thw = mean_Kthw.mean(axis=0), focus_Nthw.mean(axis=0)
    by_size: dict[int, float] = {}
    for size in np.unique(sizes_K).tolist():
        drawn = [focus_Nthw[rng.choice(len(focus_Nthw), size, replace=False)].mean(axis=0) for _ in range(draws)]
        by_size[size] = float(np.quantile([distance(d, of_clips_thw) for d in drawn], 0.95)) if draws else 0.0
    return [
        ClassFocus(int(k), int(n), mean_thw, distance(mean_thw, of_classes_thw), by_size[int(n)])
        for k, n, mean_thw in zip(classes, sizes_K, mean_Kthw, strict=True)
    ]


def place(focus_hw: Foci) -> str:
    """Where most of a focus lies, in words: upper left, lower middle, centre, ...; by its centre of mass."""
    h, w = focus_hw.shape
    total = max(float(focus_hw.sum()), np.finfo(np.float64).tiny)
    row = float(focus_hw.sum(axis=1) @ (np.arange(h) + 0.5)) / total / h
    column = float(focus_hw.sum(axis=0) @ (np.arange(w) + 0.5)) / total / w
    down = "upper" if row < 1 / 3 else "lower" if row > 2 / 3 else ""
    across = "left" if column < 1 / 3 else "right" if column > 2 / 3 else ""
    if not down and not across:
        return "centre"
    return f"{down or 'middle'} {across or 'middle'}"


def overlap(source: int, cells: int) -> npt.NDArray[np.float64]:
    """Matrix (cells x source): the share of each cell's width that each of `source` equal parts covers."""
    edges = np.arange(source + 1) / source
    low, high = np.arange(cells)[:, None] / cells, (np.arange(cells)[:, None] + 1) / cells
    covered: npt.NDArray[np.float64] = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
    return covered * cells
