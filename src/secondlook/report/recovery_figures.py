"""Curves of how well each merge rule finds the true labels: by answers a clip, and by share of spammers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondlook.errors import BadValue
from secondlook.figure_files import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE
from secondlook.report import plots

LOOKS: Sequence[tuple[str, str, str]] = (
    (BLUE, "o", "-"), (BLUE, "s", "--"), (GREY, "x", ":"), (ORANGE, "^", "-"),
    (GREEN, "D", "-"), (PURPLE, "v", "-"), ("#56b4e9", "P", "-."), ("#e69f00", "*", "--"),
)  # fmt: skip
"""Colour, mark and line of each rule, in turn: told apart without colour, too."""
PANELS: Mapping[str, tuple[str, str]] = {
    "by_votes": ("votes", "answers a clip"),
    "by_spam": ("spam", "share of spammers"),
}


@mpl.rc_context(STYLE)
def curves(found: Mapping[str, Any], measure: str = "f1") -> Figure:
    """The figure, dark on white.

    Args:
        found: what `secondlook annotate recovery` wrote.
        measure: precision, recall or f1.

    Raises:
        BadValue: if it holds no points, or has no such measure.
    """
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    _draw(figure, found, measure)
    return figure


def svg(found: Mapping[str, Any], measure: str = "f1") -> str:
    """The same for the page: transparent, in ink that follows light and dark."""
    with mpl.rc_context(plots.STYLE):
        figure = plots.new_figure(9.0, 4.2)
        _draw(figure, found, measure)
        return plots.to_svg(figure, f"Recovered label sets {measure} {id_of(found)}".strip())


def id_of(found: Mapping[str, Any]) -> str:
    """Words that tell one study from another on a page."""
    settings = found.get("settings", {})
    return f"{settings.get('tasks', '')} tasks seed {settings.get('seed', 0)}"


def _draw(figure: Figure, found: Mapping[str, Any], measure: str) -> None:
    there = [panel for panel in PANELS if found.get(panel)]
    if not there:
        raise BadValue("recovery", "holds no points to draw", "Make it again: secondlook annotate recovery.")
    if measure not in found[there[0]][0]:
        raise BadValue(measure, "is no measure of this study", "Use precision, recall or f1.")
    rules = list(dict.fromkeys(row["rule"] for panel in there for row in found[panel]))
    looks = {rule: LOOKS[i % len(LOOKS)] for i, rule in enumerate(rules)}
    grid = figure.subplots(1, len(there), sharey=True, squeeze=False)[0]
    for axes, panel in zip(grid, there, strict=True):
        unit, words = PANELS[panel]
        for rule in rules:
            rows = sorted((row for row in found[panel] if row["rule"] == rule), key=lambda row: row[unit])
            _line(axes, [row[unit] for row in rows], [row[measure] for row in rows], rule, looks[rule])
        axes.set_xlabel(words)
        axes.set_xticks(sorted({row[unit] for row in found[panel]}))
        axes.grid(alpha=0.2)
    grid[0].set_ylabel("F1" if measure == "f1" else measure)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, [n.replace("_", " ") for n in names], loc="outside lower center", ncols=4, fontsize=8)


def _line(
    axes: Axes, at: Sequence[float], values: Sequence[Mapping[str, Any]], name: str, look: tuple[str, str, str]
) -> None:
    colour, mark, line = look
    axes.plot(at, [v["mean"] for v in values], color=colour, marker=mark, ls=line, ms=5, lw=1.6, label=name)
    if all(v["low"] is not None for v in values):
        axes.fill_between(at, [v["low"] for v in values], [v["high"] for v in values], color=colour, alpha=0.12, lw=0)
