"""Figures of the second look as SVG text: original and ReaL accuracy, gains by class, co-occurrence, approvals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D

from secondlook.figure_files import BLUE, GREY, ORANGE, short
from secondlook.report.plots import INK, STYLE, new_figure, to_svg

_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*", "p", "8", "d")


def scatter(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracies of every network and metric, original and ReaL, after figure 5.1 of the source.

    One mark shape for each network and metric; original in the colour of the text (the source's black), ReaL in orange
    (its red). Its caption and its text disagree on which of the two the colour means (label-reassessment 8, C7), so the
    legend tells shape and colour apart. The horizontal axis has no meaning: marks are spread out to be seen.

    Args:
        rows: `network`, `metric`, and shares `original` and `real`; `real` may be None.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(6.0, 4.3 + 0.2 * ((len(rows) + 1) // 2))
        axes = figure.add_subplot()
        for x, row in enumerate(rows):
            shape = _SHAPES[x % len(_SHAPES)]
            values = [(row["original"], INK)] + ([(row["real"], ORANGE)] if row["real"] is not None else [])
            if len(values) == 2:
                axes.plot([x, x], [100 * value for value, _ in values], color=INK, alpha=0.3, lw=1, zorder=1)
            for value, colour in values:
                axes.plot(x, 100 * value, shape, color=colour, ms=9, ls="", zorder=2)
                axes.annotate(f"{100 * value:.1f}", (x, 100 * value), (8, -3), textcoords="offset points", fontsize=8.5)
        axes.set_xlim(-0.6, len(rows) - 0.2)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.margins(y=0.12)
        axes.set_ylabel("accuracy (%)")
        axes.grid(axis="y")
        shapes = [
            Line2D([], [], marker=_SHAPES[x % len(_SHAPES)], ls="", ms=8, mfc="none", mec=INK,
                   label=f"{short(str(row['network']), 28)}, {row['metric']}")
            for x, row in enumerate(rows)
        ]  # fmt: skip
        colours = [
            Line2D([], [], marker="o", ls="", ms=8, color=INK, label="original (given label)"),
            Line2D([], [], marker="o", ls="", ms=8, color=ORANGE, label="ReaL (reassessed set)"),
        ]
        figure.legend(handles=colours, title="colour: measured against", loc="outside upper left", ncols=2, fontsize=9,
                      alignment="left")  # fmt: skip
        figure.legend(handles=shapes, title="shape: network and metric", loc="outside lower left", ncols=2, fontsize=9,
                      alignment="left")  # fmt: skip
    return to_svg(figure, "Original and ReaL accuracy")


def gain_dumbbells(rows: Sequence[Mapping[str, Any]], title: str, most: int = 24) -> str:
    """Original to ReaL accuracy of each class or coarse group, largest gain first, with the number of videos.

    Args:
        rows: of `evaluate.gains`.
        title: names the model; unique in the page.
        most: so many rows; the largest gains, and losses of the same size.
    """
    order = sorted(rows, key=lambda row: (-row["points"], row["name"]))
    if len(order) > most:
        kept = sorted(order, key=lambda row: (-abs(row["points"]), -row["n"], row["name"]))[:most]
        order = [row for row in order if row in kept]
    with mpl.rc_context(STYLE):
        figure = new_figure(5.8, 1.2 + 0.27 * len(order))
        axes = figure.add_subplot()
        for y, row in enumerate(order):
            before, after = (100 * row[name] / row["n"] for name in ("original", "real"))
            axes.plot([before, after], [y, y], color=INK, alpha=0.35, lw=1.5, zorder=1)
            axes.plot(before, y, "o", color=BLUE, ms=6.5, zorder=2)
            axes.plot(after, y, "s", color=ORANGE, ms=6, zorder=3)
        axes.set_yticks(range(len(order)), [f"{short(row['name'], 44)} ({row['n']})" for row in order], fontsize=8.5)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("accuracy (%); in brackets: videos")
        axes.grid(axis="x")
        axes.plot([], [], "o", color=BLUE, label="original (given label)")
        axes.plot([], [], "s", color=ORANGE, label="ReaL (reassessed set)")
        figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return to_svg(figure, title)


def co_occurrence(names: Sequence[str], share_LL: npt.ArrayLike) -> str:
    """How often people chose the label of the column for videos given the label of the row, in percent of the row."""
    share = 100 * np.asarray(share_LL, np.float64)
    labels = len(names)
    with mpl.rc_context(STYLE):
        side = 3.4 + 0.2 * labels
        figure = new_figure(side + 0.6, side)
        axes = figure.add_subplot()
        top = max(float(share.max(initial=0)), 1.0)
        image = axes.imshow(share, cmap="cividis", vmin=0, vmax=top, interpolation="nearest")
        size = 8 if labels <= 16 else 7
        axes.set_yticks(range(labels), [short(n, 34) for n in names], fontsize=size)
        axes.set_xticks(range(labels), [short(n, 26) for n in names], rotation=90, fontsize=size)
        if labels <= 16:
            for (i, j), value in np.ndenumerate(share):
                if value:
                    colour = "black" if value > 0.55 * top else "white"
                    axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
        axes.set(xlabel="also chosen", ylabel="given label")
        figure.colorbar(image, ax=axes, shrink=0.6, aspect=30).set_label("% of the reviewed videos of the given label")
    return to_svg(figure, "Labels chosen together")


def approvals(rate_W: npt.ArrayLike, approved_W: npt.ArrayLike) -> str:
    """Two histograms over workers: their approval rate, and how many of their answers were approved.

    Args:
        rate_W: approved over judged answers; NaN of a worker whom nobody judged.
        approved_W: approved answers.
    """
    rate = np.asarray(rate_W, np.float64)
    approved = np.asarray(approved_W, np.int64)
    known = rate[np.isfinite(rate)]
    with mpl.rc_context(STYLE):
        figure = new_figure(7.2, 2.7)
        left, right = figure.subplots(1, 2)
        left.hist(100 * known, bins=np.linspace(0, 100, 21).tolist(), color=BLUE, rwidth=0.92)
        left.set(xlabel="approval rate (%)", ylabel="workers", xlim=(0, 100))
        most = int(approved.max(initial=1))
        bins = np.unique(np.linspace(0, most + 1, min(most + 2, 26)).round())
        right.hist(approved, bins=bins.tolist(), color=GREY, rwidth=0.92)
        mean = float(approved.mean()) if approved.size else 0.0
        right.axvline(mean, color=ORANGE, lw=1.6, ls="--")
        right.set_xlabel(f"approved answers of a worker\n(mean {mean:.1f}, dashed; most {most})")
        for axes in (left, right):
            axes.yaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
    return to_svg(figure, "Approval of workers")


def intervals(rows: Sequence[tuple[str, float, float, float, float]], xlabel: str, title: str) -> str:
    """A reference (square) beside an estimate with its interval (circle), one row each.

    Args:
        rows: name, reference, estimate, low, high.
        xlabel: under the axis.
        title: unique in the page.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(7.2, 1.0 + 0.34 * len(rows))
        axes = figure.add_subplot()
        for y, (_, reference, value, low, high) in enumerate(rows):
            axes.plot([low, high], [y, y], color=GREY, lw=3, alpha=0.7, zorder=1)
            axes.plot(value, y, "o", color=GREY, ms=7, zorder=2)
            axes.plot(reference, y, "s", color=ORANGE, ms=7, zorder=3)
        axes.set_yticks(range(len(rows)), [short(name, 52) for name, *_ in rows], fontsize=8.5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.axvline(0, color=INK, alpha=0.4, lw=1)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x")
        axes.plot([], [], "s", color=ORANGE, ls="", label="people's labels")
        axes.plot([], [], "o-", color=GREY, lw=3, label="as many random labels, with interval")
        figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return to_svg(figure, title)
