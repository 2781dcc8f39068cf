"""How well each rule finds the true label sets, by answers a clip and by share of spammers (simulated people).

The truth must be known (drawn videos). Each point is a whole campaign, simulated anew with each seed: `precision`,
`recall`, `f1` (micro-averaged over videos, `_recovered`) and their 95 % t interval over seeds. Rules that read verdicts
get those of the simulated reviewer; the others get none, as if nobody had reviewed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from secondlook import catalog
from secondlook.annotate.simulate import Crowd
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue, UnknownName
from secondlook.reassess._drawn_answers import draw
from secondlook.reassess._recovered import recovered

RULES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "approval_rules": ("approval_rules", {}),
    "approval_rules given=drop-if-unvoted": ("approval_rules", {"given": "drop-if-unvoted"}),
    "majority": ("majority", {}),
    "worker_weighted": ("worker_weighted", {}),
    "dawid_skene": ("dawid_skene", {}),
    "glad": ("glad", {}),
    "mace": ("mace", {}),
}
"""Curves: name -> rule and options."""
VOTES = (1, 2, 3, 5, 7, 9)
SPAM = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
MEASURES = ("precision", "recall", "f1")
_LEVEL = 0.95


def points(votes: Sequence[int], spam: Sequence[float], crowd: Crowd, usual_votes: int) -> list[tuple[str, int, Crowd]]:
    """The campaigns of one seed: (panel, votes, crowd)."""
    by_votes = [("by_votes", v, crowd) for v in votes]
    return by_votes + [("by_spam", usual_votes, replace(crowd, spam=share)) for share in spam]


def study(
    tasks: Sequence[Task],
    true_labels: Mapping[str, Collection[int]],
    *,
    crowd: Crowd | None = None,
    votes: Sequence[int] = VOTES,
    spam: Sequence[float] = SPAM,
    usual_votes: int = 3,
    seeds: int = 5,
    seed: int = 0,
    rules: Iterable[str] = tuple(RULES),
    advance: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Precision and recall of every rule, by votes a clip (at the crowd's spam) and by spam (at `usual_votes`).

    Args:
        tasks: what is asked.
        true_labels: every label that holds, by video_id.
        crowd: who answers; 40 workers if not given.
        votes: answers a clip, of the first panel.
        spam: shares of spammers, of the second.
        usual_votes: answers a clip, of the second.
        seeds: campaigns a point.
        seed: the first seed.
        rules: names in `RULES`.
        advance: called after each campaign, `seeds * (len(votes) + len(spam))` times.

    Returns:
        JSON-ready: `settings`, `ceiling` (recall of someone who sees everything: labels that hold and are not among the
        options cannot be found), `by_votes` and `by_spam`: rows `rule`, `votes`, `spam`, and each measure with `mean`,
        `low`, `high` and `of_seeds`.

    Raises:
        UnknownName: if a rule is none of `RULES`.
        BadValue: if there is no task, no seed or no point, or the truth of a task is not known.
    """
    crowd = crowd or Crowd(workers=40)
    wanted = list(dict.fromkeys(rules))
    for name in wanted:
        if name not in RULES:
            raise UnknownName("rule", name, RULES)
    if not tasks or seeds < 1 or not (votes or spam) or not wanted:
        raise BadValue((len(tasks), seeds, len(votes), len(spam)), "needs at least one task, seed, rule and point")
    measured: dict[tuple[str, int, float, str], list[tuple[float, ...]]] = {}
    for number in range(seed, seed + seeds):
        for panel, of_votes, people in points(votes, spam, crowd, usual_votes):
            answers, _ = draw(tasks, true_labels, votes=of_votes, crowd=people, seed=number)
            unreviewed = answers.drop_columns("verdict")
            for name in wanted:
                rule, options = RULES[name]
                table = answers if rule == "approval_rules" else unreviewed
                result = catalog.find("reassess", rule).fit(table, **options)
                near = recovered(result.labels, true_labels).reassessed
                key = (panel, of_votes, people.spam, name)
                measured.setdefault(key, []).append(tuple(getattr(near, m) for m in MEASURES))
            if advance:
                advance()
    settings = {
        "crowd": asdict(crowd), "votes": list(votes), "spam": list(spam), "usual_votes": usual_votes,
        "seeds": seeds, "seed": seed, "tasks": len(tasks),
        "rules": {name: {"rule": RULES[name][0], **RULES[name][1]} for name in wanted},
    }  # fmt: skip
    panels: dict[str, list[dict[str, Any]]] = {"by_votes": [], "by_spam": []}
    for (panel, of_votes, share, name), found in measured.items():
        row = {"rule": name, "votes": of_votes, "spam": share}
        panels[panel].append(row | {m: interval([x[i] for x in found]) for i, m in enumerate(MEASURES)})
    truths = [(frozenset(true_labels[task.video_id]), frozenset(task.options)) for task in tasks]
    holding = sum(len(truth) for truth, _ in truths)
    ceiling = sum(len(truth & options) for truth, options in truths) / max(holding, 1)
    return {"settings": settings, "level": _LEVEL, "ceiling": ceiling, **panels}


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean over seeds and its t interval, cut to [0, 1]; no interval for a single seed."""
    mean = float(np.mean(values))
    low = high = None
    if len(values) > 1:
        half = float(stats.t.ppf((1 + _LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
        low, high = max(mean - half, 0.0), min(mean + half, 1.0)
    return {"mean": mean, "low": low, "high": high, "of_seeds": [float(v) for v in values]}
