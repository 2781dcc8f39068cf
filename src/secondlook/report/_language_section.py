"""Labels in words: a map of each embedding to move in, all cosines, near and far pairs, two embeddings compared."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.language import draw
from secondlook.language.neighbours import compare
from secondlook.language.similarity import LabelPair, cosine_matrix, ranked_pairs
from secondlook.language.vectors import LabelVectors

SHOWN_PAIRS = 8
MOST_LABELS = 1000
"""Above, the cosines of all pairs would make the page heavy; such a table is left out with a word."""
SIDE = 1000
"""Places of the map are whole numbers from 0 to this."""
STEPS = 10_000
"""Cosines are kept to this part of 1."""
KINDS = (
    ("all", "Most similar", False),
    ("cross", "Most similar, of two groups", False),
    ("within", "Least similar, of one group", True),
    ("all", "Least similar", True),
)
"""Pairs of which groups, under what heading, and whether the least similar come first."""


def section(found: Sequence[pa.Table], *, seed: int = 0) -> dict[str, Any]:
    """What `language.html` and `language_map.js` show of tables of label vectors; empty without any.

    Args:
        found: tables of the kind `label_vectors`; the first two that share their labels are compared.
        seed: of the maps.
    """
    read = [_read(table) for table in found]
    fits = [3 <= len(vectors.labels) <= MOST_LABELS for vectors in read]
    shown = [vectors for vectors, fit in zip(read, fits, strict=True) if fit]
    if not read:
        return {}
    titles = _titles(shown)
    left_out = [
        f"{v.method}: {len(v.labels)} labels are {'too few' if len(v.labels) < 3 else 'too many'} to be mapped here."
        for v, fit in zip(read, fits, strict=True)
        if not fit
    ]
    return {
        "sets": [_data(v, title, seed) for v, title in zip(shown, titles, strict=True)],
        "pairs": [{"title": title, "lists": _pairs(v)} for v, title in zip(shown, titles, strict=True)],
        "comparison": _comparison(shown, titles),
        "left_out": left_out,
    }


def _read(table: pa.Table) -> LabelVectors:
    vectors_KD = tables.matrix(table, "vector").astype(np.float32)
    return LabelVectors(tables.label_space(table), vectors_KD, tables.made(table).get("method", ""))


def _titles(shown: Sequence[LabelVectors]) -> list[str]:
    """By method; by the name of the labels, too, where these differ; numbered where that is not enough."""
    several = len({v.labels.name for v in shown}) > 1
    titles = [f"{v.labels.name}, {v.method}" if several else v.method or "vectors" for v in shown]
    return [t if titles.count(t) == 1 else f"{t}, {titles[: i + 1].count(t)}" for i, t in enumerate(titles)]


def _data(vectors: LabelVectors, title: str, seed: int) -> dict[str, Any]:
    """JSON of one map; cosines are the upper triangle, row after row, 16-bit whole numbers of `1 / STEPS`."""
    place_K2 = draw.scatter(vectors, seed=seed)
    low_2, span_2 = place_K2.min(0), np.maximum(np.ptp(place_K2, axis=0), 1e-9)
    upper = np.triu_indices(len(vectors.labels), 1)
    cosine_P = np.rint(cosine_matrix(vectors.vectors_KD)[upper] * STEPS).astype("<i2")
    groups = list(vectors.labels.groups)
    return {
        "title": title,
        "labels": [label.plain for label in vectors.labels.labels],
        "groups": groups,
        "group": [groups.index(label.group) if label.group else -1 for label in vectors.labels.labels],
        "places": np.rint((place_K2 - low_2) / span_2 * SIDE).astype(int).tolist(),
        "cosines": base64.b64encode(cosine_P.tobytes()).decode(),
        "steps": STEPS,
        "orders": {order: draw.ordered(vectors, order) for order in get_args(draw.Order) if groups or order != "group"},
    }


def _pairs(vectors: LabelVectors) -> list[dict[str, Any]]:
    def row(pair: LabelPair) -> dict[str, str]:
        labels = vectors.labels.labels
        return {"cosine": f"{pair.cosine:.2f}", "one": labels[pair.one].plain, "other": labels[pair.other].plain}

    return [
        {"name": name, "rows": [row(p) for p in ranked_pairs(vectors, kind, least=least)[:SHOWN_PAIRS]]}  # type: ignore[arg-type]
        for kind, name, least in KINDS
        if kind == "all" or len(vectors.labels.groups) > 1
    ]


def _comparison(shown: Sequence[LabelVectors], titles: Sequence[str]) -> dict[str, Any]:
    """The first two tables that share their labels, compared; empty where there are none."""
    for i, one in enumerate(shown):
        for j, two in enumerate(shown[i + 1 :], i + 1):
            if set(one.labels.names) != set(two.labels.names):
                continue
            found = compare(one, two)
            names = [label.plain for label in one.labels.labels]
            return {
                "titles": [titles[i], titles[j]],
                "spearman": f"{found.spearman:.2f}",
                "shared": f"{found.shared:.0%}",
                "by_chance": f"{found.by_chance:.0%}",
                "k": found.k,
                "rows": [
                    {"label": names[d.label], "other": names[d.other], "ranks": [d.first_rank, d.second_rank]}
                    for d in found.disagreements[:SHOWN_PAIRS]
                ],
            }
    return {}
