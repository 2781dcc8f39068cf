"""Temporal shift: a share of the channels is taken from the next and from the previous frame, at no cost.

Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 3;
`label-reassessment`, section 5.4; `late-temporal-bert`, section 1.15. Time lies folded in the batch: B T x C x H x W.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers._remembering import Remembering


class TemporalShift(Remembering, nn.Module):
    """Shifts channels along time. With `n = floor(fraction * C)`, zeros standing in for frames outside the clip:

    * offline: channels `[0, n)` come from frame `t + 1`, `[n, 2n)` from `t - 1`, the others stay;
    * online: channels `[0, n)` come from frame `t - 1`, the others stay, so that no frame sees a later one.

    Args:
        fraction: share of the channels that move, for each direction; 0 moves none.
        online: take from the past only.

    Raises:
        BadValue: if more channels would move than there are.
    """

    frames: int
    """T of the clips in the batch. The network sets it before each pass; it is no part of the weights."""
    past: Tensor | None
    """Last frame of what came before, B x n x H x W (online only); None stands for zeros."""
    last: Tensor | None
    """What `past` must be for the frames that follow those of the latest pass; kept only where `remember` is set."""

    def __init__(self, fraction: float = 0.125, *, online: bool = False) -> None:
        super().__init__()
        directions = 1 if online else 2
        if not 0 <= fraction <= 1 / directions:
            raise BadValue(fraction, f"the shifted fraction must lie in [0, {1 / directions:g}]", "The usual is 0.125.")
        self.fraction, self.online = fraction, online
        self.frames = 1

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shifted clips, N = B T; the input is left as it is."""
        n = int(self.fraction * x_NCHW.shape[1] + 1e-6)
        if n == 0:
            return x_NCHW
        if x_NCHW.shape[0] % self.frames:
            raise BadValue(tuple(x_NCHW.shape), f"the batch must hold whole clips of {self.frames} frames")
        x_BTCHW = x_NCHW.reshape(-1, self.frames, *x_NCHW.shape[1:])
        zeros = torch.zeros_like(x_BTCHW[:, :1, :n])
        if self.online:
            before = zeros if self.past is None else self.past.unsqueeze(1)
            moved = [torch.cat((before, x_BTCHW[:, :-1, :n]), dim=1), x_BTCHW[:, :, n:]]
            self.last = x_BTCHW[:, -1, :n] if self.remember else None
        else:
            from_next = torch.cat((x_BTCHW[:, 1:, :n], zeros), dim=1)
            from_previous = torch.cat((zeros, x_BTCHW[:, :-1, n : 2 * n]), dim=1)
            moved = [from_next, from_previous, x_BTCHW[:, :, 2 * n :]]
        return torch.cat(moved, dim=2).flatten(0, 1)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"fraction={self.fraction:g}, online={self.online}"
