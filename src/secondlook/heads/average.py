"""Average pooling over space and time, then one linear layer (the consensus of TSN).

Wang et al., "Temporal Segment Networks", ECCV 2016; `late-temporal-bert`, section 1.24 ("Average"). The layer being
linear, its logits are the mean over frames of what it says to each frame alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.errors import BadValue


class AverageHead(nn.Module):
    """`logits_BK = W mean_THW(features_BCTHW) + b`."""

    def __init__(self, channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise BadValue(dropout, "dropout must lie in [0, 1)", "It is the share of features dropped in training.")
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        pooled_BC = self.pool(features_BCTHW).flatten(1)
        logits_BK: Tensor = self.classifier(self.dropout(pooled_BC))
        return logits_BK

    def frame_logits(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each frame alone, `logits_BTK`; their mean over T is `forward` (with no dropout)."""
        pooled_BTC = features_BCTHW.mean((3, 4)).transpose(1, 2)
        logits_BTK: Tensor = self.classifier(pooled_BTC)
        return logits_BTK


def build(channels: int, frames: int, num_classes: int, *, dropout: float = 0.0) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features; any, for this head.
        num_classes: K.
        dropout: share of the pooled features dropped in training.
    """
    return AverageHead(channels, num_classes, dropout)
