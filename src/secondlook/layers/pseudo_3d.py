"""Pseudo-3D bottleneck: a 2D bottleneck with a convolution along time beside or behind its spatial one (P3D-A, B, C).

Qiu, Yao, Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017, section 3.2,
equations 3 to 5; `late-temporal-bert`, section 1.9. With S the 1 x 3 x 3 and T the 3 x 1 x 1 convolution, A is
`T(S(x))`, B is `S(x) + T(x)` and C is `S(x) + T(S(x))`. As in the released networks, S ends in a normalisation and a
ReLU, T in a normalisation, and a ReLU follows the sum. Departs from them in the weight of the sum of C: both parts
count one, as in the equation, and not one half.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Sum

Kind = Literal["A", "B", "C"]


class Pseudo3DBottleneck(nn.Module):
    """`act4(norm3(conv3(middle(act1(norm1(conv1(x)))))) + shortcut(x))`, `x_BCTHW -> BCTHW`.

    `middle` is A, B or C. All but `temporal` and `temporal_norm` has the names of a 2D bottleneck, whose weights
    fit it.

    Args:
        kind: how S and T are joined.
        channels_in: of the input.
        channels: the inner width.
        channels_out: of the output.
        stride: in space, of the first convolution, as in the released networks.
        shortcut: from the input to the output's shape.

    Raises:
        BadValue: if there is no such kind.
    """

    def __init__(
        self, kind: Kind, channels_in: int, channels: int, channels_out: int, stride: int, shortcut: nn.Module
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise BadValue(kind, "a pseudo-3D block is of kind A, B or C")
        self.kind = kind
        self.conv1 = nn.Conv3d(channels_in, channels, 1, (1, stride, stride), bias=False)
        self.norm1 = nn.BatchNorm3d(channels)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.norm2 = nn.BatchNorm3d(channels)
        self.act2 = nn.ReLU()
        self.temporal = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.temporal_norm = nn.BatchNorm3d(channels)
        self.join = nn.Identity() if kind == "A" else Sum()
        self.act3 = nn.ReLU()
        self.conv3 = nn.Conv3d(channels, channels_out, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(channels_out)
        self.shortcut = shortcut
        self.sum = Sum()
        self.act4 = nn.ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One residual step."""
        x = self.act1(self.norm1(self.conv1(x_BCTHW)))
        space = self.act2(self.norm2(self.conv2(x)))
        time = self.temporal_norm(self.temporal(x if self.kind == "B" else space))
        middle = self.act3(self.join(time) if self.kind == "A" else self.join(space, time))
        out: Tensor = self.act4(self.sum(self.norm3(self.conv3(middle)), self.shortcut(x_BCTHW)))
        return out
