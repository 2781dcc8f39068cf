"""ConvGRU over the maps of the frames (3 x 3 gates, width 196), then pooled over space.

Ballas et al., ICLR 2016; `late-temporal-bert`, section 1.24. The source does not say how it is read; here at the last
frame or as a mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.heads._build import choice, share, whole
from secondlook.heads._pool import FramePool
from secondlook.heads.lstm import READ_OUTS
from secondlook.layers.conv_gru import ConvGru


class ConvGruHead(nn.Module):
    """`logits_BK = W mean_HW(h_BDTHW at the last T) + b` with `h = ConvGRU(features_BCTHW)`."""

    def __init__(
        self, channels: int, num_classes: int, dropout: float, hidden: int, kernel: int, read_out: str
    ) -> None:
        super().__init__()
        self.read_out = choice(read_out, "read-out", READ_OUTS)
        self.gru = ConvGru(channels, whole(hidden, "hidden"), whole(kernel, "kernel"))
        self.pool = FramePool()
        self.dropout = nn.Dropout(share(dropout, "dropout"))
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        steps_BTD = self.pool(self.gru(features_BCTHW))
        read_BD = steps_BTD[:, -1] if self.read_out == "last" else steps_BTD.mean(1)
        logits_BK: Tensor = self.classifier(self.dropout(read_BD))
        return logits_BK


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    hidden: int = 196,
    kernel: int = 3,
    read_out: str = "last",
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features; any, for this head.
        num_classes: K.
        dropout: share of the read vector dropped in training.
        hidden: width of the state.
        kernel: height and width of the gates' kernels.
        read_out: `last`, the last frame's state; `mean`, that of all frames' states.
    """
    return ConvGruHead(channels, num_classes, dropout, hidden, kernel, read_out)
