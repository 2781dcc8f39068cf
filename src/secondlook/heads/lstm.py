"""LSTM over the vectors of the frames (two layers of 512), read at the last frame or as a mean.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; `late-temporal-bert`, section 1.24. The source does not say
how its LSTM is read; its code (artest08/LateTemporalModeling3DCNN) takes the last step, the default here.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.heads._build import choice, share, whole
from secondlook.heads._pool import FramePool

READ_OUTS = ("last", "mean")


class LstmHead(nn.Module):
    """`logits_BK = W h_BT + b` with `h = LSTM(mean_HW(features_BCTHW))`, of the last layer."""

    def __init__(
        self, channels: int, num_classes: int, dropout: float, hidden: int, layers: int, read_out: str
    ) -> None:
        super().__init__()
        self.read_out = choice(read_out, "read-out", READ_OUTS)
        self.pool = FramePool()
        self.lstm = nn.LSTM(channels, whole(hidden, "hidden"), whole(layers, "layers"), batch_first=True)
        self.dropout = nn.Dropout(share(dropout, "dropout"))
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        steps_BTD = self.lstm(self.pool(features_BCTHW))[0]
        read_BD = steps_BTD[:, -1] if self.read_out == "last" else steps_BTD.mean(1)
        logits_BK: Tensor = self.classifier(self.dropout(read_BD))
        return logits_BK


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    hidden: int = 512,
    layers: int = 2,
    read_out: str = "last",
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features; any, for this head.
        num_classes: K.
        dropout: share of the read vector dropped in training.
        hidden: width of each layer.
        layers: how many.
        read_out: `last`, the last frame's state; `mean`, that of all frames' states.
    """
    return LstmHead(channels, num_classes, dropout, hidden, layers, read_out)
