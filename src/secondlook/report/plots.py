"""Still plots of the report as SVG text: transparent, text kept as text, ink that follows the page's light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from secondlook.figure_files import BLUE, GREEN, ORANGE, PURPLE, short

INK = "#010203"
"""Stands for "the colour of the page's text"; replaced by `currentColor` in the SVG."""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "secondlook",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element with a title that a screen reader reads."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"font: ([^;\"]*?)'?sans-serif[^;\"]*", r"font: \1inherit", text)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img" class="plot"', text, count=1)
    salt = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'id="([^"]+)"', rf'id="{salt}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{salt}-", text)
    return text.replace(">", f"><title>{title}</title>", 1)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that leaves room for its texts."""
    return Figure(figsize=(width, height), layout="constrained")


def intervals(rows: Sequence[tuple[str, str, Mapping[str, float]]], title: str, chance: float) -> str:
    """Mean and interval of each method, models side by side in colours and marks of their own.

    Args:
        rows: model, method, and `mean`, `low`, `high`.
        title: under the axis.
        chance: where a vertical line says "no better than this".
    """
    models = list(dict.fromkeys(model for model, _, _ in rows))
    methods = list(dict.fromkeys(method for _, method, _ in rows))
    with mpl.rc_context(STYLE):
        figure = new_figure(5.6, 1.1 + 0.34 * len(methods) + 0.12 * len(models))
        axes = figure.add_subplot()
        axes.axvline(chance, color=INK, alpha=0.5, lw=1, ls="--")
        for model, method, value in rows:
            k = models.index(model)
            y = -methods.index(method) + (0.5 - (k + 0.5) / len(models)) * 0.6
            colour = COLOURS[k % len(COLOURS)]
            axes.plot([value["low"], value["high"]], [y, y], color=colour, lw=2, alpha=0.5)
            first = model not in (axes.get_legend_handles_labels()[1])
            axes.plot(
                value["mean"], y, MARKERS[k % len(MARKERS)], color=colour, ms=6, label=model if first else None, ls=""
            )
        axes.set_yticks([-i for i in range(len(methods))], methods)
        axes.set_xlabel(title)
        axes.grid(axis="x")
        if len(models) > 1:
            figure.legend(loc="outside upper left", ncols=min(3, len(models)))
        return to_svg(figure, title)


def original_to_reassessed(rows: Sequence[Mapping[str, float | str]]) -> str:
    """A dumbbell a model and metric: original accuracy -> reassessed, with intervals, and the true value where known.

    Args:
        rows: `name` (model and metric), `original`, `real` in [0, 1]; optional `original_low`, `original_high`,
            `real_low`, `real_high`, `true`.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(7.2, 0.9 + 0.55 * len(rows))
        axes = figure.add_subplot()
        for y, row in enumerate(reversed(rows)):
            original, real = float(row["original"]), float(row["real"])
            for value, low, high, colour, dy in (
                (original, "original_low", "original_high", BLUE, 0.12),
                (real, "real_low", "real_high", ORANGE, -0.12),
            ):
                if low in row:
                    axes.plot(
                        [float(row[low]) * 100, float(row[high]) * 100], [y + dy] * 2, color=colour, lw=2, alpha=0.45
                    )
                axes.plot(value * 100, y + dy, MARKERS[0 if colour == BLUE else 1], color=colour, ms=8)
            axes.annotate(
                "",
                (real * 100, y - 0.12),
                (original * 100, y + 0.12),
                arrowprops={"arrowstyle": "-", "color": INK, "alpha": 0.4},
            )
            if "true" in row:
                axes.plot(float(row["true"]) * 100, y, MARKERS[3], mfc="none", mec=INK, ms=9, mew=1.6)
        axes.set_yticks(range(len(rows)), [str(r["name"]) for r in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("accuracy (%), bars: 95 % interval")
        axes.grid(axis="x")
        axes.plot([], [], MARKERS[0], color=BLUE, ms=8, label="original (given label)")
        axes.plot([], [], MARKERS[1], color=ORANGE, ms=8, label="reassessed (label set)")
        if any("true" in r for r in rows):
            axes.plot([], [], MARKERS[3], mfc="none", mec=INK, ms=9, mew=1.6, label="truth (all labels that hold)")
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return to_svg(figure, "Original to reassessed accuracy")


def curves(runs: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]) -> str:
    """Loss and top-1 by epoch, one colour a run: training dashed, validation solid.

    Args:
        runs: name -> columns of its `curves.csv` (`epoch`, `train_loss`, `val_loss`, `train_top1`, `val_top1`).
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(7.2, 3.0)
        for column, (what, scale, label) in enumerate((("loss", 1, "loss"), ("top1", 100, "top-1 (%)"))):
            axes = figure.add_subplot(1, 2, column + 1)
            for i, (name, values) in enumerate(runs.items()):
                for part, style in (("train", "--"), ("val", "-")):
                    y = values.get(f"{part}_{what}")
                    if y is not None and np.isfinite(y).any():
                        colour = COLOURS[i % len(COLOURS)]
                        marker = MARKERS[i % len(MARKERS)] if len(y) <= 30 else ""
                        axes.plot(
                            values["epoch"],
                            y * scale,
                            style,
                            color=colour,
                            marker=marker,
                            ms=3.5,
                            label=f"{name}, {part}",
                        )
            axes.set_xlabel("epoch")
            axes.set_ylabel(label)
            axes.grid()
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
    return to_svg(figure, "Training curves")


def confusion(counts_KK: npt.NDArray[np.int64], names: Sequence[str], title: str) -> str:
    """A confusion matrix, rows (given labels) normalised to 100 %; class names where they can be read."""
    rows = counts_KK.sum(axis=1, keepdims=True)
    share_KK = np.divide(counts_KK, rows, out=np.zeros(counts_KK.shape), where=rows > 0) * 100
    classes = len(names)
    with mpl.rc_context(STYLE):
        side = min(3.2 + 0.16 * classes, 9.0)
        figure = new_figure(side, side)
        axes = figure.add_subplot()
        image = axes.imshow(share_KK, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
        if classes <= 60:
            size = 8 if classes <= 30 else 6
            axes.set_yticks(range(classes), [short(n) for n in names], fontsize=size)
            axes.set_xticks(range(classes), [short(n, 24) for n in names], rotation=90, fontsize=size)
        axes.set_xlabel("predicted")
        axes.set_ylabel("given label")
        bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=30)
        bar.set_label("% of the class")
    return to_svg(figure, title)


def bars(names: Sequence[str], values: Sequence[float], xlabel: str, title: str) -> str:
    """Horizontal bars, one a name, in the given order, with the value written at the end."""
    with mpl.rc_context(STYLE):
        figure = new_figure(6.4, 0.8 + 0.26 * len(names))
        axes = figure.add_subplot()
        drawn = axes.barh(range(len(names)), list(values), color=BLUE)
        axes.bar_label(drawn, fmt="%g", padding=3, fontsize=9, color=INK)
        axes.set_yticks(range(len(names)), [short(n, 60) for n in names], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
    return to_svg(figure, title)
