"""How much of a gain is chance, selection or rule: the controls of `scores.json` (`evaluate/controls.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from secondlook.report import real_figures


def section(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The section; empty where no controls were measured."""
    found = scores.get("controls")
    if not found:
        return {}
    rows = [
        (
            f"{r['model']}, {r['metric'].replace('top', 'top-')}, from {r['pool']}",
            r["gain"],
            r["random"],
            r["low"],
            r["high"],
        )
        for r in found["random"]
    ]
    drawn = real_figures.intervals(rows, "gain (points)", "Gain against random labels") if rows else ""
    rules = found["rules"]
    models = list(rules[0]["scores"]) if rules else []
    metrics = list(rules[0]["scores"][models[0]]) if models else []
    return {
        "said": found["said"],
        "figure": Markup(drawn),  # noqa: S704
        "population": [_population_row(r) for r in found["population"]],
        "held_out": [_held_out_row(r) for r in found["held_out"]],
        "rule_columns": [f"{m}, {k.replace('top', 'top-')}" for m in models for k in metrics],
        "rules": [
            {
                "rule": r["rule"],
                "size": "" if r["mean_size"] is None else f"{r['mean_size']:.2f}",
                "dropped": str(r["dropped"]),
                "lost": str(r["lost_given"]),
                "cells": [_cell(r["scores"][m][k]) for m in models for k in metrics],
            }
            for r in rules
        ],
    }


def _cell(found: Mapping[str, Any]) -> dict[str, str]:
    if found["real"] is None:
        return {"text": "", "detail": ""}
    return {"text": f"{found['real']:.1%}", "detail": f"{found['gain']:+.2f}"}


def _population_row(row: Mapping[str, Any]) -> dict[str, str]:
    known = row["rate"] is not None
    return {
        "model": row["model"],
        "metric": row["metric"].replace("top", "top-"),
        "rule": row["rule"],
        "original": f"{row['original']:.1%}",
        "rate": f"{row['rate']:.1%}" if known else "",
        "interval": f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" if known else "",
        "strata": "; ".join(f"{s['name']} {s['looked']} of {s['size']}" for s in row["strata"]),
    }


def _held_out_row(row: Mapping[str, Any]) -> dict[str, str]:
    def share(found: Mapping[str, Any]) -> str:
        return "" if found["rate"] is None else f"{found['rate']:.0%} ({found['count']} of {found['n']})"

    return {
        "model": row["model"],
        "part": "no" if row["held_out"] else "yes",
        "gain": "; ".join(f"{k.replace('top', 'top-')} {v:+.2f}" for k, v in row["gain"].items() if v is not None),
        "mistakes": str(row["mistakes"]),
        "reviewed": str(row["reviewed"]),
        "offered": str(row["offered"]),
        "holds": share(row["holds"]),
        "holds_if_offered": share(row["holds_if_offered"]),
    }
