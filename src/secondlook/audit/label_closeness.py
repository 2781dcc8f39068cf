"""The models prefer a class whose words say nearly the same as the given label: perhaps the words are the problem.

Suspicion `max_{c != y} max(cos(v_y, v_c), 0) p(c)`: v are vectors of the labels (`secondlook language embed`), y is the
given label and p the mean over models of the softmax. It is high where the models believe in another class *and* a
person could use both names for one action. A video is a candidate where it is at least `min_suspicion`.

Reference: label-reassessment 1.1 and 1.13 (labels that nearly coincide; "graceful" errors) with its cosine, equation
4.3; the product with the probability is ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.audit._align import Aligned, align
from secondlook.audit._probabilities import pieces
from secondlook.audit._scored import Predictions, Scored, named, to_table
from secondlook.audit._shares import share
from secondlook.errors import BadValue
from secondlook.language.similarity import cosine_matrix
from secondlook.language.vectors import LabelVectors


def find(
    videos: pa.Table | None,
    predictions: Predictions,
    *,
    vectors: pa.Table | None = None,
    min_suspicion: float = 0.3,
    top_k: int = 5,
    split: str = "",
    seed: int = 0,
    limit: int | None = None,
) -> pa.Table:
    """Finds videos whose given label and predicted class are nearly the same words.

    Args:
        videos: see `misclassified.find`, as for `predictions`, `top_k`, `split`, `seed` and `limit`.
        predictions: of one model or more.
        vectors: table of the labels' vectors.
        min_suspicion: the lowest suspicion of a candidate.

    Raises:
        BadValue: if there are no vectors, a label has none, or the tables do not fit together.
    """
    aligned = align(named(predictions), videos, top_k=top_k, split=split)
    return to_table(aligned, score(aligned, vectors=vectors, min_suspicion=min_suspicion), seed=seed, limit=limit)[0]


def score(aligned: Aligned, *, vectors: pa.Table | None = None, min_suspicion: float = 0.3) -> Scored:
    """The signal on predictions that are aligned already."""
    if vectors is None:
        raise BadValue("label_closeness", "needs vectors of the labels",
                       "Make them with `secondlook language embed`, and give --vectors vectors.parquet.")  # fmt: skip
    share("min_suspicion", min_suspicion)
    cosine_KK = np.clip(cosine_matrix(_vectors_KD(vectors, aligned)), 0, 1)
    np.fill_diagonal(cosine_KK, 0)
    count = len(aligned.given_N)
    other_N, suspicion_N, p_N = np.zeros(count, np.int32), np.zeros(count, np.float32), np.zeros(count)
    for piece, p_MBK in pieces(aligned):
        p_BK = p_MBK.mean(axis=0)
        at = np.arange(len(p_BK))
        both_BK = cosine_KK[aligned.given_N[piece]] * p_BK
        other_N[piece] = both_BK.argmax(axis=1)
        suspicion_N[piece] = both_BK[at, other_N[piece]]
        p_N[piece] = p_BK[at, other_N[piece]]
    names = aligned.labels.names

    def reasons(rows: npt.NDArray[np.int64]) -> list[str]:
        return [
            f"{names[c]!r} ({100 * p_N[i]:.0f} %) and the given {names[y]!r} are nearly the same words (cosine "
            f"{cosine_KK[y, c]:.2f}): the label's language may be the problem"
            for i, y, c in zip(rows.tolist(), aligned.given_N[rows].tolist(), other_N[rows].tolist(), strict=True)
        ]

    selected_N = (suspicion_N > 0) & (suspicion_N >= min_suspicion)
    return Scored(suspicion_N, selected_N, reasons, np.where(suspicion_N > 0, other_N, aligned.given_N)[:, None])


def _vectors_KD(vectors: pa.Table, aligned: Aligned) -> npt.NDArray[np.float32]:
    found = LabelVectors(tables.label_space(vectors), tables.matrix(vectors, "vector"), "the table of label vectors")
    return found.of_labels(aligned.labels).vectors_KD
