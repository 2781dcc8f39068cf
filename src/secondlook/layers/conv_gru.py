"""Convolutional GRU: a recurrent unit over maps, whose gates are 3 x 3 convolutions.

Ballas et al., "Delving Deeper into Convolutional Networks for Learning Video Representations", ICLR 2016;
`late-temporal-bert`, section 1.24: `z = s(W_z * [x, h])`, `r = s(W_r * [x, h])`, `c = tanh(W * [x, r h])`,
`h <- (1 - z) h + z c`, s being the logistic function; h starts at 0. One bias a gate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue


class ConvGru(nn.Module):
    """`x_BCTHW -> h_BDTHW`, the state after each frame.

    What the gates read of the input is one convolution over all frames at once; only what they read of the state runs
    frame by frame.

    Args:
        channels: C.
        hidden: D.
        kernel: height and width of the gates' kernels, odd.

    Raises:
        BadValue: for an even kernel.
    """

    initialises_itself = True

    def __init__(self, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise BadValue(kernel, "the gates' kernel must be odd, so that the state keeps its size")
        self.hidden = hidden
        pad = kernel // 2
        self.input = nn.Conv3d(channels, 3 * hidden, (1, kernel, kernel), padding=(0, pad, pad))
        """Of z, r and c, in this order, with their biases."""
        self.gates = nn.Conv2d(hidden, 2 * hidden, kernel, padding=pad, bias=False)
        """Of z and r."""
        self.candidate = nn.Conv2d(hidden, hidden, kernel, padding=pad, bias=False)
        self.sigmoid = nn.Sigmoid()
        self.tanh = nn.Tanh()
        bound = ((channels + hidden) * kernel**2) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The states of all frames."""
        given_TBDHW = self.input(x_BCTHW).permute(2, 0, 1, 3, 4)
        h_BDHW = torch.zeros_like(given_TBDHW[0, :, : self.hidden])
        states = []
        for gates_BDHW, candidate_BDHW in zip(*given_TBDHW.split((2 * self.hidden, self.hidden), 2), strict=True):
            z_BDHW, r_BDHW = self.sigmoid(gates_BDHW + self.gates(h_BDHW)).chunk(2, 1)
            new_BDHW = self.tanh(candidate_BDHW + self.candidate(r_BDHW * h_BDHW))
            h_BDHW = torch.lerp(h_BDHW, new_BDHW, z_BDHW)
            states.append(h_BDHW)
        return torch.stack(states, 2)
