"""Clip by clip becomes one entry: means with intervals, mean curves, and what a method is sensitive to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from secondlook.explain._ground_truth import average
from secondlook.explain._verdicts import on_cue, sensitivity


def aggregate(model: str, method: str, reason: str, parts: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """One entry of `scores`: one method on one network (see the top of `_evaluation`).

    Args:
        model: name of the network.
        method: name of the method.
        reason: why the method says nothing about this network; empty where it does.
        parts: what was measured on each clip.
        seed: of the bootstrap intervals.
    """
    good = [part["entry"] for part in parts if part["entry"]["status"] == "ok"]
    failed = [
        {"video_id": part["entry"]["video_id"], "reason": part["entry"]["reason"]}
        for part in parts
        if part["entry"]["status"] != "ok"
    ]
    status = "unsuitable" if reason else "ok" if good else "failed"
    rows = [entry["measures"] for entry in good]
    return {
        "model": model,
        "method": method,
        "status": status,
        "reason": reason or (failed[0]["reason"] if failed and not good else ""),
        "clips": len(good),
        "failed": failed,
        "module": next((entry["module"] for entry in good), ""),
        "temporal": any(entry["temporal"] for entry in good),
        "no_heat": sum(entry["no_heat"] for entry in good),
        "measures": average([floats(row) for row in rows], np.random.default_rng(seed)),
        "curves": mean_curves(entry["curves"] for entry in good),
        "cascade": _mean_cascade([entry["cascade"] for entry in good if entry["cascade"]]),
        "sensitivity": sensitivity(rows),
        "on_cue": on_cue(rows, np.random.default_rng(seed)),
    }


def floats(measures: Mapping[str, float | None]) -> dict[str, float]:
    """Measures with NaN in place of None, as `average` takes them."""
    return {name: np.nan if value is None else value for name, value in measures.items()}


def mean_curves(curves: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Mean of each curve over clips (all clips of one network have as many points)."""
    table = [c for c in curves if c]
    return {name: np.mean([c[name] for c in table], axis=0).tolist() for name in (table[0] if table else {})}


def _mean_cascade(cascades: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Mean rank correlation and structure of each step, over the clips where they are known."""
    found = []
    for steps in zip(*cascades, strict=True):
        means: dict[str, Any] = {"layer": steps[0]["layer"]}
        for name in ("rank", "structure"):
            known = [step[name] for step in steps if step[name] is not None]
            means[name] = float(np.mean(known)) if known else None
        found.append(means)
    return found
