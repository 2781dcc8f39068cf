"""The accuracy section of the report, from the layout of `scores.json` (`evaluate/scores.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def accuracy_rows(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a model and metric, as the page's table shows it; empty without scores."""
    rows = []
    for model in scores.get("models", []):
        for metric in scores["metrics"]:
            against = model[metric]
            gain = against.get("gain")
            rows.append(
                {
                    "model": model["name"],
                    "metric": _metric(metric),
                    "n": against["original"]["n"],
                    "original": _cell(against["original"]),
                    "real": _cell(against.get("real")),
                    "true": _cell(against.get("true")) if against.get("true") else None,
                    "gain": f"{gain['points']:+.1f} points" if gain and gain["points"] is not None else "",
                }
            )
    return rows


def accuracy_tiles(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    """Top-1 of each model at a glance: original, and after the arrow reassessed."""
    tiles = []
    for model in scores.get("models", []):
        original, real, true = (_cell(model["top1"].get(key))["text"] for key in ("original", "real", "true"))
        value = f"{original} → {real}" if real else original
        note = ("original to reassessed" if real else "original") + (f"; truth {true}" if true else "")
        tiles.append({"label": f"{model['name']}, top-1", "value": value, "note": note})
    return tiles


def dumbbell_rows(scores: Mapping[str, Any]) -> list[dict[str, float | str]]:
    """The same numbers for the plot; a model without reassessed labels shows its original accuracy twice."""
    rows: list[dict[str, float | str]] = []
    for model in scores["models"]:
        for metric in scores["metrics"]:
            against = model[metric]
            row: dict[str, float | str] = {"name": f"{model['name']}, {_metric(metric)}"}
            for name, key in (("original", "original"), ("real", "real" if against.get("real") else "original")):
                score = against[key]
                if score["rate"] is not None:
                    row |= {name: score["rate"], f"{name}_low": score["low"], f"{name}_high": score["high"]}
            if against.get("true") and against["true"]["rate"] is not None:
                row["true"] = against["true"]["rate"]
            if "original" in row and "real" in row:
                rows.append(row)
    return rows


def comparison(scores: Mapping[str, Any]) -> list[str]:
    """Each pair of models at top-1 in a sentence, with the paired interval and McNemar's p."""
    said = []
    for pair in scores.get("pairs", []):
        if pair["metric"] != "top1" or pair["against"] not in ("original", "real"):
            continue
        difference = pair["difference"]
        labels = "given labels" if pair["against"] == "original" else "reassessed labels"
        said.append(
            f"Against {labels}, {pair['a']} and {pair['b']} differ by {difference['points']:+.1f} points at top-1 "
            f"(95 % interval {difference['low']:+.1f} to {difference['high']:+.1f}; McNemar p = {pair['p']:.2g})."
        )
    return said


def top_confusions(counts_KK: npt.NDArray[np.int64], names: Sequence[str], most: int = 8) -> list[dict[str, Any]]:
    """The most frequent wrong pairs: given label, what it was taken for, how often, share of the class."""
    wrong_KK = counts_KK.copy()
    np.fill_diagonal(wrong_KK, 0)
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:most]
    rows = []
    for given, predicted in zip(*np.unravel_index(order, wrong_KK.shape), strict=True):
        count = int(wrong_KK[given, predicted])
        if count:
            share = count / counts_KK[given].sum()
            rows.append({"given": names[given], "predicted": names[predicted], "count": count, "share": f"{share:.0%}"})
    return rows


def _metric(metric: str) -> str:
    return metric.replace("top", "top-")


def _cell(score: Mapping[str, Any] | None) -> dict[str, str]:
    if not score or score["rate"] is None:
        return {"text": "", "detail": ""}
    detail = f"{score['count']} of {score['n']}"
    if score["low"] is not None:
        detail += f"; {score['low'] * 100:.1f} to {score['high'] * 100:.1f}"
    return {"text": f"{score['rate']:.1%}", "detail": detail}
