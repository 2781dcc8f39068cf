"""Group, depth-wise and depth-wise separable convolution: fewer weights, because channels mix less or later.

`late-temporal-bert`, section 1.2; Howard et al., "MobileNets", arXiv 1704.04861, section 3.1. With G groups a
convolution has 1/G of the weights and of the multiply-accumulates; depth-wise is G = C, where no channel sees another.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Norm

Conv = type[nn.Conv2d] | type[nn.Conv3d]


def group_conv(
    conv: Conv, channels_in: int, channels_out: int, kernel: int, groups: int, stride: int | tuple[int, ...] = 1
) -> nn.Module:
    """A convolution of `groups` separate parts, padded to keep the size, without bias.

    Args:
        conv: `nn.Conv2d` or `nn.Conv3d`.
        channels_in: C of the input.
        channels_out: C of the output.
        kernel: its odd width in each direction.
        groups: G, called cardinality in ResNeXt; 1 is the common convolution.
        stride: one number or one an axis.

    Raises:
        BadValue: if the groups do not divide both numbers of channels, or the kernel is not odd.
    """
    if groups < 1 or channels_in % groups or channels_out % groups:
        rule = f"groups must divide the {channels_in} channels in and the {channels_out} out"
        raise BadValue(groups, rule, "Take a common divisor.")
    if kernel < 1 or kernel % 2 == 0:
        raise BadValue(kernel, "the kernel must be odd, to keep the size")
    made: nn.Module = conv(
        channels_in,
        channels_out,
        kernel,
        stride=stride,  # type: ignore[arg-type]
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    return made


def depthwise_conv(conv: Conv, channels: int, kernel: int, stride: int | tuple[int, ...] = 1) -> nn.Module:
    """One filter a channel: a group convolution with as many groups as channels."""
    return group_conv(conv, channels, channels, kernel, channels, stride)


class SeparableConv(nn.Module):
    """`pointwise(act(norm(depthwise(x))))`: each channel looks around itself, then channels mix at each place.

    Args:
        conv: `nn.Conv2d` or `nn.Conv3d`.
        channels_in: C of the input.
        channels_out: C of the output.
        kernel: width of the depth-wise part.
        stride: of the depth-wise part.
        norm: makes the normalisation between the parts.
        act: makes the activation between the parts.
    """

    def __init__(
        self,
        conv: Conv,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int | tuple[int, ...],
        norm: Norm,
        act: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.depthwise = depthwise_conv(conv, channels_in, kernel, stride)
        self.norm = norm(channels_in)
        self.act = act()
        self.pointwise = group_conv(conv, channels_in, channels_out, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Around, then across."""
        out: Tensor = self.pointwise(self.act(self.norm(self.depthwise(x))))
        return out
