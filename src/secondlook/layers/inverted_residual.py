"""Inverted residual: widen the channels, convolve them depth-wise, narrow them again; the sum joins the narrow ends.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, section 3.3 and figure 4.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Norm, Sum
from secondlook.layers.separable_conv import Conv, SeparableConv, group_conv


class InvertedResidual(nn.Module):
    """`norm(separable(expand(before(x)))) + x`; the sum only where the shapes agree, and no activation after it.

    Args:
        conv: `nn.Conv2d` or `nn.Conv3d`.
        channels_in: C of the input.
        channels_out: C of the output.
        expansion: the inner width over `channels_in`; with 1 nothing widens.
        stride: of the depth-wise convolution.
        norm: makes a normalisation.
        act: makes an activation.
        before: comes first in the branch, such as a temporal shift; leaves the shape as it is.

    Raises:
        BadValue: if the expansion is below 1.
    """

    def __init__(
        self,
        conv: Conv,
        channels_in: int,
        channels_out: int,
        expansion: int,
        stride: int,
        norm: Norm,
        act: Callable[[], nn.Module] = nn.ReLU6,
        before: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if expansion < 1:
            raise BadValue(expansion, "the expansion must be at least 1")
        inner = channels_in * expansion
        self.before = before or nn.Identity()
        self.expand: nn.Module = nn.Identity()
        if expansion > 1:
            widen = group_conv(conv, channels_in, inner, 1, 1)
            self.expand = nn.Sequential(OrderedDict[str, nn.Module](conv=widen, norm=norm(inner), act=act()))
        self.separable = SeparableConv(conv, inner, channels_out, 3, stride, norm, act)
        self.norm = norm(channels_out)
        self.sum = Sum() if joins(channels_in, channels_out, stride) else None

    def forward(self, x: Tensor) -> Tensor:
        """One step."""
        y: Tensor = self.norm(self.separable(self.expand(self.before(x))))
        return y if self.sum is None else self.sum(y, x)


def joins(channels_in: int, channels_out: int, stride: int) -> bool:
    """Whether such a block has the sum: its input and output have one shape."""
    return stride == 1 and channels_in == channels_out
