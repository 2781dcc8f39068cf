"""Residual blocks: basic and bottleneck, in 2D or 3D, around any convolutions, the sum being a module.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figures 2 and 5;
`late-temporal-bert`, section 1.5. The convolutions are passed in, so that one block serves plain, shifted and
factorised convolutions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]
"""Makes the normalisation of a number of channels, for example `nn.BatchNorm3d`."""


class Sum(nn.Module):
    """`a + b` as a module, so that an explainer can hook where two branches meet."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of two tensors of one shape."""
        return a + b


class BasicBlock(nn.Module):
    """`act(norm2(conv2(act(norm1(conv1(x))))) + shortcut(x))`.

    Args:
        conv1: carries the stride; any module from the block's input to `channels`.
        conv2: from `channels` to `channels`.
        channels: channels after either convolution.
        norm: makes a normalisation.
        shortcut: from the input to the output's shape; see `shortcut`.
    """

    expansion = 1

    def __init__(self, conv1: nn.Module, conv2: nn.Module, channels: int, norm: Norm, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv1
        self.norm1 = norm(channels)
        self.act1 = nn.ReLU()
        self.conv2 = conv2
        self.norm2 = norm(channels)
        self.shortcut = shortcut
        self.sum = Sum()
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        out: Tensor = self.act2(self.sum(y, self.shortcut(x)))
        return out


class Bottleneck(nn.Module):
    """`act(norm3(conv3(act(norm2(conv2(act(norm1(conv1(x)))))))) + shortcut(x))`: 1, 3 and 1 wide kernels.

    Args:
        conv1: reduces the input to `channels`.
        conv2: from `channels` to `channels`; carries the stride.
        conv3: from `channels` to `4 * channels`, or to `channels_out`.
        channels: the inner width.
        norm: makes a normalisation.
        shortcut: from the input to the output's shape; see `shortcut`.
        channels_out: channels of the output, where they are not four times the inner width.
    """

    expansion = 4

    def __init__(
        self,
        convs: Sequence[nn.Module],
        channels: int,
        norm: Norm,
        shortcut: nn.Module,
        channels_out: int | None = None,
    ) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = convs
        self.norm1 = norm(channels)
        self.act1 = nn.ReLU()
        self.norm2 = norm(channels)
        self.act2 = nn.ReLU()
        self.norm3 = norm(channels * self.expansion if channels_out is None else channels_out)
        self.shortcut = shortcut
        self.sum = Sum()
        self.act3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act1(self.norm1(self.conv1(x)))
        y = self.act2(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        out: Tensor = self.act3(self.sum(y, self.shortcut(x)))
        return out


def shortcut(
    conv: type[nn.Conv2d] | type[nn.Conv3d],
    channels_in: int,
    channels_out: int,
    stride: int | tuple[int, ...],
    norm: Norm,
) -> nn.Module:
    """The other branch of a block: nothing where shapes agree, else a 1-wide convolution with the stride, and a norm.

    Args:
        conv: `nn.Conv2d` or `nn.Conv3d`.
        channels_in: channels of the block's input.
        channels_out: channels of its output.
        stride: the block's stride, one number or one an axis.
        norm: makes a normalisation.
    """
    strided = stride != 1 if isinstance(stride, int) else any(s != 1 for s in stride)
    if channels_in == channels_out and not strided:
        return nn.Identity()
    project = conv(channels_in, channels_out, 1, stride=stride, bias=False)  # type: ignore[arg-type]
    return nn.Sequential(OrderedDict(conv=project, norm=norm(channels_out)))
