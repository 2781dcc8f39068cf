"""Temporal gate: which clips of a batch are cycle-consistent, and how often a network's gates stood open.

Stergiou and Poppe, "Learn to cycle: Time-consistent feature discovery for action recognition", Pattern Recognition
Letters 2021; `srtg-mtnet-classreg-visualisation`, section 2.3 and E5. A new recurrent network answers nearly the same
for every frame, so that its gate is closed; and through a closed gate no gradient reaches it. Two ways out, both off
unless asked for: `when="evaluation"` (no gate in training) and `warmup_steps` (no gate for the first steps).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.soft_nearest_neighbour import check, consistency

When = Literal["always", "evaluation"]
WHEN: Sequence[str] = get_args(When)


class TemporalGate(nn.Module):
    """`s_BCT, h_BCT -> open_B`: true where every frame of each sequence finds itself by way of the other.

    An inactive gate compares nothing and is open to all. No gradient passes. See `soft_nearest_neighbour.consistency`.

    Args:
        criterion: `index` or `cycle`.
        temperature: of the soft nearest neighbour.
        normalise: scale frames to length 1 before they are compared.
        when: `always`, or `evaluation`: inactive in training.
        warmup_steps: inactive, in evaluation too, until it has seen so many training steps: forward passes in
            training mode with gradients. They are counted in the buffer `steps`, which is part of the state dict, so
            that a resumed training goes on where it stopped; without a warm-up there is no such buffer.

    Raises:
        UnknownName: for another criterion or time.
        BadValue: for a temperature of 0 or less, or a negative warm-up.
    """

    steps: Tensor | None

    def __init__(
        self,
        criterion: str = "index",
        temperature: float = 1.0,
        *,
        normalise: bool = False,
        when: str = "always",
        warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        check(criterion, temperature)
        if when not in WHEN:
            raise UnknownName("time of a gate", str(when), WHEN)
        if isinstance(warmup_steps, bool) or not isinstance(warmup_steps, int) or warmup_steps < 0:
            raise BadValue(warmup_steps, "a gate's warm-up must be a whole number of steps, 0 for none")
        self.criterion, self.temperature, self.normalise = criterion, temperature, normalise
        self.when, self.warmup_steps = when, warmup_steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.long) if warmup_steps else None)
        self.reset()

    def reset(self) -> None:
        """Forgets how often the gate stood open."""
        self._opened: Tensor | int = 0
        self._seen = 0

    @property
    def counts(self) -> tuple[int, int]:
        """Clips since the last `reset` for which the active gate was open, and all of them."""
        return int(self._opened), self._seen

    def restore(self, counts: tuple[int, int]) -> None:
        """Goes on counting from what `counts` gave."""
        self._opened, self._seen = counts

    @property
    def open_rate(self) -> float:
        """Share of the clips since the last `reset` for which the active gate was open; not a number before any."""
        return float(self._opened) / self._seen if self._seen else float("nan")

    def forward(self, a_BCT: Tensor, b_BCT: Tensor) -> Tensor:
        """True where a clip's gate is open."""
        compiled = torch.compiler.is_compiling()  # a graph cannot branch on a value, and keeps no statistics
        warming = self._warming()
        resting = self.when == "evaluation" and self.training
        if resting or (warming is not None and not compiled and bool(warming)):
            return torch.ones(len(a_BCT), dtype=torch.bool, device=a_BCT.device)
        open_B = consistency(
            a_BCT, b_BCT, criterion=self.criterion, temperature=self.temperature, normalise=self.normalise
        ).consistent
        if compiled:
            return open_B if warming is None else open_B | warming
        if open_B.device.type != "meta":
            self._opened = self._opened + open_B.sum()
            self._seen += len(open_B)
        return open_B

    def _warming(self) -> Tensor | None:
        """Whether the warm-up goes on; None without one. Counts the step if this is one."""
        if self.steps is None:
            return None
        warming = self.steps < self.warmup_steps
        if self.training and torch.is_grad_enabled():
            self.steps += 1
        return warming

    def extra_repr(self) -> str:
        """What `print` shows."""
        warm = f", warmup_steps={self.warmup_steps}" if self.warmup_steps else ""
        when = "" if self.when == "always" else f", when={self.when!r}"
        unit = ", normalise=True" if self.normalise else ""
        return f"criterion={self.criterion!r}, temperature={self.temperature:g}{unit}{when}{warm}"


def gate_statistics(network: nn.Module) -> dict[str, float]:
    """Open rate of every gate, by the name of the module that holds it, over the calls since the last `reset`.

    A gate that was never active has the rate "not a number". See `TemporalGate.open_rate`.
    """
    return {name: gate.open_rate for name, gate in _gates(network)}


def gate_counts(network: nn.Module) -> dict[str, tuple[int, int]]:
    """`TemporalGate.counts` of every gate, by name; `restore_gate_counts` takes them back."""
    return {name: gate.counts for name, gate in _gates(network)}


def restore_gate_counts(network: nn.Module, counts: Mapping[str, tuple[int, int]]) -> None:
    """Every gate goes on counting from where it stood when `gate_counts` was called."""
    for name, gate in _gates(network):
        if name in counts:
            gate.restore(counts[name])


def reset_gate_statistics(network: nn.Module) -> None:
    """Lets every gate of a network forget how often it stood open."""
    for _, gate in _gates(network):
        gate.reset()


def _gates(network: nn.Module) -> Iterator[tuple[str, TemporalGate]]:
    for name, module in network.named_modules():
        if isinstance(module, TemporalGate):
            yield name.removesuffix("gate").rstrip("."), module
