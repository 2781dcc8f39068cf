"""Controls against the source's own biases, in one dictionary: `controls` of `scores.json`.

The source looks at mistakes only, takes every option from the models it scores, keeps every given label, and tells
nothing of chance (label-reassessment 6.3). Each part answers one of these:

```
random       gains that equally many random labels would give (`random_labels`), from all labels, and from the options
foils        how often people choose an option that nobody proposed (`foils`); None without foils
held_out     models that proposed options beside those that did not (`held_out`)
population   accuracy over all videos from mistakes and random controls (`population`); it may be lower than original
rules        ReaL under each merge rule (`rule_sensitivity`)
said         the same in sentences
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from secondlook.audit import Aligned
from secondlook.evaluate.foils import foils_chosen
from secondlook.evaluate.held_out import by_part
from secondlook.evaluate.population import estimates
from secondlook.evaluate.random_labels import options_of, random_gain
from secondlook.evaluate.real import Review, review
from secondlook.evaluate.rule_sensitivity import by_rule, spread
from secondlook.reassess import _sensitivity

FALLING = ("given=drop-if-unvoted", "given=vote")
"""Rules under which a given label can go, so that an accuracy can fall."""


def controls(
    aligned: Aligned,
    looked: Review,
    candidates: pa.Table,
    answers: pa.Table,
    metrics: Mapping[str, int],
    *,
    unjudged: Literal["refuse", "approve", "reject"] = "refuse",
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything at the top of this file.

    Args:
        aligned: the evaluated videos and their models.
        looked: the reassessed sets that the scores are made from.
        candidates: what people were asked.
        answers: what they said (`annotate.store.Store.answers`).
        metrics: name -> k.
        unjudged: what becomes of answers without a verdict.
        draws: of random labels.
        confidence: of the intervals.
        seed: of the draws.

    Raises:
        BadValue: if an answer has no verdict and `unjudged` is "refuse".
    """
    classes = len(aligned.labels)
    options = options_of(aligned.video_id_N.tolist(), candidates, classes)
    random = [
        row
        for pool in (None, options)
        for ranking in aligned.rankings
        for row in random_gain(ranking, looked, metrics, options=pool, draws=draws, confidence=confidence, seed=seed)
    ]
    sets = {name: found.labels for name, found in _sensitivity.variants(answers, unjudged).items()}
    population = estimates(aligned, looked, candidates, metrics, rule="as scored", confidence=confidence)
    for name in FALLING:
        if name in sets:
            there = review(sets[name], aligned)
            population += estimates(aligned, there, candidates, metrics, rule=name, confidence=confidence)
    found = {
        "random": random,
        "foils": foils_chosen(candidates, answers, confidence=confidence),
        "held_out": by_part(aligned, looked, candidates, metrics, confidence=confidence),
        "population": population,
        "rules": by_rule(aligned, sets, metrics),
    }
    return {**found, "said": list(sentences(found))}


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What the controls say, the top-1 numbers in words."""
    for row in _top1(found["random"]):
        yield (
            f"{row['model']}: equally many labels drawn from {row['pool']} would give {row['random']:+.2f} points at "
            f"top-1 [{row['low']:+.2f}, {row['high']:+.2f}]; people's labels give {row['gain']:+.2f} "
            f"(p = {row['p']:.2g})."
        )
    foils = found["foils"]
    if foils is None:
        yield "No options were drawn at random (audit --random-options): how often people choose blindly is not known."
    else:
        shares = [f"{_percent(foils[k]['rate'])} of the {words}" for k, words in _KINDS.items()]
        yield f"People chose {', '.join(shares)}."
    yield from _about_held_out(found["held_out"])
    if not found["population"]:
        yield (
            "No correctly classified videos were looked at (audit --controls): accuracy over all videos is not "
            "estimated, and ReaL could only rise."
        )
    for row in _top1(found["population"]):
        if row["rate"] is None:
            continue
        change = 100 * (row["rate"] - row["original"])
        certain = "higher" if row["low"] > row["original"] else "lower" if row["high"] < row["original"] else ""
        yield (
            f"{row['model']}, rule {row['rule']}: over all {row['n']} videos, weighted, {_percent(row['rate'])} "
            f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}] at top-1, {change:+.1f} points from the original "
            f"{_percent(row['original'])}: {certain or 'not certainly higher or lower'}."
        )
    for model in next(iter(found["rules"]), {"scores": {}})["scores"]:
        if (ends := spread(found["rules"], model, "top1")) is not None:
            yield (
                f"{model}: over {len(found['rules'])} merge rules the gain at top-1 is {ends[0]:+.2f} to "
                f"{ends[1]:+.2f} points."
            )


_KINDS = {"given": "given labels", "proposed": "labels that models proposed", "foil": "labels drawn at random"}


def _about_held_out(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not any(row["held_out"] for row in rows):
        yield "Every model proposed options (audit --held-out-model keeps one out): none is scored as an outsider."
        return
    for row in rows:
        if (holds := row["holds"])["n"]:
            part = "proposed no options" if row["held_out"] else "proposed options"
            yield (
                f"{row['model']} {part}: of {holds['n']} of its mistakes that were looked at, "
                f"{_percent(holds['rate'])} hold [{100 * holds['low']:.0f}, {100 * holds['high']:.0f}]; "
                f"{row['offered']} were among the options."
            )


def _top1(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["metric"] == "top1"]


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"
