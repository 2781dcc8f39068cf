"""Models that proposed options beside one that did not: a gain that comes from being among the options shows here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.audit import Aligned
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.proportion import wilson
from secondlook.evaluate.random_labels import options_of
from secondlook.evaluate.real import Review


def by_part(
    aligned: Aligned,
    looked: Review,
    candidates: pa.Table,
    metrics: Mapping[str, int],
    *,
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """What the second look gave each model, and whether it took part in choosing the options.

    A model's mistake is only ever found to be none where its prediction was among the options. `holds` is the share of
    a model's mistakes, on reviewed videos, where its prediction is in the reassessed set; `offered` is how many of its
    predictions there stood among the options (all, for a model that took part). A held-out model whose `holds` is near
    the others' says that the options were wide enough; `holds_if_offered` leaves out what people could not have chosen.

    Args:
        aligned: the evaluated videos and their models.
        looked: what people said.
        candidates: what they were asked. A model is held out if the metadata `held_out_models` names it, or if
            `models` are named and it is not among them; with neither, if not all its k best classes are among the
            options of every candidate.
        metrics: name -> k.
        confidence: of Wilson's intervals of `holds`.

    Returns:
        One row a model: `{"model", "held_out", "gain": {metric: points}, "mistakes", "reviewed", "offered", "holds":
        {"count", "n", "rate", "low", "high"}, "holds_if_offered": likewise}`; `mistakes` at top-1, over all videos.
    """
    made = tables.made(candidates)
    options = options_of(aligned.video_id_N.tolist(), candidates, len(aligned.labels))
    asked_N = options.size_N > 0
    seen_N = looked.reviewed_N & looked.kept_N & asked_N
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    kept_N = looked.kept_N
    rows = []
    for ranking in aligned.rankings:
        predicted_N1 = ranking.top_NK[:, :1]
        offered_N, holds_N = options.hold(predicted_N1)[:, 0], looked.sets.hold(predicted_N1)[:, 0]
        wrong_N = predicted_N1[:, 0] != aligned.given_N
        here_N = wrong_N & seen_N
        told_N = here_N & offered_N
        gain = {}
        for metric, k in metrics.items():
            real_N, original_N = hits(ranking.top_NK, looked.sets, k), hits(ranking.top_NK, given, k)
            n = int(kept_N.sum())
            gain[metric] = 100 * (int(real_N[kept_N].sum()) - int(original_N[kept_N].sum())) / n if n else None
        rows.append(
            {
                "model": ranking.name,
                "held_out": _is_held_out(ranking.name, made, options, asked_N, ranking.top_NK),
                "gain": gain,
                "mistakes": int(wrong_N.sum()),
                "reviewed": int(here_N.sum()),
                "offered": int(told_N.sum()),
                "holds": _share(holds_N, here_N, confidence),
                "holds_if_offered": _share(holds_N, told_N, confidence),
            }
        )
    return rows


def _share(holds_N: Any, among_N: Any, confidence: float) -> dict[str, Any]:
    count, n = int((holds_N & among_N).sum()), int(among_N.sum())
    return {"count": count, "n": n, **wilson(count, n, confidence)}


def _is_held_out(name: str, made: Mapping[str, Any], options: LabelSets, asked_N: Any, top_NK: Any) -> bool:
    if name in made.get("held_out_models", ()):
        return True
    if made.get("models"):
        return name not in made["models"]
    return not bool(options.hold(top_NK)[np.flatnonzero(asked_N)].all())
