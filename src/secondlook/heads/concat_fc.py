"""Concatenation and a hidden layer: the vectors of all frames, in order, then two linear layers.

`late-temporal-bert`, section 4.10: 4 x 512 -> 1550 -> K, sized to cost what the BERT head does. The source names no
activation between the layers and its code (artest08/LateTemporalModeling3DCNN) has none, which makes them one layer of
a lower rank; departs with a ReLU unless `activation="none"`. That code drops before the first layer, this before the
last.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.heads._build import choice, share, whole
from secondlook.heads._pool import FramePool
from secondlook.heads.concat import side_by_side

ACTIVATIONS = {"relu": nn.ReLU, "none": nn.Identity}


class ConcatFcHead(nn.Module):
    """`logits_BK = W2 act(W1 [frame 0, ..., frame T-1] + b1) + b2`."""

    def __init__(
        self, channels: int, frames: int, num_classes: int, dropout: float, hidden: int, activation: str
    ) -> None:
        super().__init__()
        self.frames = frames
        self.pool = FramePool()
        self.fc = nn.Linear(channels * frames, whole(hidden, "hidden"))
        self.act = ACTIVATIONS[choice(activation, "activation", ACTIVATIONS)]()
        self.dropout = nn.Dropout(share(dropout, "dropout"))
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip.

        Raises:
            BadValue: for a clip of another length than the head was built for.
        """
        hidden_BD = self.act(self.fc(side_by_side(self.pool(features_BCTHW), self.frames)))
        logits_BK: Tensor = self.classifier(self.dropout(hidden_BD))
        return logits_BK


def build(
    channels: int, frames: int, num_classes: int, *, dropout: float = 0.0, hidden: int = 512, activation: str = "relu"
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the hidden layer dropped in training.
        hidden: width of the hidden layer; see `heads/_budget.py` for the source's.
        activation: after the hidden layer, `relu` or `none`.
    """
    return ConcatFcHead(channels, frames, num_classes, dropout, hidden, activation)
