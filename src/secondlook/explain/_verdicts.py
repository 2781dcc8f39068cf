"""What the scores of explanations mean, in words: which pictures to trust, and whether a network looks at a cue.

No verdict is told which network cheats: it reads nothing but scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata  # type: ignore[import-untyped]

from secondlook.explain._sanity import INSENSITIVE

FAITHFUL = ("deletion_gain", "insertion_gain", "sensitivity_n")
"""Measures by which methods are ranked; high is good."""
TRUE = ("pointing_frame", "iou_best")
"""Further ones where the truth is known; not for a network that looks at the cue, whose true picture shows the cue."""
CLEARLY = 1.5
"""A method finds the heat on the cue where the low end of the interval of `on_cue / on_cue_uniform` is above this."""
RULE = (
    f"A method finds the heat on the cue if heat a place there, as a multiple of evenly spread heat, is above "
    f"{CLEARLY} at the low end of its 95 % interval over the clips that carry the cue. Methods that speak only about "
    "time and methods that do not follow what was learned have no vote. A network looks at the cue if more than half "
    "of the votes say so."
)


def ratio(
    own: Sequence[float], chance: Sequence[float], rng: np.random.Generator, samples: int = 1000
) -> dict[str, float]:
    """Ratio of two means over the same clips, with a percentile bootstrap interval (95 %) over clips.

    Args:
        own: what was found in each clip.
        chance: what chance would find there.
        rng: generator of the resamples.
        samples: number of resamples.
    """
    a_N, b_N = np.asarray(own, dtype=np.float64), np.asarray(chance, dtype=np.float64)
    chosen_SN = rng.integers(len(a_N), size=(samples, len(a_N)))
    low, high = np.quantile(a_N[chosen_SN].mean(axis=1) / b_N[chosen_SN].mean(axis=1), [0.025, 0.975])
    mean = float(a_N.mean() / b_N.mean())
    return {"mean": mean, "low": float(low), "high": float(high), "clips": float(len(a_N))}


def sensitivity(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Medians of the rank correlations, and whether a method is insensitive; None where it was not checked.

    Args:
        rows: measures of one method, clip by clip.
    """
    table = list(rows)
    medians = {name: _median(row.get(name) for row in table) for name in ("parameters_rank", "class_rank")}
    if all(value is None for value in medians.values()):
        return None
    return {
        **medians,
        "threshold": INSENSITIVE,
        "insensitive": medians["parameters_rank"] is not None and medians["parameters_rank"] > INSENSITIVE,
        "same_for_other_class": medians["class_rank"] is not None and medians["class_rank"] > INSENSITIVE,
    }


def on_cue(rows: Iterable[Mapping[str, Any]], rng: np.random.Generator) -> dict[str, Any] | None:
    """How much heat lies on the planted cue, as a multiple of evenly spread heat; None where no clip has both.

    Args:
        rows: measures of one method, clip by clip.
        rng: generator of the resamples.
    """
    pairs = [(row.get("on_cue"), row.get("on_cue_uniform")) for row in rows]
    known = [(a, b) for a, b in pairs if a is not None and b is not None and b > 0]
    if not known:
        return None
    found = ratio([a for a, _ in known], [b for _, b in known], rng)
    return found | {"looks_at_cue": found["low"] > CLEARLY}


def cheating(model: str, scores: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, float]]) -> Any:
    """The vote of the methods on one network; None where no clip carries a planted cue.

    Args:
        model: name of the network.
        scores: entries of this network, one a method, with `on_cue`, `sensitivity` and `temporal`.
        facts: averages that need no method (`cue_fall`, `cue_fall_elsewhere`).
    """
    asked = [s for s in scores if s.get("on_cue")]
    if not asked:
        return None
    silent = [s["method"] for s in asked if s["temporal"] or (s["sensitivity"] or {}).get("insensitive")]
    voters = [s for s in asked if s["method"] not in silent]
    yes = [s["method"] for s in voters if s["on_cue"]["looks_at_cue"]]
    looks = len(yes) > len(voters) / 2
    words = [f"{model}: {len(yes)} of {len(voters)} methods find the heat on the planted cue"]
    words[0] += f" ({', '.join(yes)})." if yes else "."
    words.append(f"{model} {'looks' if looks else 'does not look'} at the cue, by the methods' vote.")
    fall, elsewhere = facts.get("cue_fall"), facts.get("cue_fall_elsewhere")
    relies = None
    if fall and elsewhere:
        relies = fall["low"] > max(elsewhere["high"], 0.0)
        words.append(
            f"Hiding the cue lowers the confidence by {_interval(fall)}, hiding as much elsewhere by "
            f"{_interval(elsewhere)}: the network {'relies' if relies else 'does not clearly rely'} on it."
        )
    if silent:
        words.append(f"Without a vote: {', '.join(silent)}.")
    return {
        "model": model,
        "looks_at_cue": looks,
        "votes": {s["method"]: bool(s["on_cue"]["looks_at_cue"]) for s in voters},
        "without_vote": silent,
        "relies_on_cue": relies,
        "rule": RULE,
        "sentences": words,
    }


def trust(model: str, scores: Sequence[Mapping[str, Any]], cheats: bool = False) -> dict[str, Any]:
    """Which pictures of one network to trust.

    Methods are ordered by their mean rank over `FAITHFUL` and, where the truth is known and the network does not look
    at the cue, `TRUE`; equal values share a rank, and a measure that a method lacks does not count for it.

    Args:
        model: name of the network.
        scores: entries of this network, one a method.
        cheats: whether the network was found to look at a planted cue.

    Returns:
        `order` (method and mean rank, best first), lists of methods that failed a test, and `sentences`.
    """
    used = [s for s in scores if s["measures"]]
    measures = [m for m in (*FAITHFUL, *(() if cheats else TRUE)) if sum(m in s["measures"] for s in used) > 1]
    ranks: dict[str, list[float]] = {s["method"]: [] for s in used}
    for measure in measures:
        having = [s for s in used if measure in s["measures"]]
        for s, rank in zip(having, rankdata([-s["measures"][measure]["mean"] for s in having]), strict=True):
            ranks[s["method"]].append(float(rank))
    order = sorted(((m, float(np.mean(r))) for m, r in ranks.items() if r), key=lambda pair: (pair[1], pair[0]))
    found: dict[str, Any] = {
        "model": model,
        "measures": measures,
        "order": [{"method": method, "mean_rank": rank} for method, rank in order],
        "insensitive": [s["method"] for s in used if (s["sensitivity"] or {}).get("insensitive")],
        "same_for_other_class": [s["method"] for s in used if (s["sensitivity"] or {}).get("same_for_other_class")],
        "no_better_than_random": [s["method"] for s in used if _nothing(s, "deletion_gain", "insertion_gain")],
        "no_better_than_centre": [
            s["method"] for s in used if _nothing(s, "deletion_over_centre", "insertion_over_centre")
        ],
        "unsuitable": {s["method"]: s["reason"] for s in scores if s["status"] == "unsuitable"},
    }
    doubted = {*found["insensitive"], *found["no_better_than_random"]}
    found["trusted"] = [method for method, _ in order if method not in doubted]
    return found | {"sentences": _sentences(found, used, cheats)}


def _sentences(found: Mapping[str, Any], used: Sequence[Mapping[str, Any]], cheats: bool) -> list[str]:
    model, words = found["model"], []
    ranks = {entry["method"]: entry["mean_rank"] for entry in found["order"]}
    if found["trusted"] and ranks:
        best = [f"{method} ({ranks[method]:.1f})" for method in found["trusted"]]
        words.append(f"{model}: trust {best[0]} first" + (f", then {', '.join(best[1:])}." if best[1:] else "."))
    elif ranks:
        words.append(f"{model}: no method's picture stood every test; trust none of them on its own.")
    if ranks:
        words.append(f"In brackets: mean rank over {', '.join(found['measures'])}; 1 is best.")
    if cheats and any(m in s["measures"] for s in used for m in TRUE):
        words.append("Hand and object do not count in the order: a true picture of this network shows the cue.")
    said = {
        "no_better_than_random": "Not shown to be better than a random order, by deletion or by insertion",
        "no_better_than_centre": "Not shown to be better than a spot in the middle of the frame",
        "insensitive": f"Does not follow what was learned (median rank correlation with the map of a network with "
        f"random parameters above {INSENSITIVE})",
        "same_for_other_class": "Nearly the same map for another class",
    }
    words += [f"{text}: {', '.join(found[name])}." for name, text in said.items() if found[name]]
    costs = [(s["measures"]["time_ratio"]["mean"], s["method"]) for s in used if "time_ratio" in s["measures"]]
    if costs:
        words.append("Cost in forward passes: " + ", ".join(f"{m} {c:.1f}" for c, m in sorted(costs)) + ".")
    return words


def _nothing(score: Mapping[str, Any], *measures: str) -> bool:
    """True where every one of these intervals reaches down to 0."""
    known = [score["measures"][m] for m in measures if m in score["measures"]]
    return bool(known) and all(value["low"] <= 0 for value in known)


def _median(values: Iterable[Any]) -> float | None:
    known: npt.NDArray[np.float64] = np.array([v for v in values if v is not None and np.isfinite(v)], dtype=np.float64)
    return float(np.median(known)) if len(known) else None


def _interval(value: Mapping[str, float]) -> str:
    mean, low, high = (round(value[part], 2) + 0.0 for part in ("mean", "low", "high"))  # no "-0.00"
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"
