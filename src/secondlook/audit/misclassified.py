"""Videos that at least one model gets wrong, with the models' best classes and the given label as options.

Reference: Patil 2022, sections 1.3, 4.5.1 and 4.5.2 (label-reassessment 1.3 and 1.4).

* *Which videos.* `union` (wrong at top-1 for at least one model), `intersection` (for every model), `union-topk` (given
  label missed among the k best by at least one model), `intersection-topk`, also called `both-topk` (by every model:
  the *Top-k category*) or `either-top1-only` (the union without it: the *Top-1 category*). The source speaks of a union
  and prints the sizes of this partition.
* *Options.* The k best classes of every model and the given label, no class twice, shuffled by (seed, video): see
  `_options`. With two models and k = 5 that is 5 to 11 options.
* *Suspicion.* Mean over models of `(max_{j != y} p_j - p_y + 1) / 2`, y the given label: 0 when every model is sure of
  the given label, 0.5 when it ties with the best other class, 1 when every model is sure of another class. This is one
  minus the normalised margin of confident learning (Northcutt et al. 2021).

Departs from the source: any number of models, a suspicion to sort by (the source has none), and a shuffle that repeats.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned, align
from secondlook.audit._mistakes import mistakes
from secondlook.audit._scored import Predictions, Scored, named, predicted_words, to_table


def find(
    videos: pa.Table | None,
    predictions: Predictions,
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
        select: `union`, `intersection`, `union-topk`, `intersection-topk`, `either-top1-only` or `both-topk`.
        split: only videos of this split; all when empty.
        seed: of the order of options.
        limit: keep this many, the most suspicious ones.

    Returns:
        A candidates table, most suspicious first, ties by name of the video.

    Raises:
        BadValue: if the tables do not fit together, or `top_k` or `limit` is below 1.
        UnknownName: if there is no such selection or split.
    """
    return candidates(
        align(named(predictions), videos, top_k=top_k, split=split), select=select, seed=seed, limit=limit
    )


def candidates(aligned: Aligned, *, select: str = "union", seed: int = 0, limit: int | None = None) -> pa.Table:
    """`find` for predictions that are aligned already."""
    return to_table(aligned, score(aligned, select=select), seed=seed, limit=limit)[0]


def score(aligned: Aligned, *, select: str = "union") -> Scored:
    """The signal on predictions that are aligned already.

    Raises:
        UnknownName: if there is no such selection.
    """
    selected_N = mistakes(aligned).select(select)
    return Scored(suspicion(aligned), selected_N, lambda rows: predicted_words(aligned, rows))


def suspicion(aligned: Aligned) -> npt.NDArray[np.float32]:
    """How much the models speak against each video's given label, in [0, 1]: see the top of this file."""
    margin_MN = np.stack([ranking.margin_N for ranking in aligned.rankings])
    return np.asarray(np.clip((margin_MN.mean(axis=0) + 1) / 2, 0, 1), dtype=np.float32)
