"""Charts of a study: SVG for the page (ink that follows light and dark), PNG files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from secondlook.figure_files import BLUE, GREY, ORANGE, short
from secondlook.report import plots

_MOST_LABELS = 40


@dataclass(frozen=True)
class Point:
    """A row in a chart of accuracy against operations."""

    name: str
    accuracy: float
    """Percent."""
    gmac: float
    params_m: float | None = None
    kind: str = "ours"
    """`ours` (blue), `baseline` (grey) or `literature` (orange)."""
    pair: str = ""
    """Name of the point that it is drawn as a pair with."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chart:
    """A chart that was drawn: its file name, what it shows, and its SVG."""

    name: str
    caption: str
    svg: str


def draw(name: str, caption: str, make: Callable[[], Figure], folder: Path) -> Chart:
    """Draws a figure and writes it as PNG and SVG."""
    with mpl.rc_context(plots.STYLE):
        figure = make()
        figure.savefig(folder / f"{name}.png", dpi=150, facecolor="white", metadata={"Software": None})
    svg = plots.to_svg(figure, f"{caption} {name}")
    (folder / f"{name}.svg").write_text(svg.replace("currentColor", "#222"), encoding="utf-8")
    return Chart(name, caption, svg)


def against_cost(points: Sequence[Point], ylabel: str) -> Figure:
    """Accuracy against multiply-accumulates, the area of a point being its parameters; pairs are joined by a line.

    `srtg-mtnet-classreg-visualisation`, Figs. 4.7 (baseline grey, ours blue) and 5.7 (bubbles).
    """
    figure = plots.new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    most = max((p.params_m or 0 for p in points), default=0) or 1.0
    colour = {"ours": BLUE, "baseline": GREY, "literature": ORANGE}
    by_name = {p.name: p for p in points}
    for point in points:
        other = by_name.get(point.pair)
        if other is not None:
            axes.plot([other.gmac, point.gmac], [other.accuracy, point.accuracy], "-", color=GREY, lw=1, zorder=1)
        if point.low is not None and point.high is not None:
            axes.plot([point.gmac] * 2, [point.low, point.high], "-", color=colour[point.kind], lw=1, alpha=0.5)
        area = 40 + 460 * (point.params_m or 0) / most
        axes.scatter(point.gmac, point.accuracy, area, color=colour[point.kind], alpha=0.55, lw=1, zorder=2)
    gmacs = [p.gmac for p in points]
    logarithmic = min(gmacs) > 0 and max(gmacs) > 8 * min(gmacs)
    if logarithmic:
        axes.set_xscale("log")
    shown = points[:_MOST_LABELS]
    for point, (right, up) in zip(shown, _label_places(shown, logarithmic), strict=True):
        axes.annotate(
            short(point.name, 26),
            (point.gmac, point.accuracy),
            (4 * right, 7 * up),
            textcoords="offset points",
            fontsize=7,
            va="bottom" if up > 0 else "top",
            ha="left" if right > 0 else "right",
        )
    axes.set_xlabel("GMAC of one view")
    axes.set_ylabel(ylabel)
    axes.margins(0.12)
    axes.grid()
    words = {"ours": "ours", "baseline": "baseline", "literature": "literature"}
    for kind in dict.fromkeys(p.kind for p in points):
        axes.scatter([], [], 60, color=colour[kind], alpha=0.55, label=words[kind])
    label = f"area: parameters, the largest {most:.3g} M" if any(p.params_m for p in points) else ""
    figure.legend(loc="outside upper left", ncols=4, fontsize=8.5, title=label, title_fontsize=8.5, alignment="left")
    return figure


def _label_places(points: Sequence[Point], logarithmic: bool) -> list[tuple[int, int]]:
    """To which side of its point each label stands (right, up: 1 or -1): where it covers least of those before it."""
    x_N = np.array([np.log(p.gmac) if logarithmic else p.gmac for p in points])
    y_N = np.array([p.accuracy for p in points])
    u_N, v_N = ((a - a.min()) / max(float(np.ptp(a)), 1e-9) for a in (x_N, y_N))
    boxes: list[tuple[float, float, float, float]] = []
    places = []
    for u, v, point in zip(u_N.tolist(), v_N.tolist(), points, strict=True):
        wide, best = 0.011 * min(len(point.name), 26) + 0.01, None
        for right, up in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
            left, low = u if right > 0 else u - wide, v + (0.02 if up > 0 else -0.07)
            box = (left, low, left + wide, low + 0.05)
            covered = sum(
                max(0.0, min(box[2], b[2]) - max(box[0], b[0])) * max(0.0, min(box[3], b[3]) - max(box[1], b[1]))
                for b in boxes
            ) + 0.01 * (max(0.0, box[2] - 1.12) + max(0.0, -0.12 - box[0]))
            if best is None or covered < best[0] - 1e-9:
                best = (covered, (right, up), box)
        assert best is not None
        places.append(best[1])
        boxes.append(best[2])
    return places


def intervals(rows: Sequence[tuple[str, float, float, float]], baseline: str, xlabel: str) -> Figure:
    """A point and an interval a row, the baseline grey: (name, value, low, high)."""
    figure = plots.new_figure(7.2, 0.9 + 0.3 * len(rows))
    axes = figure.add_subplot()
    for y, (name, value, low, high) in enumerate(reversed(rows)):
        colour = GREY if name == baseline else BLUE
        axes.plot([low, high], [y, y], "-", color=colour, lw=2, alpha=0.5)
        axes.plot(value, y, "s" if name == baseline else "o", color=colour, ms=6)
    axes.set_yticks(range(len(rows)), [short(r[0], 46) for r in reversed(rows)], fontsize=8.5)
    axes.set_xlabel(xlabel)
    axes.grid(axis="x")
    return figure


def class_differences(names: Sequence[str], points_K: npt.NDArray[np.float64], row: str, baseline: str) -> Figure:
    """Sorted difference of accuracy a class (Fig. 6.5): gains blue, losses orange."""
    figure = plots.new_figure(7.2, max(1.4, 0.8 + 0.24 * min(len(names), 60)))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), points_K, color=[BLUE if p >= 0 else ORANGE for p in points_K])
    if len(names) <= 60:
        axes.set_yticks(range(len(names)), [short(n, 44) for n in names], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color=plots.INK, lw=0.8)
    axes.set_xlabel(f"top-1 of {row} minus {baseline} (points)")
    axes.grid(axis="x")
    return figure


def curves(runs: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Figure:
    """Training loss by epoch, one line a row; validation loss dashed where there is a validation split."""
    figure = plots.new_figure(7.2, 3.2)
    axes = figure.add_subplot()
    for i, (name, values) in enumerate(runs.items()):
        colour = plots.COLOURS[i % len(plots.COLOURS)]
        style = ("-", "--", ":")[i // len(plots.COLOURS) % 3]
        axes.plot(values["epoch"], values["train_loss"], style, color=colour, lw=1.4, label=short(name, 30))
        known = values.get("val_loss")
        if known is not None and np.isfinite(known).any():
            axes.plot(values["epoch"], known, style, color=colour, lw=1, alpha=0.5, marker=".", ms=3)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (line: training; dotted: validation)")
    axes.grid()
    figure.legend(loc="outside right upper", fontsize=7.5)
    return figure
