"""Training of the hybrid language head: labels' loss and the cosine distance to the embedding of the label.

`label-reassessment`, section 1.13, equations 4.4 and 4.5. Shapes: B clips, K classes, D dimensions of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.heads.hybrid import HybridHead
from secondlook.predict.loader import Batch
from secondlook.predict.taps import Tap
from secondlook.train.objective import Losses, Objective

HEAD = "hybrid"
WEIGHT = 5.0
"""Brings both terms to the same range, as the source says."""


class Hybrid:
    """`loss = labels' loss + w (1 - cos(e, l_y))`: equation 4.5, e the clip's embedding, l the vector of its label.

    Where a clip has several labels (sets, soft targets), the cosine is that with the mean of their vectors. A head that
    reads its embedding learns from the second term alone; with w = 0 only the classifier learns. The branch that does
    not learn is left as it was.

    Args:
        base: what is learned from labels by the classifier.
        head: with the labels' vectors.
        weight: w.
    """

    def __init__(self, base: Objective, head: HybridHead, weight: float = WEIGHT) -> None:
        self.base, self.head, self.weight = base, head, weight
        self.embedding_only = head.read == "embedding"
        if self.embedding_only and not weight:
            raise BadValue(weight, "a head that reads its embedding learns from the embedding's loss",
                           "Give --embedding-weight 5, or the head option read=class.")  # fmt: skip
        self._tap = Tap(head.dropout, "output")
        if self.embedding_only:
            head.classifier.requires_grad_(requires_grad=False)
        elif not weight:
            head.embedding.requires_grad_(requires_grad=False)

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Both terms."""
        return self._with_embedding(self.base.training(forward, batch))

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Both terms."""
        return self._with_embedding(self.base.validation(forward, batch))

    def _with_embedding(self, losses: Losses) -> Losses:
        e_BD = self.head.embed_read(self._tap.take()).float()
        term_B = embedding_loss(self.head.rank(e_BD), e_BD, losses.target_BK, self.head.label_vectors_KD)
        loss_B = self.weight * term_B
        if not self.embedding_only:
            loss_B = losses.loss_B + loss_B
        parts = {**losses.parts, "labels": losses.loss_B.detach(), "embedding": term_B.detach()}
        return losses._replace(loss_B=loss_B, parts=parts)


def embedding_loss(cosine_BK: Tensor, e_BD: Tensor, target_BK: Tensor, vectors_KD: Tensor) -> Tensor:
    """`1 - cos(e, l)` of each clip (equation 4.4), l the mean vector of its labels. Gives `loss_B`.

    Args:
        cosine_BK: of the embedding with each label's vector.
        e_BD: embeddings of length 1.
        target_BK: 1 for each label of a clip.
        vectors_KD: of the labels, of length 1.
    """
    mean_BD = target_BK @ vectors_KD
    length_B = mean_BD.norm(dim=1).clamp(min=1e-12)
    cosine_B: Tensor = (cosine_BK * target_BK).sum(1) / length_B
    return 1.0 - cosine_B


def card_with_embeddings(card: ModelCard, dimensions: int) -> ModelCard:
    """The card with a hybrid head of so many dimensions, which is taken where no head was asked for.

    Raises:
        BadValue: if another head was.
    """
    if card.head not in ("", HEAD):
        raise BadValue(card.head, "this head has no embedding branch, and label embeddings are given",
                       f"Give --head hybrid --head-option then={card.head}.")  # fmt: skip
    options: dict[str, Any] = {**card.options.get("head_options", {}), "dimensions": dimensions}
    return replace(card, head=HEAD, options={**card.options, "head_options": options})


def hybrid_head(model: nn.Module) -> HybridHead | None:
    """The network's hybrid head, if it has one."""
    head = getattr(model, "head", None)
    return head if isinstance(head, HybridHead) else None


def give_vectors(model: nn.Module, vectors_KD: NDArray[np.float32]) -> HybridHead:
    """Puts the labels' vectors into the network's hybrid head, and gives the head."""
    head = hybrid_head(model)
    assert head is not None, "card_with_embeddings made one"
    head.set_labels(torch.from_numpy(vectors_KD))
    return head
