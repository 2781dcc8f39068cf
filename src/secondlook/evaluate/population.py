"""Accuracy on the true sets of all videos, from the suspicious ones that were looked at and a random draw of the rest.

The source looks at mistakes only, so its accuracy can only rise (label-reassessment 6.3). Where controls were drawn at
random from the videos that were not selected, and the rule can take a given label away, a prediction that was scored
right can turn out wrong: the estimate may be lower than the original accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.audit import Aligned
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.proportion import Stratum, stratified
from secondlook.evaluate.real import Review

SELECTED, CONTROL = 1, 2
"""Codes of the videos that were put to people."""


def estimates(
    aligned: Aligned,
    looked: Review,
    candidates: pa.Table,
    metrics: Mapping[str, int],
    *,
    rule: str = "",
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Estimated accuracy of each model on the sets that hold, over all evaluated videos.

    Two strata. *Selected*: the suspicious videos; where all were put to people and answered, their share is certain.
    *Not selected*: the controls were drawn at random from them, each stands for `size / looked`. Videos without an
    answer, with an empty set (dropped), or that a limit kept from being asked are taken to be like those of their
    stratum that were looked at; `looked` beside `size` tells how many there are.

    Args:
        aligned: the evaluated videos and their models.
        looked: what people said.
        candidates: with rows of category `control`, and the metadata `sampling`.
        metrics: name -> k.
        rule: what the sets were made by, for the reader.
        confidence: of the interval.

    Returns:
        One row a model and metric: `{"model", "metric", "rule", "original", "rate", "low", "high", "n", "strata"}`; a
        stratum is `{"name", "size", "looked", "original", "hits"}`. Empty without controls among the videos.
    """
    place = {video: row for row, video in enumerate(aligned.video_id_N)}
    code_N = np.zeros(len(aligned.given_N), np.int8)
    for video, category in zip(*(candidates[c].to_pylist() for c in ("video_id", "category")), strict=True):
        if video in place:
            code_N[place[video]] = CONTROL if category == "control" else SELECTED
    if not (code_N == CONTROL).any():
        return []
    sampling = tables.made(candidates).get("sampling", {})
    selected = int((code_N == SELECTED).sum())
    left_over = max(int(sampling.get("selected", selected)) - selected, 0)
    known_N = looked.reviewed_N & looked.kept_N
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    rows = []
    for ranking in aligned.rankings:
        for metric, k in metrics.items():
            original_N = hits(ranking.top_NK, given, k)
            real_N = hits(ranking.top_NK, looked.sets, k)
            strata = _strata(code_N, known_N, original_N, real_N, left_over)
            found = stratified([Stratum(s["name"], s["size"], s["looked"], s["hits"]) for s in strata], confidence)
            original = float(original_N.mean())
            about = {"model": ranking.name, "metric": metric, "rule": rule, "original": original}
            rows.append({**about, **found, "n": len(code_N), "strata": strata})
    return rows


def _strata(
    code_N: npt.NDArray[np.int8],
    known_N: npt.NDArray[np.bool_],
    original_N: npt.NDArray[np.bool_],
    real_N: npt.NDArray[np.bool_],
    left_over: int,
) -> Sequence[dict[str, Any]]:
    """Sizes and hits of the two; videos selected but not asked are counted as selected."""
    found = []
    for name, own_N, size in (
        ("selected", code_N == SELECTED, int((code_N == SELECTED).sum()) + left_over),
        ("not selected", code_N == CONTROL, int((code_N != SELECTED).sum()) - left_over),
    ):
        seen_N = own_N & known_N
        counts = {"original": int(original_N[seen_N].sum()), "hits": int(real_N[seen_N].sum())}
        found.append({"name": name, "size": size, "looked": int(seen_N.sum()), **counts})
    return found
