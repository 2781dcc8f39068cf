"""Convolution and average pooling with TensorFlow's "same" padding: `ceil(n / stride)` values out, whatever the kernel.

Where the padding is odd, the further value comes at the end: a 3-wide kernel of stride 2 pads an even side by (0, 1),
where the usual symmetric padding would give (1, 1) and look one place further to the left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Values before and after an axis: `max((ceil(n / s) - 1) s + k - n, 0)`, the smaller half before."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv3d(nn.Conv3d):
    """`nn.Conv3d` with "same" padding of zeros along time, height and width; it has no dilation.

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        kernel: T x H x W.
        stride: along each of them.
        groups: separate parts of the channels.
        bias: whether the convolution has one.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
        *,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=bias)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The convolved clip, `ceil` of each side over its stride."""
        sides = tuple(
            same_padding(n, k, s) for n, k, s in zip(x_BCTHW.shape[2:], self.kernel_size, self.stride, strict=True)
        )
        return self.padded(x_BCTHW, sides)

    def padded(self, x_BCTHW: Tensor, sides: tuple[tuple[int, int], ...]) -> Tensor:
        """The convolved clip, padded before and after each axis as told."""
        inside = (0, 0, 0)
        if all(before == after for before, after in sides):  # then the convolution pads by itself, without a copy
            inside = (sides[0][0], sides[1][0], sides[2][0])
        else:
            x_BCTHW = functional.pad(x_BCTHW, [n for before_after in reversed(sides) for n in before_after])
        if self.groups > 1 and self.kernel_size[0] == 1 and self.stride[0] == 1 and not inside[0]:
            return self._in_space(x_BCTHW, inside[1:])
        if self.groups > 1 and self.kernel_size[1:] == self.stride[1:] == (1, 1) and not any(inside[1:]):
            return self._in_time(x_BCTHW, inside[0])
        return functional.conv3d(x_BCTHW, self.weight, self.bias, self.stride, inside, groups=self.groups)

    # Depth-wise kernels that are flat are those of 2D convolutions, whose gradients a CPU has 3 to 10 times as fast.

    def _in_space(self, x_BCTHW: Tensor, padding: tuple[int, int]) -> Tensor:
        x_NCHW = x_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        y_NCHW = functional.conv2d(
            x_NCHW, self.weight.squeeze(2), self.bias, self.stride[1:], padding, groups=self.groups
        )
        return y_NCHW.reshape(-1, x_BCTHW.shape[2], *y_NCHW.shape[1:]).transpose(1, 2)

    def _in_time(self, x_BCTHW: Tensor, padding: int) -> Tensor:
        x_BCTN = x_BCTHW.flatten(3).contiguous(memory_format=torch.channels_last)
        y_BCTN = functional.conv2d(
            x_BCTN, self.weight.squeeze(4), self.bias, (self.stride[0], 1), (padding, 0), groups=self.groups
        )
        return y_BCTN.reshape(*y_BCTN.shape[:3], *x_BCTHW.shape[3:])


class SameAvgPool(nn.Module):
    """Mean of 3 x 3 places, every second one, "same" padded; places outside the frame do not count."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Each frame at half its size, rounded up."""
        # An odd side is padded by (1, 1), an even one by (0, 1): the window that sticks out is what `ceil_mode` keeps.
        height, width = x_BCTHW.shape[3:]
        kernel = (1, min(height, 3), min(width, 3))
        padding = (0, height % 2 if height > 2 else 0, width % 2 if width > 2 else 0)
        return functional.avg_pool3d(x_BCTHW, kernel, (1, 2, 2), padding, ceil_mode=True, count_include_pad=False)
