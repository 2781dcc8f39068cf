"""Label sets against the sets that truly hold (drawn data only): precision, recall, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from secondlook.evaluate.label_sets import LabelSets


def recovery(sets: LabelSets, true: LabelSets) -> dict[str, Any]:
    """How well sets of labels R_i recover the true sets T_i, over videos.

    `precision = sum |R_i & T_i| / sum |R_i|`, `recall = sum |R_i & T_i| / sum |T_i|`,
    `jaccard = mean |R_i & T_i| / |R_i | T_i|`, `exact = mean [R_i = T_i]`; two empty sets are equal.

    Returns:
        `{"videos", "precision", "recall", "jaccard", "exact", "right", "labels", "true_labels"}`; shares are None where
        there is nothing to divide by.
    """
    shared_N, size_N, true_N = sets.shared_N(true), sets.size_N, true.size_N
    joint_N = size_N + true_N - shared_N
    right, labels, true_labels = int(shared_N.sum()), int(size_N.sum()), int(true_N.sum())
    jaccard_N = np.where(joint_N > 0, shared_N / np.maximum(joint_N, 1), 1.0)
    return {
        "videos": sets.count,
        "precision": right / labels if labels else None,
        "recall": right / true_labels if true_labels else None,
        "jaccard": float(jaccard_N.mean()) if sets.count else None,
        "exact": float((joint_N == shared_N).mean()) if sets.count else None,
        "right": right,
        "labels": labels,
        "true_labels": true_labels,
    }
