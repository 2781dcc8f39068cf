"""Everything that evaluation says about one or more models, as one dictionary: the layout of `scores.json`.

A *score* is `{"count", "n", "rate", "low", "high"}`: hits, videos, `count / n`, and the ends of the bootstrap interval,
all shares in [0, 1] (None where n is 0). A *difference* is `{"points", "low", "high"}` in percentage points, paired.
Metrics are named `top1` and `top5` (or `top3`, ..., by each k that was asked for and that there are classes for).

```
layout        1
n             videos evaluated: usable, labelled, in the split, predicted by every model
top_k         largest k                       metrics   ["top1", "top5"]; top1 is always there, first
split         the split asked for, or ""      notes     [sentences]
left_out      [{"status", "count", "failed", "examples"}]: videos not evaluated; `failed`: not by intention
labels        {"space": name, "names": [K names], "groups": [K coarse groups, "" for none]}
bootstrap     {"resamples", "confidence", "seed", "unit": "video" | "group", "units"}
models        one a model:
  name, card    name it was given, and the card's own name
  n             as above
  top1, top5    {against: score}, and what is made of them:
    original           given label among the k best
    real               one of the reassessed set among the k best; dropped videos (empty set) left out          (1)
    real_with_dropped  the same with {given label} for dropped videos                                           (1)
    original_kept      original on the videos of `real`                                                         (1)
    gain               difference real - original_kept, and `videos`, the same as a count                       (1)
    true               one of the true set among the k best, where the true set is known                        (2)
    original_error     difference original - true, on the videos whose true set is known                        (2)
    real_error         difference real - true, likewise                                                     (1) (2)
    closer             true where |real_error| < |original_error|                                           (1) (2)
    gain_test          McNemar, real (a) against original_kept (b): as in `pairs`, without names                (1)
  confusion     {"counts": K x K, "by_row": K x K}; row = given label, column = predicted
  per_class     [{"label", "name", "group", "n", "top1", "top5", "top1_real", "top5_real"}] counts, by given label
  per_group     [{"group", "n", "group_hit", "top1", "top5", "top1_real", "top5_real"}]; group_hit: right coarse group
  gains         {metric: {"per_class", "per_group"}}: rows of `gains.gains`, real_with_dropped against original  (1)
pairs         one for each two models, metric and "against" (original, real, true):
  a, b, metric, against, both, only_a, only_b, neither, chi2, p_chi2, p_exact, test, p, difference (a - b)
review        None, or what the second look changed:                                                            (1)
  reviewed, changed, dropped, elsewhere, keeps_given, lost_given, statement,
  set_sizes {"histogram": {size: videos}, "mean", "max"} over reviewed videos, rules {rule: videos},
  approvals [{"approved", "videos", "any": {"yes", "no"}, "all": {"yes", "no"}}],
  co_occurrence [the 20 pairs of the highest share, see `co_occurrence` and `patterns.typed`],
  groups {"within", "across"}, relations [see `patterns.by_relation`],
  heat {"labels": [names], "share": matrix}: co-occurrence among the labels that take part most
likeness      None, or rank correlation of label cosines with confusions and co-occurrence (`likeness.correlation`):
              {"confusion": {model: correlation}, "co_occurrence": correlation or None}                         (3)
truth         None, or {"known": videos, "given": recovery, "reassessed": recovery (1)}: how well the sets recover the
              true ones, on reviewed videos (all known ones where there was no review);                           (2)
              recovery = {"videos", "precision", "recall", "jaccard", "exact", "right", "labels", "true_labels"}
controls      only where they were asked for: see `controls`
made          how it was made (`tables.provenance`); only in the file
```
(1) only with a labels table; (2) only where the videos table knows the true sets; (3) with label vectors. Per class and
group, `*_real` counts
dropped videos with {given label}, so that n is the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook import tables
from secondlook.audit import Aligned, Ranking, align
from secondlook.errors import BadValue
from secondlook.evaluate import confusion
from secondlook.evaluate.accuracy import hits, per_class, per_group
from secondlook.evaluate.bootstrap import Outcome, Resampled, groups_or_none, resample
from secondlook.evaluate.co_occurrence import across_groups, co_occurrence, heat
from secondlook.evaluate.gains import gains
from secondlook.evaluate.label_sets import LabelSets
from secondlook.evaluate.likeness import likeness
from secondlook.evaluate.paired import mcnemar
from secondlook.evaluate.patterns import by_relation, typed
from secondlook.evaluate.real import Review, approvals, review, set_sizes
from secondlook.evaluate.truth import recovery
from secondlook.whole_files import whole

LAYOUT = 1
_PAIRS_KEPT = 20


def score(
    predictions: Mapping[str, pa.Table],
    labels: pa.Table | None = None,
    videos: pa.Table | None = None,
    *,
    top_k: int = 5,
    top: Sequence[int] = (),
    split: str = "",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures models against given labels, reassessed sets, and true sets where they are known.

    Videos that are not usable, have no given label, or whose logits are not finite are left out of N for every model
    and counted by status (`audit.align`). Of equal logits the lower class wins; k above the number of classes is that
    number.

    Args:
        predictions: model name -> predictions table.
        labels: reassessed label sets; original accuracy only when None.
        videos: adds groups (the bootstrap then draws whole groups) and true label sets.
        top_k: k of the second metric.
        top: every k instead, as 1, 3, 5; top-1 is always measured.
        split: only videos of this split; all when empty.
        resamples: of the bootstrap.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        The layout at the top of this file, JSON-ready, without `made`.

    Raises:
        BadValue: if tables do not fit together, or a number is out of range.
        UnknownName: if there is no such split.
    """
    if top and min(top) < 1:
        raise BadValue(list(top), "every k must be at least 1", "Give --top 1,3,5.")
    aligned = align(predictions, videos, top_k=max(top) if top else top_k, split=split)
    cards = {name: str(tables.made(table).get("model", "")) for name, table in predictions.items()}
    return score_aligned(
        aligned, labels, cards=cards, top=top or (top_k,), split=split, resamples=resamples, confidence=confidence,
        seed=seed,
    )  # fmt: skip


def score_aligned(
    aligned: Aligned,
    labels: pa.Table | None = None,
    *,
    vectors: pa.Table | None = None,
    cards: Mapping[str, str] | None = None,
    top: Sequence[int] = (5,),
    split: str = "",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """`score` for predictions that are aligned already.

    Args:
        aligned: models on the same videos.
        labels: reassessed label sets.
        vectors: of the labels, for `likeness`.
        cards: model name -> name of its card.
        top: every k; top-1 is always measured.
        split: that the videos were taken from.
        resamples: of the bootstrap.
        confidence: of the intervals.
        seed: of the bootstrap.
    """
    looked = None if labels is None else review(labels, aligned)
    true, known_N = _true_sets(aligned)
    metrics = metrics_of(aligned, top)
    outcomes = {
        f"{ranking.name}/{metric}/{against}": outcome
        for ranking in aligned.rankings
        for metric, k in metrics.items()
        for against, outcome in _outcomes(ranking, k, aligned, looked, true, known_N).items()
    }
    group_N = groups_or_none(aligned.group_N)
    measured = resample(outcomes, group_N=group_N, resamples=resamples, confidence=confidence, seed=seed)
    about = {"resamples": resamples, "confidence": confidence, "seed": seed}
    return {
        "layout": LAYOUT,
        "n": len(aligned.given_N),
        "top_k": aligned.top_k,
        "metrics": list(metrics),
        "split": split,
        "notes": list(aligned.notes),
        "left_out": [x.to_dict() for x in aligned.left_out],
        "labels": {
            "space": aligned.labels.name,
            "names": list(aligned.labels.names),
            "groups": [x.group for x in aligned.labels.labels],
        },
        "bootstrap": {**about, "unit": measured.unit, "units": measured.units},
        "models": [
            {"name": r.name, "card": (cards or {}).get(r.name, ""), "n": len(aligned.given_N)}
            | {metric: _accuracy(measured, f"{r.name}/{metric}", outcomes) for metric in metrics}
            | _tables_of(r, aligned, looked, metrics)
            | _gains(r, aligned, looked, metrics, about)
            for r in aligned.rankings
        ],
        "pairs": [
            _pair(a, b, metric, against, outcomes, measured)
            for a, b in combinations(aligned.names, 2)
            for metric in metrics
            for against in ("original", "real", "true")
            if f"{a}/{metric}/{against}" in outcomes
        ],
        "review": None if labels is None or looked is None else _review(labels, looked, aligned),
        "truth": None if true is None else _truth(true, known_N, looked, aligned),
        "likeness": None if vectors is None else likeness(vectors, aligned, looked, confidence=confidence, seed=seed),
    }


def metrics_of(aligned: Aligned, top: Sequence[int]) -> dict[str, int]:
    """Name of each accuracy -> its k: top-1 first, and no k above the classes that there are."""
    return {f"top{k}": k for k in sorted({1, *(min(k, aligned.top_k) for k in top)})}


def write(scores: Mapping[str, Any], path: str | Path, made: Mapping[str, Any]) -> Path:
    """Writes `scores.json` in one step (a reader never sees half a file), with how it was made."""
    with whole(path) as part:
        part.write_text(json.dumps({**scores, "made": dict(made)}, allow_nan=False), encoding="utf-8")
    return Path(path)


def _true_sets(aligned: Aligned) -> tuple[LabelSets | None, Any]:
    """True sets of all videos, and which videos have one."""
    if aligned.true_labels is None:
        return None, None
    sets = LabelSets.of_lists(aligned.true_labels, len(aligned.labels))
    known_N = sets.size_N > 0
    return (sets, known_N) if known_N.any() else (None, None)


def _outcomes(
    ranking: Ranking, k: int, aligned: Aligned, looked: Review | None, true: LabelSets | None, known_N: Any
) -> dict[str, Outcome]:
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    every_N = np.ones(given.count, dtype=bool)
    original_N = hits(ranking.top_NK, given, k)
    found = {"original": (original_N, every_N)}
    if looked is not None:
        real_N = hits(ranking.top_NK, looked.sets, k)
        found["real"] = (real_N, looked.kept_N)
        found["real_with_dropped"] = (hits(ranking.top_NK, looked.sets_with_dropped, k), every_N)
        found["original_kept"] = (original_N, looked.kept_N)
    if true is not None:
        found["true"] = (hits(ranking.top_NK, true, k), known_N)
        found["original_known"] = (original_N, known_N)
        if looked is not None:
            found["real_known"] = (real_N, known_N & looked.kept_N)
    return found


def _accuracy(measured: Resampled, name: str, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    shown = ("original", "real", "real_with_dropped", "original_kept", "true")
    found: dict[str, Any] = {a: measured.score(f"{name}/{a}") for a in shown if f"{name}/{a}" in measured.count}
    if "real" in found:
        flipped = found["real"]["count"] - found["original_kept"]["count"]
        found["gain"] = {**measured.difference(f"{name}/real", f"{name}/original_kept"), "videos": flipped}
        (real_N, kept_N), (original_N, _) = outcomes[f"{name}/real"], outcomes[f"{name}/original_kept"]
        found["gain_test"] = mcnemar(real_N[kept_N], original_N[kept_N]).to_dict()
    if "true" in found:
        found["original_error"] = measured.difference(f"{name}/original_known", f"{name}/true")
        if "real" in found:
            found["real_error"] = measured.difference(f"{name}/real_known", f"{name}/true")
            before, after = found["original_error"]["points"], found["real_error"]["points"]
            found["closer"] = None if after is None else abs(after) < abs(before)
    return found


def _tables_of(ranking: Ranking, aligned: Aligned, looked: Review | None, metrics: Mapping[str, int]) -> dict[str, Any]:
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    hit = {metric: hits(ranking.top_NK, given, k) for metric, k in metrics.items()}
    if looked is not None:
        sets = looked.sets_with_dropped
        hit |= {f"{metric}_real": hits(ranking.top_NK, sets, k) for metric, k in metrics.items()}
    counts_KK = confusion.counts(aligned.given_N, ranking.predicted_N, len(aligned.labels))
    return {
        "confusion": {"counts": counts_KK.tolist(), "by_row": np.round(confusion.by_row(counts_KK), 6).tolist()},
        "per_class": per_class(aligned.given_N, aligned.labels, hit),
        "per_group": per_group(aligned.given_N, ranking.predicted_N, aligned.labels, hit),
    }


def _gains(
    ranking: Ranking, aligned: Aligned, looked: Review | None, metrics: Mapping[str, int], about: Mapping[str, Any]
) -> dict[str, Any]:
    if looked is None:
        return {}
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    groups = aligned.labels.groups
    code_of = {group: code for code, group in enumerate(groups)}
    group_K = np.array([code_of.get(label.group, -1) for label in aligned.labels.labels])
    found = {}
    for metric, k in metrics.items():
        hit = hits(ranking.top_NK, given, k), hits(ranking.top_NK, looked.sets_with_dropped, k)
        found[metric] = {
            "per_class": gains(aligned.given_N.astype(np.int64), aligned.labels.names, *hit, **about),
            "per_group": gains(group_K[aligned.given_N], groups, *hit, **about),
        }
    return {"gains": found}


def _pair(
    a: str, b: str, metric: str, against: str, outcomes: Mapping[str, Outcome], measured: Resampled
) -> dict[str, Any]:
    (hit_a_N, counts_N), (hit_b_N, _) = (outcomes[f"{name}/{metric}/{against}"] for name in (a, b))
    test = mcnemar(hit_a_N[counts_N], hit_b_N[counts_N])
    difference = measured.difference(f"{a}/{metric}/{against}", f"{b}/{metric}/{against}")
    return {"a": a, "b": b, "metric": metric, "against": against, **test.to_dict(), "difference": difference}


def _review(labels: pa.Table, looked: Review, aligned: Aligned) -> dict[str, Any]:
    rows = np.flatnonzero(looked.reviewed_N)
    sets, given_N = looked.sets.take(rows), looked.given_N[rows]
    pairs = typed(co_occurrence(given_N, sets, aligned.labels))
    here = labels.filter(pc.is_in(labels["video_id"], pa.array(aligned.video_id_N[rows], type=pa.string())))
    rules = here["rule"].value_counts().to_pylist()
    only_given_N = (sets.size_N == 1) & sets.hold(given_N)
    return {
        "reviewed": len(rows),
        "changed": int((~only_given_N & (sets.size_N > 0)).sum()),
        "dropped": int((sets.size_N == 0).sum()),
        "elsewhere": looked.elsewhere,
        "keeps_given": looked.keeps_given,
        "lost_given": int((~looked.holds_given_N & looked.kept_N).sum()),
        "statement": looked.statement(),
        "set_sizes": set_sizes(sets),
        "rules": {r["values"]: r["counts"] for r in sorted(rules, key=lambda r: str(r["values"]))},
        "approvals": approvals(here),
        "co_occurrence": pairs[:_PAIRS_KEPT],
        "groups": across_groups(pairs),
        "relations": by_relation(pairs),
        "heat": heat(pairs, aligned.labels),
    }


def _truth(true: LabelSets, known_N: Any, looked: Review | None, aligned: Aligned) -> dict[str, Any]:
    among_N = known_N if looked is None else known_N & looked.reviewed_N
    rows = np.flatnonzero(among_N)
    here = true.take(rows)
    given = LabelSets.single(aligned.given_N[rows], len(aligned.labels))
    found: dict[str, Any] = {"known": int(known_N.sum()), "given": recovery(given, here)}
    if looked is not None:
        found["reassessed"] = recovery(looked.sets.take(rows), here)
    return found
