"""Hybrid language head: a linear classifier, and beside it a linear layer to the sentence embedding of the label.

`label-reassessment`, section 1.13. Either branch can be read: the classifier, as the source does, or the embedding,
whose logits are cosines with the labels' vectors. Those vectors are part of the weights, so that prediction needs no
table of them. The source pools a 3D ResNet-50's map; here any other head may give the vector (`then`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.heads._build import build_head, choice, heads_over_one_map, parts, whole

EMBEDS = True
"""Not to be put inside another head, which would read one branch and drop the other."""
READS = ("class", "embedding")


class HybridHead(nn.Module):
    """`logits_BK = W v + b`, or `cos(E v, l_k) / temperature` for label vectors l; v is what the inner head gives.

    Args:
        then: a head over the map; its dropout and classifier become this head's.
        dimensions: of the label vectors.
        read: `class` or `embedding`.
        temperature: divides cosines, so that a softmax of them is of use.
    """

    initialises_itself = True
    label_vectors_KD: Tensor

    def __init__(self, then: nn.Module, dimensions: int, read: str, temperature: float) -> None:
        super().__init__()
        self.read, self.temperature = read, temperature
        self.then, self.dropout, self.classifier = parts(then)
        inner, classes = int(self.classifier.in_features), int(self.classifier.out_features)  # type: ignore[arg-type]
        self.embedding = nn.Linear(inner, dimensions)
        self.register_buffer("label_vectors_KD", torch.zeros(classes, dimensions))

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip, by the branch that is read."""
        read_BC = self.dropout(self.then(features_BCTHW))
        if self.read == "class":
            logits_BK: Tensor = self.classifier(read_BC)
            return logits_BK
        return self.rank(self.embed_read(read_BC)) / self.temperature

    def embed(self, features_BCTHW: Tensor) -> Tensor:
        """What the clip would be called, as a vector of length 1: `e_BD`."""
        return self.embed_read(self.dropout(self.then(features_BCTHW)))

    def embed_read(self, read_BC: Tensor) -> Tensor:
        """The same of the vector that the classifier reads, which the last `dropout` gave."""
        return functional.normalize(self.embedding(read_BC), dim=1)

    def rank(self, e_BD: Tensor) -> Tensor:
        """`cos(e, l_k)` with the vector of each label, `cosine_BK`."""
        return e_BD @ functional.normalize(self.label_vectors_KD, dim=1).T

    def set_labels(self, vectors_KD: Tensor) -> None:
        """Takes the labels' vectors, which are scaled to length 1.

        Raises:
            BadValue: if they are of another number or width.
        """
        if vectors_KD.shape != self.label_vectors_KD.shape:
            wanted = "x".join(map(str, self.label_vectors_KD.shape))
            raise BadValue("x".join(map(str, vectors_KD.shape)), f"this head takes {wanted} label vectors",
                           "Give --head-option dimensions=D, or embed the labels of this table.")  # fmt: skip
        self.label_vectors_KD.copy_(functional.normalize(vectors_KD, dim=1))


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    dimensions: int = 768,
    read: str = "class",
    temperature: float = 0.1,
    then: str = "average",
    then_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the vector dropped in training before both branches.
        dimensions: D of the label vectors; that of the table in a training with `--embeddings`.
        read: `class`: logits are the classifier's. `embedding`: cosines with the label vectors, over `temperature`.
        temperature: of the cosines.
        then: the head that gives the vector.
        then_options: what that head takes beyond.

    Raises:
        BadValue: if a number cannot be.
        UnknownName: if there is no such branch or head; names the nearest.
    """
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not temperature > 0:
        raise BadValue(temperature, "temperature must be positive")
    name = choice(then, "head under the two branches", heads_over_one_map())
    inner = build_head(name, channels, frames, num_classes, dropout, then_options)
    return HybridHead(inner, whole(dimensions, "dimensions"), choice(read, "branch", READS), float(temperature))
