"""Accuracy of a model on each of a dataset's published splits, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook.audit import align
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets


def over_splits(models: Mapping[str, Mapping[str, pa.Table]], *, top: Sequence[int] = (1, 3)) -> list[dict[str, Any]]:
    """Measures each table alone and takes `mean = 1/S sum_s accuracy_s`: splits count alike, whatever their size.

    HMDB-51 and UCF-101 publish three splits whose test sets overlap; papers print each and their mean
    (late-temporal-bert 2.2, C.3, C.4), never a pooled share.

    Args:
        models: model name -> split name -> predictions table.
        top: k of the accuracies; above the number of classes it is that number.

    Returns:
        One a model: `{"name", "metrics", "splits": [{"name", "n", "left_out", "top1", "top3"}], "mean": {"top1": ...},
        "sd": {...}}`; shares in [0, 1], `sd` over the splits (n - 1; 0 for one split).

    Raises:
        BadValue: if a table has no usable video.
    """
    return [_over(name, splits, top) for name, splits in models.items()]


def _over(name: str, splits: Mapping[str, pa.Table], top: Sequence[int]) -> dict[str, Any]:
    rows, metrics = [], [f"top{k}" for k in sorted(set(top))]
    for split, table in splits.items():
        aligned = align({name: table}, top_k=max(top))
        sets = LabelSets.single(aligned.given_N, len(aligned.labels))
        shares = {f"top{k}": float(hits(aligned.rankings[0].top_NK, sets, k).mean()) for k in sorted(set(top))}
        failed = sum(x.count for x in aligned.left_out if x.failed)
        rows.append({"name": split, "n": len(aligned.given_N), "left_out": failed, **shares})
    of = {metric: np.array([row[metric] for row in rows]) for metric in metrics}
    return {
        "name": name,
        "metrics": metrics,
        "splits": rows,
        "mean": {metric: float(value_S.mean()) for metric, value_S in of.items()},
        "sd": {metric: float(value_S.std(ddof=1)) if len(rows) > 1 else 0.0 for metric, value_S in of.items()},
    }
