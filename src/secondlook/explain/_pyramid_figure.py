"""Draws a class feature pyramid as a graph: a row of kernels for each layer, and the links between them.

Colours are perceptually uniform and safe for colour-blind eyes (cividis for strength; dashes, not hue, mark a skip).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.path import Path as Curve

from secondlook.explain._pyramid_graph import CLASS, TOGETHER, Bundle, Pyramid, PyramidLayer

COLOURS = "cividis_r"
LINK, SKIP = "#3b4a66", "#d55e00"
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "secondlook", "font.size": 9}
WIDTH, STEP, CLOSE = 1.0, 1.5, 0.8
"""Width of a row; distance of two rows, and of two rows on one level."""


@dataclass(frozen=True)
class _Row:
    """Where the kernels of a layer stand."""

    y: float
    x_of: Mapping[int, float]
    """Kernels that are drawn."""
    hub: float
    """Where the links start that all chosen kernels share."""
    text: str


def pyramid_figure(pyramid: Pyramid, title: str = "", *, at_most: int = 32, links: int = 240) -> Figure:
    """The pyramid from the class down: a row a layer, a dot a chosen kernel at its place among all, curves for links.

    Args:
        pyramid: what to draw.
        title: what was explained.
        at_most: dots a row, the strongest; a row says how many it leaves out.
        links: curves between two rows, the strongest.
    """
    rows = _rows(pyramid, at_most)
    lowest = min(row.y for row in rows.values())
    figure = Figure(figsize=(10.5, 1.6 + 0.62 * (1 - lowest)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.02, 1.3)
    axes.set_ylim(lowest - 0.7, 0.55)
    crowd = Counter(dict.fromkeys(rows, 1))
    for bundle in pyramid.bundles:
        crowd[bundle.parent] += min(len(bundle.strengths), links)
    for bundle in pyramid.bundles:
        _draw_links(axes, bundle, rows, links, min(1.0, 5 / crowd[bundle.parent] ** 0.5))
    for layer in pyramid.layers:
        _draw_row(axes, layer, rows[layer.name])
    axes.text(0.5, 0, f"class {pyramid.label}", ha="center", va="center", color="white", zorder=5, weight="bold",
              bbox={"boxstyle": "round,pad=0.45", "facecolor": LINK, "edgecolor": "none"})  # fmt: skip
    _draw_levels(axes, pyramid, rows)
    how = {"layer": "layer-wise", "feature": "feature-wise"}[pyramid.mode]
    subtitle = f"{how} · {pyramid.select}, θ = {pyramid.theta:g} · depth {pyramid.depth}"
    subtitle += f" · at most {pyramid.top} a layer" if pyramid.top else ""
    figure.suptitle(title or "Class feature pyramid", x=0.005, ha="left", size=13, weight="bold")
    axes.set_title(f"{subtitle}. Dashed orange: past layers that only the longer way has.", loc="left", size=9)
    colours = ScalarMappable(mpl.colors.Normalize(0, 1), COLOURS)
    bar = figure.colorbar(colours, ax=axes, orientation="horizontal", fraction=0.03, aspect=50, pad=0.01, shrink=0.4)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("strength (dots: also their size; links: the darker, the stronger)", size=8)
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as SVG with its text as text; the same bytes every time."""
    buffer = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().decode()


def _rows(pyramid: Pyramid, at_most: int) -> dict[str, _Row]:
    rows = {CLASS: _Row(0.0, {0: 0.5}, 0.5, "")}
    y, level = 0.0, None
    for layer in pyramid.layers:
        y -= CLOSE if layer.level == level else STEP
        level = layer.level
        strongest = sorted(zip(layer.strengths, layer.kernels, strict=True), key=lambda p: (-p[0], p[1]))[:at_most]
        x_of = {j: WIDTH * (j + 0.5) / layer.channels for _, j in strongest}
        text = f"{len(layer.kernels)} of {layer.channels} kernels"
        text += f", {at_most} strongest drawn" if len(layer.kernels) > at_most else ""
        rows[layer.name] = _Row(y, x_of, float(np.mean(list(x_of.values()))), text)
    return rows


def _draw_row(axes: Any, layer: PyramidLayer, row: _Row) -> None:
    axes.plot([0, WIDTH], [row.y, row.y], color="#d9dce3", lw=5, solid_capstyle="round", zorder=2)
    hidden = [WIDTH * (j + 0.5) / layer.channels for j in layer.kernels if j not in row.x_of]
    axes.plot(hidden, [row.y] * len(hidden), "|", color="#9aa1ad", ms=5, zorder=3)
    strength_of = dict(zip(layer.kernels, layer.strengths, strict=True))
    strength_N = np.array([strength_of[j] for j in row.x_of])
    places = list(row.x_of.values())
    axes.scatter(places, [row.y] * len(places), s=14 + 60 * strength_N**2, c=strength_N, cmap=COLOURS, vmin=0, vmax=1,
                 edgecolors="#1f2733", linewidths=0.5, zorder=4)  # fmt: skip
    axes.text(WIDTH + 0.035, row.y + 0.02, _short(layer.name), va="bottom", size=9, weight="bold")
    axes.text(WIDTH + 0.035, row.y - 0.05, row.text, va="top", size=7.5, color="#555b66")


def _draw_links(axes: Any, bundle: Bundle, rows: Mapping[str, _Row], at_most: int, fade: float) -> None:
    above, below = rows[bundle.parent], rows[bundle.child]
    drawn = [
        (strength, above.hub if j == TOGETHER else above.x_of[j], below.x_of[i])
        for j, i, strength in zip(bundle.parent_kernels, bundle.child_kernels, bundle.strengths, strict=True)
        if i in below.x_of and (j == TOGETHER or j in above.x_of)
    ]
    drawn = sorted(drawn, reverse=True)[:at_most]
    colour = SKIP if bundle.ones else LINK
    top, bottom = above.y - 0.1, below.y + 0.1
    curves = [
        Curve([(x, top), (x, (top + bottom) / 2), (end, (top + bottom) / 2), (end, bottom)], [1, 4, 4, 4])
        for _, x, end in drawn
    ]
    edges = [to_rgba(colour, 0.05 + 0.65 * fade * strength**2) for strength, _, _ in drawn]
    dashes = (0, (4, 2.5)) if bundle.ones else "solid"
    axes.add_collection(PathCollection(curves, facecolors="none", edgecolors=edges, linewidths=0.8, linestyles=dashes))
    if TOGETHER in bundle.parent_kernels:
        axes.plot([above.hub], [top], marker="v", color=LINK, ms=5, zorder=4)


def _draw_levels(axes: Any, pyramid: Pyramid, rows: Mapping[str, _Row]) -> None:
    for level in sorted({layer.level for layer in pyramid.layers}):
        ys = [rows[layer.name].y for layer in pyramid.layers if layer.level == level]
        axes.plot([WIDTH + 0.022] * 2, [max(ys) + 0.25, min(ys) - 0.25], color="#9aa1ad", lw=1)
        name = f"level {level}" if level else "head"
        axes.text(WIDTH + 0.035, max(ys) + 0.32, name, size=7.5, color="#555b66", va="bottom", style="italic")


def _short(name: str, length: int = 34) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]
