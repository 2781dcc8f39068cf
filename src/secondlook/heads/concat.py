"""Concatenation: the vectors of all frames, in order, side by side, then one linear layer.

`late-temporal-bert`, section 1.24 ("Concatenation"): 16 x 512 -> 8192 -> K. The length of the clip is part of the
weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads._build import share
from secondlook.heads._pool import FramePool


class ConcatHead(nn.Module):
    """`logits_BK = W [mean_HW(features_BC0HW), ..., mean_HW(features_BC(T-1)HW)] + b`."""

    def __init__(self, channels: int, frames: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.frames = frames
        self.pool = FramePool()
        self.dropout = nn.Dropout(share(dropout, "dropout"))
        self.classifier = nn.Linear(channels * frames, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip.

        Raises:
            BadValue: for a clip of another length than the head was built for.
        """
        logits_BK: Tensor = self.classifier(self.dropout(side_by_side(self.pool(features_BCTHW), self.frames)))
        return logits_BK


def side_by_side(tokens_BTC: Tensor, frames: int) -> Tensor:
    """`BTC -> B(TC)`, frame after frame.

    Raises:
        BadValue: if T is not `frames`.
    """
    check_length(tokens_BTC.shape[1], frames)
    return tokens_BTC.flatten(1)


def check_length(given: int, frames: int) -> None:
    """Refuses features of another length than a head's weights are for.

    Raises:
        BadValue: if the two differ.
    """
    if given != frames:
        raise BadValue(
            given,
            f"frames of features, and this head was built for {frames}",
            "Build it with the option frames of the clip.",
        )


def build(channels: int, frames: int, num_classes: int, *, dropout: float = 0.0) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the pooled features dropped in training.
    """
    return ConcatHead(channels, frames, num_classes, dropout)
