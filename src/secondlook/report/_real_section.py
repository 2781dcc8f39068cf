"""What the second look changed, from `scores.json`: by network, class and group; labels chosen together; workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from secondlook.report import real_figures

_SHOWN = 12


def section(scores: Mapping[str, Any], workers: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The section; empty without a review in the scores.

    Args:
        scores: the layout of `evaluate/scores.py`.
        workers: rows of `workers.csv`.
    """
    looked = scores.get("review")
    if not looked or not any("real" in m["top1"] for m in scores["models"]):
        return {}
    figures = {"scatter": real_figures.scatter(_points(scores))}
    models = []
    for model in scores["models"]:
        gains = model.get("gains", {}).get("top1")
        if gains is None:
            continue
        drawn = []
        for what, rows in (("coarse group", gains["per_group"]), ("class", gains["per_class"])):
            if len(rows) > 1:
                title = f"{model['name']}: original to ReaL by {what}"
                drawn.append(Markup(real_figures.gain_dumbbells(rows, title)))  # noqa: S704
        changed = [row for row in gains["per_class"] if row["won"] or row["lost"]]
        test = model["top1"].get("gain_test", {})
        models.append(
            {
                "name": model["name"],
                "figures": drawn,
                "rows": [_gain_row(row) for row in sorted(changed, key=lambda r: (-r["points"], r["name"]))[:_SHOWN]],
                "changed": len(changed),
                "said": _tested(model["top1"], test),
            }
        )
    heat = looked.get("heat", {"labels": []})
    if len(heat["labels"]) > 1:
        figures["co_occurrence"] = real_figures.co_occurrence(heat["labels"], heat["share"])
    if workers:
        rate = [float(w["approval_rate"]) if w.get("approval_rate") else np.nan for w in workers]
        figures["approvals"] = real_figures.approvals(rate, [int(w["approved"]) for w in workers])
    return {
        "figures": {name: Markup(figures.get(name, "")) for name in ("scatter", "co_occurrence", "approvals")},  # noqa: S704
        "models": models,
        "relations": [_relation_row(row) for row in looked.get("relations", [])],
        "groups": _groups(looked["groups"]),
        "parents": _parents(looked["co_occurrence"]),
        "likeness": _likeness(scores.get("likeness")),
        "sizes": looked["set_sizes"],
        "workers": len(workers),
    }


def _points(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for metric in scores["metrics"]:
        for model in scores["models"]:
            of = model[metric]
            original, real = of.get("original_kept", of["original"])["rate"], (of.get("real") or {}).get("rate")
            if original is not None:
                name = metric.replace("top", "top-")
                found.append({"network": model["name"], "metric": name, "original": original, "real": real})
    return found


def _tested(top1: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    gain = top1.get("gain")
    if not gain or gain["points"] is None or not test:
        return ""
    return (
        f"{gain['points']:+.2f} points at top-1 [{gain['low']:+.2f}, {gain['high']:+.2f}]: {test['only_a']} videos "
        f"became right and {test['only_b']} wrong of {top1['real']['n']} (McNemar p = {test['p']:.2g})."
    )


def _gain_row(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": row["name"],
        "videos": str(row["n"]),
        "original": f"{row['original']}",
        "real": f"{row['real']}",
        "points": f"{row['points']:+.1f}",
        "interval": f"{row['low']:+.1f} to {row['high']:+.1f}",
        "resolved": "" if row["resolved"] is None else f"{row['resolved']:.0%}",
        "p": f"{row['p']:.2g}",
    }


def _relation_row(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "relation": row["relation"],
        "meaning": row["meaning"],
        "labels": str(row["labels"]),
        "share": f"{row['share']:.0%}",
        "within": "" if row["within"] is None else str(row["within"]),
        "across": "" if row["across"] is None else str(row["across"]),
        "example": row["example"],
    }


def _groups(groups: Mapping[str, int]) -> str:
    total = groups["within"] + groups["across"]
    if not total:
        return ""
    within = groups["within"]
    return f"Of {total} added labels {within} ({within / total:.0%}) stay in the coarse group of the given label."


def _parents(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pairs whose direction says which label is the wider one."""
    said = []
    for pair in pairs:
        if pair.get("parent") == "with":
            said.append(
                f"{pair['with_name']} is the wider label of {pair['given_name']}: chosen with it in "
                f"{pair['share']:.0%} of its {pair['videos']} videos, the other way round in "
                f"{pair['reverse_share']:.0%}."
            )
    return said


def _likeness(found: Mapping[str, Any] | None) -> list[str]:
    if not found:
        return []
    named = [(f"confusions of {name}", value) for name, value in found["confusion"].items()]
    named += [("co-occurrence", found["co_occurrence"])] if found["co_occurrence"] else []
    return [
        f"Cosine of label texts against {name}: Spearman's rho {v['rho']:+.2f} [{v['low']:+.2f}, {v['high']:+.2f}], "
        f"{v['pairs']} pairs."
        for name, v in named
        if v["rho"] is not None
    ]
