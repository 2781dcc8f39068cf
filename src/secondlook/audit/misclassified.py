"""Videos that at least one model gets wrong, with the models' best classes and the given label as options.

Reference: Patil 2022, sections 1.3, 4.5.1 and 4.5.2 (label-reassessment 1.3 and 1.4).

* *Which videos.* `union` (wrong at top-1 for at least one model), `intersection` (for every model), `both-topk` (given
  label missed among the k best by every model: the *Top-k category*) or `either-top1-only` (the rest of the union: the
  *Top-1 category*). The source speaks of a union and prints the sizes of this partition.
* *Options.* The k best classes of every model and the given label, no class twice, shuffled by (seed, video): see
  `_options`. With two models and k = 5 that is 5 to 11 options.
* *Suspicion.* Mean over models of `(max_{j != y} p_j - p_y + 1) / 2`, y the given label: 0 when every model is sure of
  the given label, 0.5 when it ties with the best other class, 1 when every model is sure of another class. This is one
  minus the normalised margin of confident learning (Northcutt et al. 2021).

Departs from the source: any number of models, a suspicion to sort by (the source has none), and a shuffle that repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.audit._align import Aligned, align
from secondlook.audit._mistakes import mistakes
from secondlook.audit._options import choose
from secondlook.errors import BadValue


def find(
    videos: pa.Table | None,
    predictions: Mapping[str, pa.Table] | Sequence[pa.Table],
    *,
    top_k: int = 5,
    select: str = "union",
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds the misclassified videos of one or more models.

    Args:
        videos: table of the videos, for paths and for the labels that hold; None to use those in the predictions.
        predictions: model name -> predictions table; tables without names are called a, b, c, ...
        top_k: options taken from each model.
        select: `union`, `intersection`, `either-top1-only` or `both-topk`.
        split: only videos of this split; all when empty.
        seed: of the order of options.
        limit: keep this many, the most suspicious ones.

    Returns:
        A candidates table, most suspicious first, ties by name of the video.

    Raises:
        BadValue: if the tables do not fit together, or `top_k` or `limit` is below 1.
        UnknownName: if there is no such selection or split.
    """
    if not isinstance(predictions, Mapping):
        predictions = {_letters(i): table for i, table in enumerate(predictions)}
    return candidates(align(predictions, videos, top_k=top_k, split=split), select=select, seed=seed, limit=limit)


def candidates(aligned: Aligned, *, select: str = "union", seed: int = 0, limit: int | None = None) -> pa.Table:
    """`find` for predictions that are aligned already."""
    if limit is not None and limit < 1:
        raise BadValue(limit, "a limit must be at least 1", "Leave --limit out to keep all.")
    found = mistakes(aligned)
    suspicion_N = suspicion(aligned)
    rows = np.flatnonzero(found.select(select))
    # lexsort's last key counts most.
    rows = rows[np.lexsort((aligned.video_id_N[rows].astype(str), -suspicion_N[rows]))][:limit]
    proposed_NJ = np.column_stack([*(r.top_NK[rows] for r in aligned.rankings), aligned.given_N[rows]])
    offsets, classes = choose(proposed_NJ, aligned.video_id_N[rows], seed)
    category_N = np.where(found.topk_category[rows], "topk", "top1")
    rows_of_table = {
        "video_id": pa.array(aligned.video_id_N[rows], type=pa.string()),
        "path": pa.array(aligned.path_N[rows], type=pa.string()),
        "given_label": pa.array(aligned.given_N[rows]),
        "options": pa.ListArray.from_arrays(pa.array(offsets), pa.array(classes)),
        "suspicion": pa.array(suspicion_N[rows]),
        "reason": pa.array(_reasons(aligned, rows), type=pa.string()),
        "category": pa.array(category_N.astype(object), type=pa.string()),
    }
    return tables.conform(tables.CANDIDATES, pa.table(rows_of_table))


def suspicion(aligned: Aligned) -> npt.NDArray[np.float32]:
    """How much the models speak against each video's given label, in [0, 1]: see the top of this file."""
    margin_MN = np.stack([ranking.margin_N for ranking in aligned.rankings])
    return np.asarray(np.clip((margin_MN.mean(axis=0) + 1) / 2, 0, 1), dtype=np.float32)


def _reasons(aligned: Aligned, rows: npt.NDArray[np.int64]) -> list[str]:
    names = aligned.labels.names
    said = [
        [
            f"{ranking.name} predicted {names[k]!r} with {100 * p:.0f} %"
            for k, p in zip(ranking.predicted_N[rows].tolist(), ranking.confidence_N[rows].tolist(), strict=True)
        ]
        for ranking in aligned.rankings
    ]
    given = [names[y] for y in aligned.given_N[rows].tolist()]
    return [f"{', '.join(parts)}; given {name!r}" for *parts, name in zip(*said, given, strict=True)]


def _letters(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"model {i + 1}"
