"""Inception module in 3D: four branches of other widths of kernels side by side, as I3D and S3D have it.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, figure 2; Carreira, Zisserman, "Quo Vadis, Action
Recognition?", CVPR 2017, figure 3; `late-temporal-bert`, section 1.8. How convolutions and pools are made is passed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.same_max_pool import SameMaxPool3d
from secondlook.layers.same_padding import SameConv3d

Widths = tuple[int, int, int, int, int, int]
"""Outputs of a module's convolutions: branch 0; 1, reduced and after; 2, reduced and after; 3."""
Sides = tuple[int, int, int]
"""Along time, height and width."""
EPSILON = 1e-3
"""Added to the variance by every batch normalisation, as TensorFlow does."""


def outputs(widths: Widths) -> int:
    """Channels of a module's output."""
    return widths[0] + widths[2] + widths[4] + widths[5]


@dataclass(frozen=True)
class Parts:
    """How a family makes its parts."""

    conv: Callable[[int, int, int, int], nn.Sequential]
    """Channels in, channels out, kernel and stride along each axis -> convolution, normalised and activated."""
    pool: Callable[[Sides, Sides], nn.Module]
    """Window and stride -> max-pool."""
    gate: Callable[[int], nn.Module] | None = None
    """Channels -> what follows the last convolution of each branch and `conv_2c`; nothing when None."""


def unit(conv: nn.Conv3d) -> nn.Sequential:
    """`act(norm(conv(x)))`."""
    norm = nn.BatchNorm3d(conv.out_channels, eps=EPSILON)
    return nn.Sequential(OrderedDict[str, nn.Module](conv=conv, norm=norm, act=nn.ReLU()))


def whole_conv(channels_in: int, channels: int, kernel: int, stride: int) -> nn.Sequential:
    """I3D's: one kernel along all axes, padded as TensorFlow's "same"."""
    return unit(SameConv3d(channels_in, channels, (kernel,) * 3, (stride,) * 3))


WHOLE = Parts(whole_conv, SameMaxPool3d)
"""How I3D makes its parts."""


class Inception(nn.Module):
    """Four branches side by side, their channels joined, `x_BCTHW -> BCTHW` of the same T, H and W.

    0: 1 wide; 1 and 2: 1 wide, then 3 wide; 3: max-pool 3 wide, then 1 wide.

    Args:
        channels_in: C of the input; that of the output is `outputs(widths)`.
        widths: of the branches' convolutions.
        parts: how convolutions and pools are made; I3D's when left out.

    Raises:
        BadValue: if a width is below 1.
    """

    def __init__(self, channels_in: int, widths: Widths, parts: Parts | None = None) -> None:
        super().__init__()
        if channels_in < 1 or min(widths) < 1:
            raise BadValue((channels_in, widths), "an Inception module needs at least one channel everywhere")
        parts = parts or WHOLE
        b0, r1, b1, r2, b2, b3 = widths
        pool = parts.pool((3, 3, 3), (1, 1, 1))
        self.branch0 = _branch(parts, b0, unit=parts.conv(channels_in, b0, 1, 1))
        self.branch1 = _branch(parts, b1, reduce=parts.conv(channels_in, r1, 1, 1), unit=parts.conv(r1, b1, 3, 1))
        self.branch2 = _branch(parts, b2, reduce=parts.conv(channels_in, r2, 1, 1), unit=parts.conv(r2, b2, 3, 1))
        self.branch3 = _branch(parts, b3, pool=pool, unit=parts.conv(channels_in, b3, 1, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """All branches of the same input."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_BCTHW) for branch in branches], 1)


def _branch(parts: Parts, channels: int, **modules: nn.Module) -> nn.Sequential:
    branch = nn.Sequential(OrderedDict(modules))
    if parts.gate:
        branch.add_module("gate", parts.gate(channels))
    return branch
