"""Squeeze and Recursion: a recurrent network over pooled frames scales each channel, behind a temporal gate.

Stergiou and Poppe, "Learn to cycle: Time-consistent feature discovery for action recognition", Pattern Recognition
Letters 2021; `srtg-mtnet-classreg-visualisation`, sections 2.2 and 2.3. `a* = a h`, h the hidden states over
`s_BCT = mean_HW(a)`. A gate lets a clip's `a*` through where s and h are cycle-consistent, and its `a` where not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName

CELLS: Mapping[str, Callable[..., nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Recursion(nn.Module):
    """`s_BCT -> h_BCT`, hidden states of a recurrent network of width C along T.

    Args:
        channels: C.
        cell: `lstm`, `gru` or `rnn`.
        layers: one upon the other; an LSTM of two has `16 C^2 + 16 C` weights.

    Raises:
        UnknownName: for another cell.
        BadValue: for less than one layer.
    """

    initialises_itself = True

    def __init__(self, channels: int, cell: str = "lstm", layers: int = 2) -> None:
        super().__init__()
        if cell not in CELLS:
            raise UnknownName("recurrent cell", cell, CELLS)
        if layers < 1:
            raise BadValue(layers, "a recursion needs at least one layer")
        self.recurrent = CELLS[cell](channels, channels, layers, batch_first=True)

    def forward(self, s_BCT: Tensor) -> Tensor:
        """Hidden states of the last layer."""
        h_BTC: Tensor = self.recurrent(s_BCT.transpose(1, 2))[0]
        return h_BTC.transpose(1, 2)


class TemporalGate(nn.Module):
    """Which clips are cycle-consistent, `s_BCT, h_BCT -> open_B`: every frame of each finds itself in the other.

    Frame t of A finds the frame of B nearest to its soft nearest neighbour `softmax_i(-|a_t - b_i|^2) b_i`; it must be
    frame t, for all t and in both directions. No gradient passes. `open_rate` is the share of the last call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open_rate = float("nan")

    @torch.no_grad()
    def forward(self, a_BCT: Tensor, b_BCT: Tensor) -> Tensor:
        """True where a clip's gate is open."""
        a_BTC, b_BTC = a_BCT.transpose(1, 2).float(), b_BCT.transpose(1, 2).float()
        t = torch.arange(a_BTC.shape[1], device=a_BTC.device)
        open_B = ((found(a_BTC, b_BTC) == t) & (found(b_BTC, a_BTC) == t)).all(1)
        if not torch.compiler.is_compiling() and open_B.device.type != "meta":
            self.open_rate = float(open_B.float().mean())
        return open_B


def found(a_BTC: Tensor, b_BTC: Tensor) -> Tensor:
    """Index in B of the frame nearest to the soft nearest neighbour of each frame of A, `index_BT`; first of equals."""
    distance_BTT = torch.cdist(a_BTC, b_BTC, compute_mode="donot_use_mm_for_euclid_dist").square()
    soft_BTC = torch.softmax(-distance_BTT, 2) @ b_BTC
    return torch.cdist(soft_BTC, b_BTC, compute_mode="donot_use_mm_for_euclid_dist").argmin(2)


class SqueezeRecursion(nn.Module):
    """`where(open, a h, a)`, `a_BCTHW -> BCTHW`; without a gate always `a h`.

    Args:
        channels: C.
        cell: of the recursion.
        layers: of the recursion.
        gate: let only cycle-consistent clips through.
    """

    def __init__(self, channels: int, cell: str = "lstm", layers: int = 2, *, gate: bool = True) -> None:
        super().__init__()
        self.recursion = Recursion(channels, cell, layers)
        self.gate = TemporalGate() if gate else None

    def forward(self, a_BCTHW: Tensor) -> Tensor:
        """The volume, scaled where its clip's gate is open."""
        s_BCT = a_BCTHW.mean((3, 4))
        h_BCT = self.recursion(s_BCT)
        fused: Tensor = a_BCTHW * h_BCT[..., None, None]
        if self.gate is None:
            return fused
        open_B: Tensor = self.gate(s_BCT, h_BCT)
        return torch.where(open_B[:, None, None, None, None], fused, a_BCTHW)
