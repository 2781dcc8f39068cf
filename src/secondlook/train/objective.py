"""What a training minimises, as an object: from a batch to the loss of each clip.

Shapes: B clips, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional

from secondlook.predict.loader import Batch
from secondlook.train.losses import LabelSets, cross_entropy, is_correct, k_hot_cross_entropy


class Losses(NamedTuple):
    """What an objective says of a batch."""

    loss_B: Tensor
    """What is minimised, clip by clip."""
    logits_BK: Tensor
    """Detached."""
    target_BK: Tensor
    """1 for each label with which a clip counts as right."""
    parts: Mapping[str, Tensor] = MappingProxyType({})
    """Terms of the loss by name, clip by clip and detached, for the curves."""

    @property
    def correct_B(self) -> Tensor:
        """Whether the highest logit is a label of the clip, 0 or 1."""
        return is_correct(self.logits_BK, self.target_BK)


class Objective(Protocol):
    """From a batch to losses. `forward` is the network in training: `x_BCTHW -> logits_BK`.

    One that needs more of the network than its logits is given the network when it is made, and hooks it.
    """

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Losses that are minimised."""

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Losses that epochs are compared by."""


class GivenLabels:
    """Cross-entropy on the given label, smoothed in training.

    Args:
        smoothing: s of `q = (1 - s) onehot + s / K`.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """With smoothing."""
        return self._losses(forward, batch, self.smoothing)

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Without smoothing."""
        return self._losses(forward, batch, 0.0)

    def _losses(self, forward: Callable[[Tensor], Tensor], batch: Batch, smoothing: float) -> Losses:
        logits_BK = forward(batch.x_BCTHW).float()
        target_BK = functional.one_hot(batch.label_B, logits_BK.shape[1]).float()
        return Losses(cross_entropy(logits_BK, batch.label_B, smoothing), logits_BK.detach(), target_BK)


class ReassessedSets:
    """Sigmoid cross-entropy on the reassessed set of each clip; right is a label of the set.

    Args:
        train_sets: of the training rows.
        val_sets: of the validation rows.
    """

    def __init__(self, train_sets: LabelSets, val_sets: LabelSets) -> None:
        self.train_sets, self.val_sets = train_sets, val_sets

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """On the sets of split train."""
        return self._losses(forward, batch, self.train_sets)

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """On the sets of split val."""
        return self._losses(forward, batch, self.val_sets)

    def _losses(self, forward: Callable[[Tensor], Tensor], batch: Batch, sets: LabelSets) -> Losses:
        logits_BK = forward(batch.x_BCTHW).float()
        target_BK = sets.k_hot(batch.index_B)
        return Losses(k_hot_cross_entropy(logits_BK, target_BK), logits_BK.detach(), target_BK)
