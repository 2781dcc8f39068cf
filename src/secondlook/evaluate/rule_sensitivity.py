"""ReaL under every merge rule and variant, in one table: how much a result hangs on what the source leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook.audit import Aligned
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.real import review


def by_rule(aligned: Aligned, labels: Mapping[str, pa.Table], metrics: Mapping[str, int]) -> list[dict[str, Any]]:
    """Accuracy of each model against the label sets of each rule (label-reassessment 1.9, 6.3).

    Args:
        aligned: the evaluated videos and their models.
        labels: name of a rule -> labels table (`reassess._sensitivity.variants`).
        metrics: name -> k.

    Returns:
        One row a rule: `{"rule", "mean_size", "dropped", "lost_given", "scores": {model: {metric: {"real", "gain"}}}}`;
        `real` is a share of the videos that are not dropped, `gain` in points over the original on the same ones.
    """
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    original = {(r.name, m): hits(r.top_NK, given, k) for r in aligned.rankings for m, k in metrics.items()}
    rows = []
    for name, table in labels.items():
        looked = review(table, aligned)
        kept_N = looked.kept_N
        size_N = looked.sets.size_N[looked.reviewed_N & kept_N]
        n = int(kept_N.sum())
        scores: dict[str, dict[str, Any]] = {}
        for ranking in aligned.rankings:
            for metric, k in metrics.items():
                right = int(hits(ranking.top_NK, looked.sets, k)[kept_N].sum())
                before = int(original[ranking.name, metric][kept_N].sum())
                found = {"real": right / n, "gain": 100 * (right - before) / n} if n else {"real": None, "gain": None}
                scores.setdefault(ranking.name, {})[metric] = found
        rows.append(
            {
                "rule": name,
                "mean_size": float(size_N.mean()) if size_N.size else None,
                "dropped": int((~kept_N).sum()),
                "lost_given": int((~looked.holds_given_N & kept_N).sum()),
                "scores": scores,
            }
        )
    return rows


def spread(rows: list[dict[str, Any]], model: str, metric: str) -> tuple[float, float] | None:
    """The lowest and the highest gain over the rules, in points."""
    gains = [row["scores"][model][metric]["gain"] for row in rows if model in row["scores"]]
    known = np.array([g for g in gains if g is not None])
    return (float(known.min()), float(known.max())) if known.size else None
