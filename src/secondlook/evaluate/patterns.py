"""What kinds of labels people choose together: each pair's relation by its words, its parent by its direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondlook.evaluate.proportion import wilson
from secondlook.evaluate.relations import RELATIONS, relation

MEANINGS: Mapping[str, str] = {
    "parent": "one label is a special way of the other",
    "preposition": "the same action in another place",
    "viewpoint": "the same event told from its other end, or from the camera",
    "force": "the same action, stronger or weaker",
    "opposite": "the opposite direction",
    "count": "another number of things",
    "pretend": "pretended, or really done",
    "synonym": "the same in other words",
    "event": "one action is a part of the other's event",
    "other": "none of these by their words",
}


def typed(pairs: Sequence[Mapping[str, Any]], *, confidence: float = 0.95) -> list[dict[str, Any]]:
    """Pairs of `co_occurrence` with what relates them.

    Args:
        pairs: rows of `co_occurrence`, both directions.
        confidence: of the intervals that `parent` compares.

    Returns:
        Each row with `relation` (by its words), `parent_by_words` ("given", "with" or "") and `parent` (by direction):
        "with" where Wilson's interval of `P(with | given)` lies above that of `P(given | with)` wholly, "given" where
        it lies below, "" where they overlap or nothing was given as the other label. `P(B | A)` much above `P(A | B)`
        says that B is the wider of the two (label-reassessment 6.3).
    """
    found = []
    for pair in pairs:
        words = relation(pair["given_name"], pair["with_name"])
        ahead = wilson(pair["count"], pair["videos"], confidence)
        parent, back = "", pair["reverse_share"]
        if back is not None:
            behind = wilson(round(back * pair["with_videos"]), pair["with_videos"], confidence)
            parent = "with" if _above(ahead, behind) else "given" if _above(behind, ahead) else ""
        by_words = "" if words.parent is None else ("given", "with")[words.parent]
        found.append({**pair, "relation": words.kind, "parent_by_words": by_words, "parent": parent})
    return found


def _above(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> bool:
    return one["low"] is not None and other["high"] is not None and one["low"] > other["high"]


def by_relation(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Added labels by the relation to the given one, most first; shares within one coarse group and across.

    Args:
        pairs: of `typed`.

    Returns:
        `{"relation", "meaning", "pairs", "labels", "share", "within", "across", "example"}` for each relation that
        occurs; `labels` counts videos with such an added label, `share` is of all added labels; `within` and `across`
        are None where there are no groups.
    """
    total = sum(pair["count"] for pair in pairs)
    rows = []
    for kind in RELATIONS:
        own = [pair for pair in pairs if pair["relation"] == kind]
        if not own:
            continue
        labels = sum(pair["count"] for pair in own)
        grouped = any(pair["same_group"] is not None for pair in own)
        first = max(own, key=lambda pair: pair["count"])
        rows.append(
            {
                "relation": kind,
                "meaning": MEANINGS[kind],
                "pairs": len(own),
                "labels": labels,
                "share": labels / total,
                "within": sum(p["count"] for p in own if p["same_group"]) if grouped else None,
                "across": sum(p["count"] for p in own if p["same_group"] is False) if grouped else None,
                "example": f"{first['given_name']} with {first['with_name']} ({first['count']} of {first['videos']})",
            }
        )
    return sorted(rows, key=lambda row: -row["labels"])
