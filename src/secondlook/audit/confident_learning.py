"""Label errors that cleanlab finds in out-of-sample probabilities (confident learning).

Reference: Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", through
cleanlab's `find_label_issues` (which videos; `filter_by` as there) and `get_label_quality_scores` (how suspicious).
Suspicion is one minus the label's quality q, with y the given label and p the probabilities:

* `self_confidence`: `q = p_y`;
* `normalised_margin`: `q = (p_y - max_{c != y} p_c + 1) / 2`.

`p` must come from a network that was not trained on these videos: a network that was agrees with the errors it has
learned. Three ways: predictions of a split that was not trained on; predictions of k folds, each by a network that
trained on the others (tables of one model with disjoint videos are joined); or, without training a network k times, a
logistic regression on the embeddings, by k folds (`embeddings`, `folds`: see `_folds`). With several models p is the
mean of their softmax. Rows of split "train" in a predictions table are used, and noted.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from secondlook.audit._align import Aligned, align
from secondlook.audit._folds import MOST, out_of_sample
from secondlook.audit._inputs import join_folds
from secondlook.audit._probabilities import mean_probability
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._vectors import NO_EMBEDDINGS
from secondlook.errors import BadValue

Score = Literal["normalised_margin", "self_confidence"]
Filter = Literal[
    "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given",
    "low_normalized_margin", "low_self_confidence",
]  # fmt: skip
_METHOD = {"normalised_margin": "normalized_margin", "self_confidence": "self_confidence"}


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    rank_by: Score = "normalised_margin",
    filter_by: Filter = "prune_by_noise_rate",
    embeddings: pa.Table | None = None,
    folds: int = 0,
    fit_on: int = MOST,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds label errors by confident learning.

    Args:
        videos: see `misclassified.find`, as for `top_k`, `split`, `seed` and `limit`; its groups keep folds apart.
        predictions: out of sample; tables of one model with disjoint videos are folds and are joined.
        rank_by: what suspicion is made of.
        filter_by: which videos become candidates, as cleanlab calls it.
        embeddings: with `folds`, take the probabilities from a logistic regression on these vectors instead.
        folds: how many; 0 for the models' own probabilities.
        fit_on: fit each fold on at most so many videos, drawn at random.

    Raises:
        BadValue: without cleanlab, without embeddings for folds, or if the tables do not fit together.
    """
    aligned = align(join_folds(named(predictions))[0], videos, top_k=top_k, split=split)
    scored = score(aligned, rank_by=rank_by, filter_by=filter_by, embeddings=embeddings, folds=folds, fit_on=fit_on,
                   seed=seed)  # fmt: skip
    return to_table(aligned, scored, seed=seed, limit=limit)[0]


def score(
    aligned: Aligned,
    *,
    rank_by: Score = "normalised_margin",
    filter_by: Filter = "prune_by_noise_rate",
    embeddings: pa.Table | None = None,
    folds: int = 0,
    fit_on: int = MOST,
    seed: int = 0,
) -> Scored:
    """The signal on predictions that are aligned already."""
    find_label_issues, get_label_quality_scores = _cleanlab()
    notes: tuple[str, ...] = ()
    known_N = np.ones(len(aligned.given_N), dtype=bool)
    if folds:
        if embeddings is None:
            raise BadValue(folds, "folds of a logistic regression need embeddings", NO_EMBEDDINGS)
        p_NK, known_N = out_of_sample(aligned, embeddings, folds=folds, fit_on=fit_on, seed=seed)
        who = f"a logistic regression on the embeddings, fitted without this fold of {folds},"
        if unknown := int((~known_N).sum()):
            notes = (f"{unknown} videos have no embedding and are not looked at by confident_learning.",)
    else:
        p_NK, notes = mean_probability(aligned), _in_sample(aligned)
        who = aligned.names[0] if len(aligned.names) == 1 else f"the mean of {len(aligned.names)} models"
    p_known_NK, given_known_N = p_NK[known_N], aligned.given_N[known_N].astype(np.int64)
    suspicion_N, selected_N = np.zeros(len(known_N), np.float32), np.zeros(len(known_N), dtype=bool)
    quality_N = get_label_quality_scores(given_known_N, p_known_NK, method=_METHOD[rank_by])
    suspicion_N[known_N] = np.clip(1 - quality_N, 0, 1)
    selected_N[known_N] = find_label_issues(given_known_N, p_known_NK, filter_by=filter_by, n_jobs=1)
    at, names = np.arange(len(p_NK)), aligned.labels.names
    p_given_N = p_NK[at, aligned.given_N]
    p_NK[at, aligned.given_N] = -1
    other_N = p_NK.argmax(axis=1).astype(np.int32)
    p_other_N = p_NK[at, other_N]

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"{who} gives {names[other_N[i]]!r} {100 * p_other_N[i]:.0f} % and the given {names[aligned.given_N[i]]!r} "
            f"{100 * p_given_N[i]:.0f} %"
            for i in rows.tolist()
        ]

    also_N = np.where(known_N, other_N, aligned.given_N)
    return Scored(suspicion_N, selected_N, reasons, also_N[:, None], notes)


def _in_sample(aligned: Aligned) -> tuple[str, ...]:
    """A note on the models that say of some videos that they are of split train."""
    notes = []
    for name, (table, rows_N) in zip(aligned.names, aligned.sources, strict=True):
        train = pc.equal(table["split"], "train").to_numpy()[rows_N]
        if count := int(train.sum()):
            notes.append(
                f"{count} of {len(train)} predictions of {name} are of split train: if it was trained on these videos "
                "their probabilities are in-sample, and hide the errors it has learned. Predict k folds, or give "
                "--embeddings with --folds 5."
            )
    return tuple(notes)


def _cleanlab() -> tuple[Any, Any]:
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise BadValue("confident_learning", "needs cleanlab, which is not installed",
                       "Install it: pip install 'secondlook[confident]'") from None  # fmt: skip
    return find_label_issues, get_label_quality_scores
