"""Non-local block over space and time, then another head: average, concat or concat_fc.

`late-temporal-bert`, sections 1.11, 1.24 and 4.10; Wang et al., "Non-local Neural Networks", CVPR 2018. The block's
inner width is C, its four 1 x 1 x 1 convolutions have biases, and nothing is sub-sampled. The counts of section 1.24
leave no room for a normalisation after the block; those of 4.10 fit either way, and the authors' code
(artest08/LateTemporalModeling3DCNN) has one: `norm=True`. That code also divides the products by the root of the number
of places; the paper's do not, nor do these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from secondlook.heads._build import build_head, choice, flag, parts, whole
from secondlook.layers.non_local import NonLocal

THEN = ("average", "concat", "concat_fc")


class NonLocalHead(nn.Module):
    """`logits_BK = classifier(dropout(then(non_local(features_BCTHW))))`.

    Args:
        block: `features_BCTHW -> features_BCTHW`.
        then: the head that follows; its dropout and classifier become this head's.
    """

    def __init__(self, block: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.then, self.dropout, self.classifier = parts(then)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        logits_BK: Tensor = self.classifier(self.dropout(self.then(self.block(features_BCTHW))))
        return logits_BK


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    then: str = "average",
    then_options: Mapping[str, Any] | None = None,
    inner: int | None = None,
    pool: bool = False,
    norm: bool = False,
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the features dropped in training before the classifier.
        then: the head that follows: `average`, `concat` or `concat_fc`.
        then_options: what that head takes beyond, such as `{"hidden": 1000}`.
        inner: width inside the block; C when left out.
        pool: keys and values are max-pooled by 2 in height and width.
        norm: a batch normalisation ends the block, which then starts as the identity.
    """
    width = channels if inner is None else whole(inner, "inner")
    block = NonLocal(channels, width, pool=flag(pool, "pool"), norm=flag(norm, "norm"))
    name = choice(then, "head after the non-local block", THEN)
    return NonLocalHead(block, build_head(name, channels, frames, num_classes, dropout, then_options))
