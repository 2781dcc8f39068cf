"""Squeeze and Recursion: a recurrent network over pooled frames scales each channel, behind a temporal gate.

Stergiou and Poppe, "Learn to cycle: Time-consistent feature discovery for action recognition", Pattern Recognition
Letters 2021; `srtg-mtnet-classreg-visualisation`, sections 2.2 and 2.3. `a* = a h`, h the hidden states over
`s_BCT = mean_HW(a)`. A gate lets a clip's `a*` through where s and h are cycle-consistent, and its `a` where not.
Beyond the source: two other ways to fuse, because `|h| < 1` shrinks what passes, and h is near 0 to begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers._full_precision import full_precision
from secondlook.layers.recurrent_cells import recurrent
from secondlook.layers.temporal_gate import TemporalGate

FUSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "multiply": lambda a, h: a * h,
    "sigmoid": lambda a, h: a * torch.sigmoid(h),
    "residual": lambda a, h: a + a * h,
}
"""How an activation meets the hidden states: `a h` as printed, `a sigmoid(h)` (half to begin with), `a (1 + h)` (whole
to begin with)."""


class Recursion(nn.Module):
    """`s_BCT -> h_BCT`, hidden states of a recurrent network of width C along T, in the precision of its weights.

    Args:
        channels: C.
        cell: a name in `recurrent_cells.CELLS`.
        layers: one upon the other; an LSTM of two has `16 C^2 + 16 C` weights.

    Raises:
        UnknownName: for another cell.
        BadValue: for less than one layer.
    """

    initialises_itself = True

    def __init__(self, channels: int, cell: str = "lstm", layers: int = 2) -> None:
        super().__init__()
        self.recurrent = recurrent(cell, channels, layers)

    def forward(self, s_BCT: Tensor) -> Tensor:
        """Hidden states of the last layer."""
        dtype = next(self.recurrent.parameters()).dtype
        # Laid otherwise, torch multiplies in one way with weights that learn and in another with frozen ones, and an
        # explainer, which freezes them, would see logits that differ in their last bit.
        frames_first_BTC = s_BCT.permute(2, 0, 1).contiguous().transpose(0, 1)
        with full_precision(s_BCT), _without_cudnn(s_BCT, self.training):
            h_BTC: Tensor = self.recurrent(frames_first_BTC.to(dtype))[0]
        return h_BTC.transpose(1, 2)


class Fuse(nn.Module):
    """`a_BCTHW, h_BCT -> a*_BCTHW`, one of `FUSES`, as a module that can be hooked.

    Raises:
        UnknownName: for another way.
    """

    def __init__(self, way: str = "multiply") -> None:
        super().__init__()
        if way not in FUSES:
            raise UnknownName("way to fuse", str(way), FUSES)
        self.way = way

    def forward(self, a_BCTHW: Tensor, h_BCT: Tensor) -> Tensor:
        """The activation, scaled by its hidden states."""
        return FUSES[self.way](a_BCTHW, h_BCT.to(a_BCTHW.dtype)[..., None, None])

    def extra_repr(self) -> str:
        """What `print` shows."""
        return repr(self.way)


class SqueezeRecursion(nn.Module):
    """`where(open, fuse(a, h), a)`, `a_BCTHW -> BCTHW`; without a gate always `fuse(a, h)`.

    Args:
        channels: C.
        cell: of the recursion.
        layers: of the recursion.
        gate: which clips are let through; True for `TemporalGate()`, False or None for all.
        fuse: a name in `FUSES`.
    """

    def __init__(
        self,
        channels: int,
        cell: str = "lstm",
        layers: int = 2,
        *,
        gate: bool | TemporalGate | None = True,
        fuse: str = "multiply",
    ) -> None:
        super().__init__()
        self.channels = channels
        self.recursion = Recursion(channels, cell, layers)
        self.gate: TemporalGate | None = TemporalGate() if gate is True else (gate or None)
        self.fuse = Fuse(fuse)

    def forward(self, a_BCTHW: Tensor) -> Tensor:
        """The volume, scaled where its clip's gate is open.

        Raises:
            BadValue: if it is no B x C x T x H x W with the right C.
        """
        if a_BCTHW.ndim != 5 or a_BCTHW.shape[1] != self.channels:
            raise BadValue(tuple(a_BCTHW.shape), f"this recursion wants B x {self.channels} x T x H x W")
        # Channels last, which is how a CPU has them: ten times as fast there as a mean over the last two dimensions.
        a_BTHWC = a_BCTHW.permute(0, 2, 3, 4, 1)
        s_BCT = a_BTHWC.mean((2, 3), dtype=torch.promote_types(a_BCTHW.dtype, torch.float32)).transpose(1, 2)
        h_BCT = self.recursion(s_BCT)
        fused: Tensor = self.fuse(a_BCTHW, h_BCT)
        if self.gate is None:
            return fused
        open_B: Tensor = self.gate(s_BCT, h_BCT)
        return torch.where(open_B[:, None, None, None, None], fused, a_BCTHW)

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        raise BadValue("torch.jit.script", "cannot compile a temporal gate", "Use torch.export.")


@dataclass(frozen=True)
class RecursionSettings:
    """How a network's Squeeze and Recursion is made, wherever it stands."""

    cell: str = "lstm"
    """A name in `recurrent_cells.CELLS`."""
    layers: int = 2
    """Of the recurrent network."""
    gates: bool | str = True
    """True: always; False: none, each clip passes; `evaluation`: none in training."""
    criterion: str = "index"
    """`index` or `cycle`."""
    temperature: float = 1.0
    """Of the soft nearest neighbour."""
    normalise: bool = False
    """The gate compares frames scaled to length 1."""
    warmup_steps: int = 0
    """Training steps before the gates are active."""
    fuse: str = "multiply"
    """A name in `FUSES`."""

    def __post_init__(self) -> None:
        if self.gates not in (True, False, "evaluation"):
            raise BadValue(self.gates, "gates must be true, false or 'evaluation'")
        with torch.device("meta"):  # draws no random number
            self.make(1)

    def make(self, channels: int) -> SqueezeRecursion:
        """One for C channels.

        Raises:
            UnknownName: for a cell, criterion or way to fuse that does not exist; names the nearest.
            BadValue: for a number that cannot be.
        """
        gate = TemporalGate(
            self.criterion,
            self.temperature,
            normalise=self.normalise,
            when="evaluation" if self.gates == "evaluation" else "always",
            warmup_steps=self.warmup_steps,
        )
        return SqueezeRecursion(channels, self.cell, self.layers, gate=gate if self.gates else None, fuse=self.fuse)


def _without_cudnn(x: Tensor, training: bool) -> AbstractContextManager[Any]:
    """cuDNN's recurrent networks pass no gradient in evaluation mode, and explainers want it there."""
    if x.is_cuda and not training and torch.is_grad_enabled():
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()
