"""Confusion matrix of given against predicted labels, as counts and as shares of each row."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix


def counts(given_N: npt.NDArray[np.int32], predicted_N: npt.NDArray[np.int32], classes: int) -> npt.NDArray[np.int64]:
    """`counts[i, j]`: videos given as class i whose best class is j."""
    with warnings.catch_warnings():
        # With one class scikit-learn asks for `labels`, which it has.
        warnings.filterwarnings("ignore", message="A single label was found")
        return np.asarray(confusion_matrix(given_N, predicted_N, labels=np.arange(classes)))


def by_row(counts_KK: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each row over its sum; a class without a video stays a row of zeros."""
    total_K1 = counts_KK.sum(axis=1, keepdims=True)
    return np.asarray(counts_KK / np.maximum(total_K1, 1))
