"""Original against reassessed accuracy, one row a model and metric: with counts, gains and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def gain_table(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of label-reassessment 3.8 (the source's Table 5.2) from `scores.score`.

    The source prints rates only; equal gains of two models in it make one wish for counts, so they stand beside.

    Returns:
        `{"model", "metric", "original", "real", "gain", "true"}` a row; the last three are None where they were not
        measured. `original` is on the same videos as `real`.
    """
    rows = []
    for model in scores["models"]:
        for metric in scores["metrics"]:
            found = model[metric]
            rows.append(
                {
                    "model": model["name"],
                    "metric": metric,
                    "original": found.get("original_kept", found["original"]),
                    "real": found.get("real"),
                    "gain": found.get("gain"),
                    "true": found.get("true"),
                }
            )
    return rows
