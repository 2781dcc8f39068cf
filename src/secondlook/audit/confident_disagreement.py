"""Models that agree with each other, and are sure, against the given label.

For each class c other than the given label y, over M models:

* agreement `a_c`: share of the models whose best class is c;
* confidence `g_c = (prod_m p_m(c))^(1/M)`, the geometric mean of their softmax at c: one model that does not believe in
  c is enough to bring it down. `mean=arithmetic` takes `mean_m p_m(c)`;
* suspicion `max_c 2 a_c g_c / (a_c + g_c)`, the harmonic mean of both: near 1 only where both are.

A video is a candidate where the agreement on that c is at least `min_agreement` and its confidence at least
`min_confidence`. With one model this is its probability of another class, where that is the best one.

Reference: models that agree against a label are the majority and consensus filters of Brodley and Friedl 1999,
"Identifying mislabeled training data"; the harmonic mean with confidence is ours.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned, align
from secondlook.audit._probabilities import pieces
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._shares import share


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    mean: Literal["geometric", "arithmetic"] = "geometric",
    min_agreement: float = 1.0,
    min_confidence: float = 0.5,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds videos whose models agree, confidently, on another class than the given label.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of several models, best.
        mean: of the models' probabilities.
        min_agreement: share of the models that must agree.
        min_confidence: mean probability they must have.

    Raises:
        BadValue: if the tables do not fit together, or a share is not in [0, 1].
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    scored = score(aligned, mean=mean, min_agreement=min_agreement, min_confidence=min_confidence)
    return to_table(aligned, scored, seed=seed, limit=limit)[0]


def score(
    aligned: Aligned,
    *,
    mean: Literal["geometric", "arithmetic"] = "geometric",
    min_agreement: float = 1.0,
    min_confidence: float = 0.5,
) -> Scored:
    """The signal on predictions that are aligned already."""
    share("min_agreement", min_agreement)
    share("min_confidence", min_confidence)
    count = len(aligned.given_N)
    suspicion_N, agreed_N = np.zeros(count, np.float32), np.zeros(count, np.int32)
    agreement_N, confidence_N = np.zeros(count), np.zeros(count)
    best_MN = np.stack([ranking.predicted_N for ranking in aligned.rankings])
    for piece, p_MBK in pieces(aligned):
        at = np.arange(p_MBK.shape[1])
        agreement_BK = np.zeros(p_MBK.shape[1:])
        for best_N in best_MN:
            agreement_BK[at, best_N[piece]] += 1 / len(best_MN)
        confidence_BK = _mean(p_MBK, mean)
        both_BK = 2 * agreement_BK * confidence_BK / np.maximum(agreement_BK + confidence_BK, 1e-300)
        both_BK[at, aligned.given_N[piece]] = 0
        agreed_N[piece] = both_BK.argmax(axis=1)
        suspicion_N[piece] = np.minimum(both_BK.max(axis=1), 1)
        agreement_N[piece] = agreement_BK[at, agreed_N[piece]]
        confidence_N[piece] = confidence_BK[at, agreed_N[piece]]
    selected_N = (suspicion_N > 0) & (agreement_N >= min_agreement - 1e-9) & (confidence_N >= min_confidence)
    names, models = aligned.labels.names, len(aligned.rankings)

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"{round(agreement_N[i] * models)} of {models} models say {names[agreed_N[i]]!r}, together with "
            f"{100 * confidence_N[i]:.0f} %; given {names[aligned.given_N[i]]!r}"
            for i in rows.tolist()
        ]

    return Scored(suspicion_N, selected_N, reasons, np.where(suspicion_N > 0, agreed_N, aligned.given_N)[:, None])


def _mean(p_MBK: npt.NDArray[np.float64], mean: str) -> npt.NDArray[np.float64]:
    if mean == "arithmetic":
        return np.asarray(p_MBK.mean(axis=0))
    return np.asarray(np.exp(np.log(np.maximum(p_MBK, 1e-300)).mean(axis=0)))
