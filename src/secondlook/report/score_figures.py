"""Figures of scores: confusion matrix, precision-recall curves, bars a class (matplotlib, no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondlook.errors import BadValue
from secondlook.figure_files import BLUE, GREY, ORANGE, STYLE, short
from secondlook.report.plots import COLOURS

_NAMES_UP_TO = 60
"""With more classes than this, names would cover each other."""
_NAMED_OF_MANY = 30
"""Of more classes than that, so many are named: the first and the last of those sorted."""
_TOLD = 6
"""Curves with a colour and a name: so many of the best and of the worst together."""


@mpl.rc_context(STYLE)
def confusion(counts_KK: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Rows (given labels) as shares; counts are written in the cells of up to 15 classes."""
    classes = len(names)
    total_K1 = counts_KK.sum(axis=1, keepdims=True)
    share_KK = 100 * counts_KK / np.maximum(total_K1, 1)
    side = min(4.0 + 0.18 * classes, 12.0)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share_KK, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    if classes <= _NAMES_UP_TO:
        size = 8 if classes <= 30 else 5
        axes.set_yticks(range(classes), [short(n, 30) for n in names], fontsize=size)
        axes.set_xticks(range(classes), [short(n, 24) for n in names], rotation=90, fontsize=size)
    if classes <= 15:
        for (i, j), count in np.ndenumerate(counts_KK):
            colour = "black" if share_KK[i, j] > 55 else "white"
            axes.text(j, i, str(count), ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="predicted", ylabel="given label")
    figure.colorbar(image, ax=axes, shrink=0.6, label="% of the class")
    return figure


@mpl.rc_context(STYLE)
def precision_recall(curves: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]]) -> Figure:
    """A precision-recall curve a class; the best and the worst by average precision have colour and name, others grey.

    Args:
        curves: class -> recall, precision, average precision.
    """
    figure = Figure(figsize=(8.4, 5.0), layout="constrained")
    axes = figure.add_subplot()
    order = sorted(curves, key=lambda name: -curves[name][2])
    half = _TOLD // 2
    told = order if len(order) <= _TOLD else [*order[:half], *order[-half:]]
    for name in [*(n for n in order if n not in told), *told]:
        recall, precision, area = curves[name]
        if name in told:
            place = told.index(name)
            style = "-" if place < half else "--"
            label = f"{short(name, 34)}: {area:.3f}"
            axes.step(recall, precision, style, where="post", color=COLOURS[place], lw=1.8, label=label)
        else:
            axes.step(recall, precision, where="post", color=GREY, lw=0.6, alpha=0.4)
    mean = np.mean([area for _, _, area in curves.values()])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    title = "best and worst" if len(order) > _TOLD else "classes"
    figure.legend(loc="outside right center", title=f"average precision,\n{title}; mean {mean:.3f}", fontsize=9)
    return figure


@mpl.rc_context(STYLE)
def class_bars(values: Mapping[str, float], label: str, most: Sequence[str] = (), fewest: Sequence[str] = ()) -> Figure:
    """A bar a class, longest first; those named in `most` and `fewest` have colour and hatching.

    Args:
        values: class -> its value.
        label: what is counted, with its unit.
        most: the over-represented tail.
        fewest: the under-represented tail.
    """
    order = sorted(values, key=lambda name: -values[name])
    figure = Figure(figsize=(7.2, 1.2 + 0.2 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    colours = [BLUE if name in most else ORANGE if name in fewest else GREY for name in order]
    bars = axes.barh(range(len(order)), [values[name] for name in order], color=colours)
    for bar, name in zip(bars, order, strict=True):
        bar.set_hatch("//" if name in most else ".." if name in fewest else "")
    axes.bar_label(bars, fmt="%g", padding=3, fontsize=7)
    axes.set_yticks(range(len(order)), [short(n, 50) for n in order], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    for names, colour, hatch, words in ((most, BLUE, "//", "most"), (fewest, ORANGE, "..", "fewest")):
        if names:
            axes.barh([0], [0], color=colour, hatch=hatch, label=f"{words}: {', '.join(short(n, 24) for n in names)}")
    if most or fewest:
        figure.legend(loc="outside upper left", fontsize=9)
    return figure


@mpl.rc_context(STYLE)
def accuracy_differences(differences: Mapping[str, float], first: str, second: str) -> Figure:
    """A bar a class, from the largest gain of one model over another to its largest loss.

    With many classes every one has a thin bar without a name, and those at either end are named beside them
    (`srtg-mtnet-classreg-visualisation`, item 96; after figure 6.5 of its source).

    Args:
        differences: class -> accuracy under `first` less that under `second`, shares in [-1, 1].
        first: name of the one model.
        second: of the other.

    Raises:
        BadValue: if there is no class.
    """
    if not differences:
        raise BadValue(0, "no class has videos in both tables", "Give predictions of videos with labels.")
    order = sorted(differences, key=lambda name: -differences[name])
    points = {name: 100 * differences[name] for name in order}
    if len(order) <= _NAMES_UP_TO:
        figure = Figure(figsize=(7.2, 1.5 + 0.22 * len(order)), layout="constrained")
        _difference_bars(figure.add_subplot(), order, points)
    else:
        half = _NAMED_OF_MANY // 2
        figure = Figure(figsize=(9.6, 1.8 + 0.22 * (_NAMED_OF_MANY + 1)), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.7))
        every = figure.add_subplot(grid[:, 0])
        colours = [BLUE if points[name] > 0 else ORANGE for name in order]
        every.barh(range(len(order)), [points[name] for name in order], color=colours, height=1.0)
        every.axvline(0, color="black", lw=0.8)
        every.margins(y=0.005)
        every.invert_yaxis()
        every.set_yticks([])
        every.set(xlabel="difference (points)", ylabel=f"{len(order)} classes, sorted")
        above = figure.add_subplot(grid[0, 1])
        _difference_bars(above, order[:half], points)
        above.set_title(f"highest {half}", fontsize=10)
        above.set_xlabel("")
        below = figure.add_subplot(grid[1, 1])
        _difference_bars(below, order[-half:], points)
        below.set_title(f"lowest {half}", fontsize=10)
    better, worse = (sum(sign * points[name] > 0 for name in order) for sign in (1, -1))
    mean = float(np.mean(list(points.values())))
    said = f"{short(first, 40)} less {short(second, 40)}: top-1 of a class"
    counted = f"{better} better, {worse} worse, {len(order) - better - worse} alike; mean {mean:+.1f} points"
    figure.suptitle(f"{said}\n{counted}", fontsize=10)
    return figure


def _difference_bars(axes: Axes, order: Sequence[str], points: Mapping[str, float]) -> None:
    values = [points[name] for name in order]
    bars = axes.barh(range(len(order)), values, color=[BLUE if v > 0 else ORANGE for v in values])
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("" if value > 0 else "//")
    axes.bar_label(bars, [f"{v:+.1f}" for v in values], padding=3, fontsize=7)
    axes.axvline(0, color="black", lw=0.8)
    axes.margins(x=0.12)
    axes.set_yticks(range(len(order)), [short(name, 34) for name in order], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("difference of accuracies (points)")
