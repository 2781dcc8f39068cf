"""No pooling: learns from one random frame of a clip, and averages the logits of all its frames when it is asked.

`late-temporal-bert`, sections 1.16 and 1.24 ("No pooling"). In evaluation it is the head `average`; the difference is
what training sees. A network of 3D convolutions gets a clip of one frame then.
"""

from __future__ import annotations

from torch import nn

from secondlook.heads.average import AverageHead


class SingleFrameHead(AverageHead):
    """`logits_BK = mean_t (W mean_HW(features_BCtHW) + b)`; in training, T is 1."""

    trains_on_one_frame = True


def build(channels: int, frames: int, num_classes: int, *, dropout: float = 0.0) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features; any, for this head.
        num_classes: K.
        dropout: share of the pooled features dropped in training.
    """
    return SingleFrameHead(channels, num_classes, dropout)
