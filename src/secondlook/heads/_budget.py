"""Equal budgets: how wide an LSTM, a hidden layer or a ConvGRU must be to cost as many weights as the BERT head.

`late-temporal-bert`, section 4.10 and item F61. On 4 frames of 512 channels with 51 classes this gives 434, 1515 and
(after a non-local block) 1015; the source took 450, 1550 and 1000, "sized to match": 0.42, 0.15 and -0.07 % of the
whole network away from its BERT's 47,377,907.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from secondlook.errors import BadValue, UnknownName
from secondlook.heads._build import build_head

_LARGEST = 1 << 20


@dataclass(frozen=True)
class Sized:
    """A head of a chosen width."""

    head: str
    options: Mapping[str, Any]
    """What its `build` is given to have that width."""
    parameters: int
    """Of the whole head, its classifier included."""


def _widths(head: str, width: int) -> dict[str, Any]:
    if head == "non_local":
        return {"then": "concat_fc", "then_options": {"hidden": width}}
    return {"hidden": width}


SIZED = ("lstm", "conv_gru", "concat_fc", "non_local")
"""Heads that can be sized; `non_local` by the hidden layer of the `concat_fc` that follows its block."""


def parameters_of(head: str, channels: int, frames: int, num_classes: int, options: Mapping[str, Any]) -> int:
    """Learnable values of a head, its classifier included; takes no memory."""
    with torch.device("meta"):
        return sum(p.numel() for p in build_head(head, channels, frames, num_classes, 0.0, options).parameters())


def equal_budget(head: str, channels: int, frames: int, num_classes: int, target: int | None = None) -> Sized:
    """The width of a head with which it costs as near to a target as it can.

    Args:
        head: one of `SIZED`.
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        target: weights to come near to; those of the head `bert` when left out.

    Raises:
        UnknownName: if the head has no width to choose.
        BadValue: if the target is below what the head costs at width 1.
    """
    if head not in SIZED:
        raise UnknownName("head that can be sized", head, SIZED)
    wanted = parameters_of("bert", channels, frames, num_classes, {}) if target is None else target

    def cost(width: int) -> int:
        return parameters_of(head, channels, frames, num_classes, _widths(head, width))

    if cost(1) > wanted:
        raise BadValue(wanted, f"weights are fewer than the {cost(1)} that this head has at width 1")
    low, high = 1, 2
    while cost(high) <= wanted and high < _LARGEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= wanted else (low, middle)
    width = min((low, high), key=lambda w: abs(cost(w) - wanted))
    return Sized(head, _widths(head, width), cost(width))
