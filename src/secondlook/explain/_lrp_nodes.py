"""Nodes of a relevance pass: values of one computation, gradients of another; and which values are signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from secondlook.explain._lrp_composites import Composite
from secondlook.explain._lrp_rules import Bias, Ledger

Attention = Literal["conservative", "attnlrp"]
_BOUNDS = "_lrp_bounds"


@dataclass(frozen=True)
class Settings:
    """How relevance is propagated."""

    composite: Composite
    bias: Bias = "absorb"
    """`absorb`: biases take their share. `ignore`: it goes to the inputs, so that the sum is kept."""
    attention: Attention = "conservative"
    """`conservative`: attention weights are constants. `attnlrp`: they pass relevance to queries and keys."""


class Mode(TorchFunctionMode):
    """What a handler of an operation gets to know; it may enter it again for operations of its own."""

    def __init__(self, settings: Settings, ledger: Ledger | None = None) -> None:
        super().__init__()
        self.settings, self.ledger = settings, ledger


Handler = Callable[..., Any]
"""`(mode, func, *args, **kwargs)` -> what the operation gives, with a gradient that stands for relevance."""


def is_signal(value: object) -> bool:
    """Whether a value depends on the network's input."""
    return isinstance(value, Tensor) and value.requires_grad


def set_bounds(x: Tensor, low: Tensor, high: Tensor) -> None:
    """Marks a tensor as the network's input, or a part of it, with the least and greatest value of each place."""
    setattr(x, _BOUNDS, (low, high))


def bounds_of(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Least and greatest value of each place, where a tensor is a part of the network's input."""
    return getattr(x, _BOUNDS, None)


def tensors_in(values: Any) -> list[Tensor]:
    """Every tensor among arguments."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return []
    return [t for v in values for t in tensors_in(v)]


def _swap(values: Any, which: int) -> Any:
    """The same arguments, parts of the input replaced by their least (0) or greatest (1) values."""
    if isinstance(values, Tensor):
        found = bounds_of(values)
        return values if found is None else found[which]
    if isinstance(values, dict):
        return {k: _swap(v, which) for k, v in values.items()}
    return type(values)(_swap(v, which) for v in values) if type(values) in (list, tuple) else values


def carry_bounds(func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """What is picked from the input is a part of the input."""
    signals = [t for t in tensors_in((args, kwargs)) if t.requires_grad]
    if not all(bounds_of(t) is not None for t in signals):
        return
    with torch.no_grad():
        lows, highs = (func(*_swap(args, i), **_swap(kwargs, i)) for i in (0, 1))
    for one, low, high in zip(tensors_in(out), tensors_in(lows), tensors_in(highs), strict=True):
        set_bounds(one, low, high)


def shifted(mode: Mode, y: Tensor, scaled: Tensor, kind: str, axis: int) -> Tensor:
    """`y = scaled + shift`: the shift takes its share; or, where biases are ignored, gives it to the signal.

    It then goes to the places along `axis` in proportion to the signal's size there, so that none has to make up for a
    shift that is much larger than itself.
    """
    with torch.no_grad():
        shift = y - scaled
    if mode.settings.bias == "ignore":
        size = scaled.detach().abs().sum(axis, keepdim=True)
        out: Tensor = _Spread.apply(scaled, y.detach(), shift, size, axis)  # type: ignore[no-untyped-call]
        return out
    return with_gradient_of(mode, y, scaled, kind)


class _Spread(torch.autograd.Function):
    """`y = x + shift`; the shift's relevance goes to x along an axis, in proportion to |x|."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, shift: Tensor, size: Tensor, axis: int) -> Tensor:
        ctx.axis = axis
        ctx.save_for_backward(x, shift, size)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, shift, size = ctx.saved_tensors
        taken = (shift * gradients[0]).sum(ctx.axis, keepdim=True)
        return gradients[0] + x.sign() * taken / (size + 1e-30), None, None, None, None


class _Elsewhere(torch.autograd.Function):
    """Values of one computation, gradient of another."""

    @staticmethod
    def forward(ctx: Any, like: Tensor, value: Tensor, kind: str, ledger: Ledger | None) -> Tensor:
        ctx.kind, ctx.ledger = kind, ledger
        if ledger is not None:
            ctx.save_for_backward(like, value)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if ctx.ledger is not None:
            like, value = ctx.saved_tensors
            ctx.ledger.add(ctx.kind, value * gradients[0], like * gradients[0])
        return gradients[0], None, None, None


def with_gradient_of(mode: Mode, y: Tensor, like: Tensor, kind: str) -> Tensor:
    """The plain output, whose gradient goes the way of a computation that gives the same but for constants."""
    out: Tensor = _Elsewhere.apply(like, y.detach(), kind, mode.ledger)  # type: ignore[no-untyped-call]
    return out


class _Scaled(torch.autograd.Function):
    """`y` forward; `ratio * g` backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, ratio: Tensor | float) -> Tensor:
        ctx.ratio = ratio
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] * ctx.ratio, None, None


def scaled_by(x: Tensor, y: Tensor, ratio: Tensor | float) -> Tensor:
    """`y`, with `g_x = ratio * g_y`."""
    out: Tensor = _Scaled.apply(x, y.detach(), ratio)  # type: ignore[no-untyped-call]
    return out


def half(value: Any) -> Any:
    """A signal whose gradient is halved on the way back; anything else as it is."""
    return scaled_by(value, value, 0.5) if is_signal(value) else value
