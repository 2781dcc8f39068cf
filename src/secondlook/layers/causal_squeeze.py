"""Squeeze and excitation along a clip, and its causal form for streams: a gate a channel, from means of the map.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018; Kondratyuk et al., "MoViNets", CVPR 2021, section 3.2
(CausalSE), in the form of its release, which also reads the mean of the frame alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from secondlook.layers.causal_conv import CausalMean


class SqueezeExcitation(nn.Module):
    """`x * gate(W2 act(W1 mean_THW(x) + b1) + b2)`; causal: `W1` reads the mean of frames 1..t and that of frame t.

    Args:
        channels: C.
        hidden: channels between W1 and W2.
        act: makes the activation.
        gate: makes what turns the result into a factor, such as `nn.Sigmoid`.
        causal: one gate a frame, that knows none of the later ones; else one for the clip.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        act: Callable[[], nn.Module],
        gate: Callable[[], nn.Module],
        *,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.mean = CausalMean() if causal else None
        self.reduce = nn.Conv3d(channels * (2 if causal else 1), hidden, 1)
        self.act = act()
        self.expand = nn.Conv3d(hidden, channels, 1)
        self.gate = gate()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The gated map."""
        if self.mean is None:
            squeezed = x_BCTHW.mean((2, 3, 4), keepdim=True)
        else:
            frame = x_BCTHW.mean((3, 4), keepdim=True)
            squeezed = torch.cat((self.mean(frame), frame), dim=1)
        gated: Tensor = x_BCTHW * self.gate(self.expand(self.act(self.reduce(squeezed))))
        return gated
