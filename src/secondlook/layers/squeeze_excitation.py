"""Squeeze-and-excitation: each channel is scaled by a gate that reads the clip's mean of all channels.

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, section 3; in 3D and with the rounding of widths of
Feichtenhofer, "X3D", CVPR 2020 (the gate's hidden layer has C/16 channels, rounded to a multiple of 8).
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.errors import BadValue


class Product(nn.Module):
    """`a * b` as a module, so that an explainer can hook where a gate meets what it gates."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two tensors of shapes that broadcast."""
        return a * b


class SqueezeExcitation(nn.Module):
    """`x * sigmoid(W_2 relu(W_1 mean_THW(x) + b_1) + b_2)`, `x_BCTHW -> BCTHW`.

    Args:
        channels: C.
        hidden: width of the layer between; `rounded(channels, 1 / 16)` when left out.

    Raises:
        BadValue: if either is below 1.
    """

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        if channels < 1 or (hidden is not None and hidden < 1):
            raise BadValue((channels, hidden), "a gate needs at least one channel outside and inside")
        width = rounded(channels, 1 / 16) if hidden is None else hidden
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.reduce = nn.Conv3d(channels, width, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv3d(width, channels, 1)
        self.gate = nn.Sigmoid()
        self.product = Product()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The clip with its channels scaled, each by a number between 0 and 1."""
        gate_BC111 = self.gate(self.expand(self.act(self.reduce(self.pool(x_BCTHW)))))
        scaled_BCTHW: Tensor = self.product(x_BCTHW, gate_BC111)
        return scaled_BCTHW


def rounded(width: int, factor: float, multiple: int = 8) -> int:
    """`width * factor` rounded to a multiple of 8 (at least 8), upwards where rounding would lose more than a tenth.

    >>> rounded(54, 1 / 16), rounded(12, 2.0), rounded(96, 2.9)
    (8, 24, 280)
    """
    exact = width * factor
    near = max(multiple, int(exact + multiple / 2) // multiple * multiple)
    return near + multiple if near < 0.9 * exact else near
