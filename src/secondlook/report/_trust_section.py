"""What the pictures are worth: methods x models x measures with intervals, which to trust, and who looks at a cue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from secondlook.report import plots

COLUMNS: Mapping[str, str] = {
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
    "sensitivity_n": "sensitivity-n",
    "frame_deletion_gain": "frame deletion gain",
    "pointing_frame": "hottest point on target",
    "iou_best": "overlap (IoU)",
    "in_action": "heat during the action",
    "parameters_rank": "same with random weights",
    "brightness": "follows brightness",
    "border_ratio": "border, times even",
    "conserved": "conserved",
    "completeness_error": "completeness error",
    "time_ratio": "cost, forward passes",
    "memory_ratio": "memory, forward passes",
}
"""Measures of `explanation_scores.json` that the table shows, and their headings; those nobody has are left out."""


def section(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The section of the first `explanation_scores.json`; empty without any."""
    if not found:
        return {}
    scored = found[0]
    used = [s for s in scored["scores"] if s["measures"]]
    if not used:
        return {}
    columns = [m for m in COLUMNS if any(m in s["measures"] for s in used)]
    cue = any(s.get("on_cue") for s in used)
    models = []
    for verdict in scored["trust"]:
        own = [s for s in scored["scores"] if s["model"] == verdict["model"]]
        ranks = {entry["method"]: entry["mean_rank"] for entry in verdict["order"]}
        own.sort(key=lambda s: (ranks.get(s["method"], float("inf")), s["method"]))
        rows = [_row(s, columns, cue, ranks, verdict) for s in own if s["measures"]]
        left_out = [f"{_words(s['method'])}: {s['reason']}" for s in own if not s["measures"] and s.get("reason")]
        models.append(
            {"model": verdict["model"], "sentences": verdict["sentences"], "rows": rows, "left_out": left_out}
        )
    drawn: dict[str, str] = {m: COLUMNS[m] for m in ("deletion_gain", "insertion_gain") if m in columns}
    return {
        "models": models,
        "columns": [
            *(["heat on the cue, times even"] if cue else []),
            *(COLUMNS[m] for m in columns),
        ],
        "meanings": [f"{COLUMNS[m]}: {scored['meanings'].get(m, '')}" for m in columns],
        "cheating": [sentence for verdict in scored.get("cheating", ()) for sentence in verdict["sentences"]],
        "rule": next((v["rule"] for v in scored.get("cheating", ())), ""),
        "plots": [Markup(svg) for svg in _plots(used, drawn, cue)],  # noqa: S704
    }


def _row(
    score: Mapping[str, Any],
    columns: Sequence[str],
    cue: bool,
    ranks: Mapping[str, float],
    verdict: Mapping[str, Any],
) -> dict[str, Any]:
    cells = [_cell(score.get("on_cue"))] if cue else []
    return {
        "method": _words(score["method"]),
        "rank": f"{ranks[score['method']]:.1f}" if score["method"] in ranks else "",
        "clips": score["clips"],
        "doubt": "" if score["method"] in verdict["trusted"] else "in doubt",
        "cells": [*cells, *(_cell(score["measures"].get(m)) for m in columns)],
    }


def _plots(used: Sequence[Mapping[str, Any]], measures: Mapping[str, str], cue: bool) -> list[str]:
    """Intervals of the methods, models side by side: heat on the cue, and the gains."""
    drawn = []
    if cue:
        rows = [(s["model"], _words(s["method"]), s["on_cue"]) for s in used if s.get("on_cue")]
        drawn.append(plots.intervals(rows, "heat on the planted cue, as a multiple of evenly spread heat", 1.0))
    for measure, name in measures.items():
        rows = [(s["model"], _words(s["method"]), s["measures"][measure]) for s in used if measure in s["measures"]]
        drawn.append(plots.intervals(rows, f"{name}: 0 is a random order", 0.0))
    return drawn


def _words(method: str) -> str:
    return method.replace("_", " ")


def _cell(value: Mapping[str, float] | None) -> dict[str, str]:
    if not value:
        return {"text": "", "detail": ""}
    return {"text": f"{value['mean']:.2f}", "detail": f"{value['low']:.2f} to {value['high']:.2f}"}
