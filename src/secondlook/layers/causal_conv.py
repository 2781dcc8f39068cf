"""Causal convolution and causal mean: the output at a frame knows that frame and those before it, none after it.

Kondratyuk et al., "MoViNets: Mobile Video Networks for Efficient Video Recognition", CVPR 2021, section 3.2 (stream
buffer, causal convolution, cumulative global average pooling). What they keep of a video is bounded: a convolution the
last `kernel - 1` frames of its input, a mean one value a channel and the number of frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.layers._remembering import Remembering
from secondlook.layers.same_padding import SameConv3d, same_padding


class CausalConv3d(Remembering, SameConv3d):
    """A 3D convolution that is padded at the front of time only, and "same" in height and width.

    `y_t = sum_i W_i x_(t - K + 1 + i)` for a kernel of K frames, with zeros before the first frame of the video; its
    `past` are the K - 1 frames of its input before the clip, B x C x K-1 x H x W. Its stride along time is 1.
    """

    past: Tensor | None
    last: Tensor | None

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The convolved clip, T as it was."""
        before = self.kernel_size[0] - 1
        front = (0, 0)
        if before and self.past is not None:
            x_BCTHW = torch.cat((self.past, x_BCTHW), dim=2)
        elif before:
            front = (before, 0)
        if before and self.remember:
            self.last = functional.pad(x_BCTHW, (0, 0, 0, 0, max(before - x_BCTHW.shape[2], 0), 0))[:, :, -before:]
        sides = tuple(
            same_padding(n, k, s)
            for n, k, s in zip(x_BCTHW.shape[3:], self.kernel_size[1:], self.stride[1:], strict=True)
        )
        return self.padded(x_BCTHW, (front, *sides))


class CausalMean(Remembering, nn.Module):
    """`y_t = mean(x_1 ... x_t)`, over time alone; its `past` is the mean so far and the number of frames in it."""

    past: tuple[Tensor, int] | None
    last: tuple[Tensor, int] | None

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The running mean at each frame, of the same shape."""
        frames = x_BCTHW.shape[2]
        total = x_BCTHW.cumsum(2)
        seen = 0
        if self.past is not None:
            mean, seen = self.past
            total = total + mean * seen
        count_T = torch.arange(seen + 1, seen + frames + 1, device=x_BCTHW.device, dtype=x_BCTHW.dtype)
        mean_BCTHW = total / count_T[:, None, None]
        if self.remember:
            self.last = (mean_BCTHW[:, :, -1:], seen + frames)
        return mean_BCTHW
