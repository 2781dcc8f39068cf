"""Whose mistake was it: the label section of the report, from candidates, predictions and reassessed labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secondlook import tables
from secondlook.report.collect import Findings

MODEL, LABEL, BOTH, OPEN = "model's mistake", "label's mistake", "label too narrow", "still open"
"""Verdicts on a candidate. Label's mistake: people dropped or never chose the given label and chose a prediction. Label
too narrow: the given label holds and so does a prediction that was scored wrong. Open: nobody was asked, or no answer
was approved."""


def mistakes(found: Findings) -> list[dict[str, Any]]:
    """One entry a candidate: given label, each model's prediction with confidence, reassessed set, verdict.

    Candidates come in the order of their suspicion, highest first.
    """
    if found.candidates is None:
        return []
    predicted = {name: top1(table) for name, table in found.predictions.items()}
    reassessed = {row["video_id"]: row for row in found.labels.to_pylist()} if found.labels is not None else {}
    true_sets = _true_sets(found)
    entries = []
    for row in sorted(found.candidates.to_pylist(), key=lambda r: (-r["suspicion"], r["video_id"])):
        video_id, given = row["video_id"], row["given_label"]
        answers = reassessed.get(video_id)
        wrong = {name: table[video_id] for name, table in predicted.items() if video_id in table}
        entries.append(
            {
                "video_id": video_id,
                "path": row["path"],
                "given": given,
                "predictions": wrong,
                "reassessed": None if answers is None else answers["labels"],
                "rule": "" if answers is None else answers["rule"],
                "true": true_sets.get(video_id, []),
                "reason": row["reason"],
                "verdict": verdict(given, [label for label, _ in wrong.values()], answers),
            }
        )
    return entries


def verdict(given: int, predicted: Sequence[int], answers: Mapping[str, Any] | None) -> str:
    """Whose mistake a candidate is, by what people said."""
    if answers is None or answers["rule"].startswith("failed"):
        return OPEN
    holding = [label for label in predicted if label != given and label in answers["labels"]]
    if not holding:
        return MODEL
    return BOTH if given in answers["voted"] else LABEL


def top1(predictions: Any) -> dict[str, tuple[int, float]]:
    """video_id -> (most probable class, its softmax probability) of every usable video row."""
    rows = predictions.filter(np.equal(predictions["view"].to_numpy(), -1))
    logits_BK = tables.matrix(rows, "logits").astype(np.float64)
    usable = np.isfinite(logits_BK.sum(axis=1)).tolist()
    exp_BK = np.exp(logits_BK - logits_BK.max(axis=1, keepdims=True, initial=-np.inf))
    found = {}
    for video_id, ok, exp_K in zip(rows["video_id"].to_pylist(), usable, exp_BK, strict=True):
        if ok:
            label = int(exp_K.argmax())
            found[video_id] = (label, float(exp_K[label] / exp_K.sum()))
    return found


def _true_sets(found: Findings) -> dict[str, list[int]]:
    if found.videos is None or "true_labels" not in found.videos.column_names:
        return {}
    ids = found.videos["video_id"].to_pylist()
    return dict(zip(ids, tables.lists(found.videos, "true_labels"), strict=True))


def sentences(entries: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str]:
    """The finding in words: how many candidates, and for each model how many of its mistakes were the label's."""
    if not entries:
        return []
    said = [f"{len(entries)} videos were predicted wrong by at least one model."]
    if all(e["reassessed"] is None for e in entries):
        return [*said, "Nobody has been asked yet: `secondlook annotate create` makes the tasks."]
    for model in models:
        wrong = [e for e in entries if model in e["predictions"] and e["predictions"][model][0] != e["given"]]
        asked = [e for e in wrong if e["verdict"] != OPEN]
        holds = [e for e in asked if e["predictions"][model][0] in e["reassessed"]]
        if asked:
            said.append(
                f"{model}: of {len(asked)} mistakes, people say the prediction holds in {len(holds)} "
                f"({len(holds) / len(asked):.0%}): there the label was wrong or too narrow, not the model."
            )
    return said


def counts(entries: Sequence[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], Any]) -> list[tuple[Any, int]]:
    """How often each value of `key` occurs, in order of the value."""
    return sorted(Counter(key(e) for e in entries).items(), key=lambda pair: str(pair[0]))


def shown(entries: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Up to `most` entries, in turn from each verdict so that all kinds are seen; most suspicious first."""
    piles = [[e for e in entries if e["verdict"] == v] for v in (LABEL, BOTH, MODEL, OPEN)]
    picked: list[dict[str, Any]] = []
    while len(picked) < most and any(piles):
        for pile in piles:
            if pile and len(picked) < most:
                picked.append(pile.pop(0))
    return picked


def media_path(entry: Mapping[str, Any], found: Findings) -> Path | None:
    """The clip's file, from the candidate itself or from the videos table; it never leaves the dataset's root."""
    if found.videos is None:
        return None
    root = Path(str(tables.made(found.videos).get("root", ".")))
    relative = entry["path"]
    if not relative:
        ids = found.videos["video_id"].to_pylist()
        relative = found.videos["path"][ids.index(entry["video_id"])].as_py() if entry["video_id"] in ids else ""
    path = (root / relative).resolve()
    return path if relative and path.is_relative_to(root.resolve()) else None
