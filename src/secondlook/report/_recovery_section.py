"""Which merge rule to trust: how well each finds the true labels of drawn videos, with people who err and spam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from secondlook.report import recovery_figures

PANELS = {"by_votes": ("votes", "answers a clip"), "by_spam": ("spam", "share of spammers")}


def section(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The section of the first `recovery.json` that holds points; empty without any."""
    for study in found:
        if study.get("by_votes") or study.get("by_spam"):
            return _section(study)
    return {}


def _section(study: Mapping[str, Any]) -> dict[str, Any]:
    settings = study["settings"]
    crowd = settings["crowd"]
    return {
        "sentences": [_best(study[panel], *PANELS[panel]) for panel in PANELS if study.get(panel)],
        "about": (
            f"{settings['tasks']} videos with known labels, {crowd['workers']} simulated people, "
            f"{settings['seeds']} campaigns a point; bands are {study['level']:.0%} intervals over campaigns. "
            f"At most {100 * study['ceiling']:.1f} % of the labels that hold were among the options. "
            "The approval rules read a simulated reviewer's verdicts; the others need no reviewer."
        ),
        "plots": [Markup(recovery_figures.svg(study, measure)) for measure in ("f1", "precision", "recall")],  # noqa: S704
        "tables": [_table(study[panel], *PANELS[panel]) for panel in PANELS if study.get(panel)],
    }


def _best(rows: Sequence[Mapping[str, Any]], unit: str, words: str) -> str:
    """The best rule at the two ends of a panel."""
    ends = sorted({row[unit] for row in rows})
    parts = []
    for at in dict.fromkeys((ends[0], ends[-1])):
        best = max((row for row in rows if row[unit] == at), key=lambda row: row["f1"]["mean"])
        parts.append(f"{best['rule'].replace('_', ' ')} at {at:g} (F1 {best['f1']['mean']:.2f})")
    return f"By {words}, the best rule is {' and '.join(parts)}."


def _table(rows: Sequence[Mapping[str, Any]], unit: str, words: str) -> dict[str, Any]:
    at = sorted({row[unit] for row in rows})
    lines = []
    for rule in dict.fromkeys(row["rule"] for row in rows):
        own = {row[unit]: row for row in rows if row["rule"] == rule}
        lines.append({"rule": rule.replace("_", " "), "cells": [_cell(own.get(value)) for value in at]})
    return {"head": words, "columns": [f"{value:g}" for value in at], "rows": lines}


def _cell(row: Mapping[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {"text": "", "detail": ""}
    return {
        "text": f"{row['f1']['mean']:.2f}",
        "detail": f"{row['precision']['mean']:.2f} / {row['recall']['mean']:.2f}",
    }
