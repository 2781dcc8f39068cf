"""What is minimised: cross-entropy on the given label or on shares of labels, or sigmoid cross-entropy on a set.

Shapes: B clips, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondlook.errors import BadValue


def cross_entropy(logits_BK: Tensor, label_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """`-sum_k q_k log softmax(logits)_k` of each clip, `q = (1 - s) onehot + s / K` for smoothing s. Gives `loss_B`."""
    return functional.cross_entropy(logits_BK, label_B, reduction="none", label_smoothing=smoothing)


def soft_cross_entropy(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    """`-sum_k q_k log softmax(logits)_k` of each clip for a target q that sums to 1. Gives `loss_B`."""
    return -(target_BK * functional.log_softmax(logits_BK, 1)).sum(1)


def k_hot_cross_entropy(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    """`-sum_k y_k log sigma(logits_k) + (1 - y_k) log(1 - sigma(logits_k))` of each clip. Gives `loss_B`.

    Each label of the set is a binary problem of its own; labels do not exclude each other (`label-reassessment`,
    section 1.15, which leaves open whether classes are summed or averaged; summed here, so that the step a clip asks
    for does not shrink with the number of classes).
    """
    return functional.binary_cross_entropy_with_logits(logits_BK, target_BK, reduction="none").sum(1)


def is_correct(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    """Whether the highest logit is one of the clip's labels: argmax in R, as 0 or 1. Gives `correct_B`."""
    return target_BK.gather(1, logits_BK.argmax(1, keepdim=True)).squeeze(1)


def is_among(logits_BK: Tensor, target_BK: Tensor, k: int) -> Tensor:
    """Whether one of the k highest logits (all where K is less) is a label of the clip, 0 or 1. Gives `correct_B`."""
    best_Bk = logits_BK.topk(min(k, logits_BK.shape[1]), dim=1).indices
    return target_BK.gather(1, best_Bk).amax(1)


def rare_class_bias(num_classes: int) -> float:
    """The bias at which a sigmoid says `1 / K`, `-log(K - 1)`: training on sets starts there instead of at 1/2.

    From there the first loss is about that of a softmax, `1 + log K`, and not `K log 2`.
    """
    return -float(np.log(max(num_classes - 1, 1)))


class LabelSets:
    """A set of labels for each row of a table, as two flat arrays: memory of 8 bytes a label, no object a row.

    Args:
        sets: labels of each row, ascending or not; an empty set leaves the row without any label.
        num_classes: K.

    Raises:
        BadValue: if a label is not in `0..K-1`.
    """

    def __init__(self, sets: Sequence[Sequence[int]], num_classes: int) -> None:
        self.num_classes = num_classes
        self.starts_N = np.concatenate([[0], np.cumsum([len(labels) for labels in sets])]).astype(np.int64)
        self.labels = np.fromiter((label for labels in sets for label in labels), np.int64, int(self.starts_N[-1]))
        outside = self.labels[(self.labels < 0) | (self.labels >= num_classes)]
        if len(outside):
            raise BadValue(int(outside[0]), f"a label must lie in 0..{num_classes - 1}")

    def k_hot(self, index_B: Tensor) -> Tensor:
        """`target_BK`: 1 where the class is in the row's set, else 0; on the device of `index_B`."""
        target_BK = torch.zeros(len(index_B), self.num_classes)
        for place, index in enumerate(index_B.tolist()):
            target_BK[place, self.labels[self.starts_N[index] : self.starts_N[index + 1]]] = 1.0
        return target_BK.to(index_B.device)
