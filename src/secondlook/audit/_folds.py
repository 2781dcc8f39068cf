"""Out-of-sample probabilities without training a network k times: logistic regression on embeddings, fold by fold.

Videos are put into k folds, no group (source video, person, scene) into two; each fold's probabilities come from a
regression fitted on the other folds, on unit vectors scaled to unit variance a dimension. The network that made the
embeddings may have been trained on these labels: then its vectors know them to some degree, and errors it has learned
by heart stay hidden. Vectors of a network trained on other data have no such knowledge.

Shapes: N videos, R of them with a vector, D dimensions, K classes.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.audit._align import Aligned
from secondlook.audit._vectors import unit_vectors
from secondlook.errors import BadValue

MOST = 8_000
"""Videos that each regression is fitted on at most."""
_ITERATIONS = 30
_PIECE = 8192


def out_of_sample(
    aligned: Aligned, embeddings: pa.Table, *, folds: int = 5, fit_on: int = MOST, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Probabilities by k folds, `p_NK`, and which videos have an embedding; the others have the same for each class.

    Args:
        aligned: the videos, their given labels and groups.
        embeddings: one vector a video.
        folds: k.
        fit_on: fit each fold on at most so many videos, drawn at random.
        seed: of the folds and of that draw.

    Raises:
        BadValue: if there are fewer videos or groups than folds, or a fold leaves only one class to learn.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if folds < 2:
        raise BadValue(folds, "there must be at least 2 folds", "The usual is --folds 5.")
    if fit_on < 2:
        raise BadValue(fit_on, "a regression must be fitted on at least 2 videos")
    vector_RD, known_N = unit_vectors(aligned, embeddings)
    given_R = aligned.given_N[known_N]
    rng = np.random.default_rng((seed, folds))
    fold_R = fold_of(aligned.group_N[known_N], folds, rng)
    vector_RD -= vector_RD.mean(axis=0)
    vector_RD /= np.maximum(vector_RD.std(axis=0), 1e-6)
    classes = len(aligned.labels)
    p_NK = np.full((len(known_N), classes), 1 / classes, dtype=np.float32)
    row_R = np.flatnonzero(known_N)
    for fold in range(folds):
        train = np.flatnonzero(fold_R != fold)
        train = np.sort(rng.permutation(train)[:fit_on])
        if len(np.unique(given_R[train])) < 2:
            raise BadValue(folds, "some fold leaves only one class to learn from", "Take other folds, or more videos.")
        model = LogisticRegression(max_iter=_ITERATIONS, C=0.01, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps more change no order of suspicion
            model.fit(vector_RD[train], given_R[train])
        held = np.flatnonzero(fold_R == fold)
        for start in range(0, len(held), _PIECE):
            some = held[start : start + _PIECE]
            # A class that the other folds do not show gets no probability.
            p_PK = np.zeros((len(some), classes), dtype=np.float32)
            p_PK[:, model.classes_] = model.predict_proba(vector_RD[some])
            p_NK[row_R[some]] = p_PK
    return p_NK, known_N


def fold_of(group_R: npt.NDArray[np.object_], folds: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """A fold for each video: groups, in a random order, each to the fold with the fewest videos; no group is a group.

    Raises:
        BadValue: if there are fewer groups than folds.
    """
    own_R = np.array([group or f"\0{i}" for i, group in enumerate(group_R.tolist())], dtype=object)
    _, group_of_R, size_G = np.unique(own_R, return_inverse=True, return_counts=True)
    if len(size_G) < folds:
        raise BadValue(
            folds, f"folds are more than the {len(size_G)} groups of videos", f"Give {len(size_G)} or fewer."
        )
    load_F, fold_G = np.zeros(folds, dtype=np.int64), np.zeros(len(size_G), dtype=np.int64)
    order_G = generator.permutation(len(size_G))
    for group in order_G[np.argsort(-size_G[order_G], kind="stable")].tolist():
        fold_G[group] = load_F.argmin()
        load_F[fold_G[group]] += size_G[group]
    return fold_G[group_of_R]
