"""Relevance propagation as a gradient: while a network runs, its operations get backward passes of their own.

The relevance of a tensor `a` is `a * g`, g being what autograd brings to it when each operation goes by its rule:

* linear layers: `_lrp_rules`; a batch normalisation right behind one is merged into it, elsewhere it is a scale and a
  shift a channel;
* sums, concatenations, shifts, means, slices: plain autograd, which keeps the sum; so does the winner of a maximum;
* activations of one value (GELU, tanh, clamps ...): `g_x = g_y y / x`, all relevance to the one input;
* what only scales a signal gets nothing ("signal takes all": Arras et al. 2017, 2019): sigmoids, attention weights,
  deviations, whatever a signal is divided by. Layer normalisation so becomes linear (Ali et al., ICML 2022);
* the product of two signals: half each (Achtibat et al., "AttnLRP", ICML 2024).

An operation that is none of these keeps its own gradient. Nothing in the network changes, and no module is hooked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.explain._lrp_layers import LAYERS
from secondlook.explain._lrp_nodes import (
    Handler,
    Mode,
    carry_bounds,
    half,
    is_signal,
    scaled_by,
    shifted,
    tensors_in,
    with_gradient_of,
)
from secondlook.explain._lrp_recurrent import RECURRENT
from secondlook.layers._windows import Windows, axes


class Propagating(Mode):
    """While it is on, operations on signals (tensors that depend on the input) get the backward passes above."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs one operation by its handler, if it has one and a signal takes part."""
        given = {k: v for k, v in (kwargs or {}).items() if not (k == "out" and v is None)}
        if not any(map(is_signal, tensors_in((args, given)))):
            return func(*args, **given)
        name = _ALSO.get(func.__name__, func.__name__)
        if name.endswith("_") and not name.endswith("__") and (handler := HANDLERS.get(name[:-1])):
            return _in_place(self, handler, name[:-1], args, given)
        if given.get("inplace") and (handler := HANDLERS.get(name)):
            return _in_place(self, handler, name, args, {k: v for k, v in given.items() if k != "inplace"})
        if handler := HANDLERS.get(name):
            return handler(self, func, *args, **given)
        out = func(*args, **given)
        if name in _SELECTIONS:
            carry_bounds(func, args, given, out)
        return out


def _in_place(mode: Mode, handler: Handler, name: str, args: Any, kwargs: Any) -> Tensor:
    """Computed apart and then written over its first argument, so that whoever else holds that sees it too."""
    own = getattr(functional, name, None) or getattr(torch, name)
    first: Tensor = args[0]
    result: Tensor = handler(mode, own, first.clone(), *args[1:], **kwargs)
    if is_signal(result):
        return first.copy_(result)
    with torch.no_grad():
        first.copy_(result)
    return result


def _activation(at_zero: float) -> Handler:
    """`g_x = g_y y / x`, and its limit at x = 0."""

    def handler(mode: Mode, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with torch.no_grad():
            y = func(input, *args, **kwargs)
            small = input.abs() < 1e-6
            ratio = torch.where(small, at_zero, y / torch.where(small, 1.0, input))
        return scaled_by(input, y, ratio)

    return handler


def _clamped(mode: Mode, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Bounds that are constants: what is cut off still passes on its relevance; between two signals the winner's."""
    if any(map(is_signal, tensors_in((args, kwargs)))) or not is_signal(input):
        return func(input, *args, **kwargs)
    with torch.no_grad():
        y = func(input, *args, **kwargs)
        small = input.abs() < 1e-6
        ratio = torch.where(small, (y == input).to(y.dtype), y / torch.where(small, 1.0, input))
    return scaled_by(input, y, ratio)


def _constant(mode: Mode, func: Any, *args: Any, **kwargs: Any) -> Any:
    """Gates and scales: their values count, but no relevance goes through them."""
    with torch.no_grad():
        return func(*args, **kwargs)


def _softmax(mode: Mode, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs) if mode.settings.attention == "attnlrp" else _constant(mode, func, *args, **kwargs)


def _product(mode: Mode, func: Any, *args: Any, **kwargs: Any) -> Any:
    """Half each where two signals meet."""
    if sum(map(is_signal, tensors_in((args, kwargs)))) > 1:
        args = tuple(_halves(a) for a in args)
        kwargs = {k: _halves(v) for k, v in kwargs.items()}
    return func(*args, **kwargs)


def _halves(value: Any) -> Any:
    return type(value)(map(half, value)) if isinstance(value, list | tuple) else half(value)


def _divided(mode: Mode, func: Any, input: Any, other: Any, **kwargs: Any) -> Any:
    return func(input, other.detach() if isinstance(other, Tensor) else other, **kwargs)


def _divides(mode: Mode, func: Any, input: Tensor, other: Any) -> Any:
    """`other / input`: `Tensor.__rdiv__`."""
    return func(input.detach(), other)


def _sum(mode: Mode, func: Any, input: Any, other: Any, **kwargs: Any) -> Any:
    """Plain, but that a constant takes its share, or gives it away, as a bias does."""
    out = func(input, other, **kwargs)
    both = is_signal(input) and is_signal(other)
    if both or kwargs or (mode.settings.bias == "absorb" and mode.ledger is None):
        return out
    if not is_signal(input) and func.__name__ in ("sub", "subtract", "__sub__"):
        signal = -other
    elif func.__name__ in ("__rsub__", "rsub"):
        signal = -input
    else:
        signal = input if is_signal(input) else other
    return shifted(mode, out, signal.expand_as(out), "constant", -1) if out.dtype == signal.dtype else out


def _joined(mode: Mode, func: Any, tensors: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Plain; what constants among the parts take (a class token, say) is booked."""
    out: Tensor = func(tensors, *args, **kwargs)
    if all(map(is_signal, tensors)):
        carry_bounds(func, (tensors, *args), kwargs, out)
        return out
    if mode.ledger is None:
        return out
    parts = [t if is_signal(t) else torch.zeros_like(t) for t in tensors]
    return with_gradient_of(mode, out, func(parts, *args, **kwargs), "constant")


def _lerp(mode: Mode, func: Any, input: Tensor, end: Tensor, weight: Any) -> Any:
    return func(input, end, weight.detach() if isinstance(weight, Tensor) else weight)


def _power(mode: Mode, func: Any, input: Any, exponent: Any = 2) -> Any:
    if not is_signal(input) or (isinstance(exponent, int | float) and exponent < 1):
        return _constant(mode, func, *((input,) if func.__name__ == "square" else (input, exponent)))
    rest = () if func.__name__ == "square" else (exponent,)
    return _activation(0.0)(mode, func, input, *rest)


def _attention(
    mode: Mode, func: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """`softmax(q k^T scale + mask) v`, written out so that each part has its rule."""
    with torch.no_grad():
        y = func(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = _product(mode, torch.matmul, query, key.transpose(-1, -2)) * factor
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        hidden = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, float("-inf")) if hidden else scores + attn_mask
    weights = _softmax(mode, torch.softmax, scores, -1)
    return with_gradient_of(mode, y, _product(mode, torch.matmul, weights, value), "attention")


def _soft_pool(
    mode: Mode, func: Any, x: Tensor, kernel: Any, stride: Any, padding: Any, *, dimensions: int, ceil_mode: bool
) -> Tensor:
    """The mean of a window, its weights being gates."""
    with torch.no_grad():
        y = func(x, kernel, stride, padding, dimensions=dimensions, ceil_mode=ceil_mode)
    sizes = axes(kernel, dimensions)
    windows = Windows(
        sizes, sizes if stride is None else axes(stride, dimensions), axes(padding, dimensions), ceil_mode
    )
    wide = windows.padded(x, torch.finfo(x.dtype).min / 2)
    places = torch.stack(list(windows.places(wide, windows.counts(x.shape[-dimensions:]))))
    return with_gradient_of(mode, y, (places.detach().softmax(0) * places).sum(0), "pool")


HANDLERS: Mapping[str, Handler] = {
    **LAYERS,
    **RECURRENT,
    **dict.fromkeys(("relu", "relu6", "leaky_relu", "abs"), _activation(0.0)),
    **dict.fromkeys(("gelu", "silu", "hardswish"), _activation(0.5)),
    **dict.fromkeys(("tanh", "elu", "selu", "celu", "softsign"), _activation(1.0)),
    "mish": _activation(0.6),
    **dict.fromkeys(("hardtanh", "clamp", "clamp_min", "clamp_max", "maximum", "minimum"), _clamped),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "exp", "sqrt", "rsqrt", "reciprocal", "std", "var", "norm"), _constant),
    **dict.fromkeys(("vector_norm", "linalg_vector_norm", "logsumexp"), _constant),
    "softmax": _softmax,
    **dict.fromkeys(("mul", "matmul", "bmm", "mm", "einsum", "baddbmm", "addcmul", "outer", "dot"), _product),
    **dict.fromkeys(("div", "true_divide"), _divided),
    "__rdiv__": _divides,
    **dict.fromkeys(("add", "sub", "__rsub__", "rsub"), _sum),
    **dict.fromkeys(("cat", "concat", "stack"), _joined),
    "lerp": _lerp,
    **dict.fromkeys(("pow", "square"), _power),
    "soft_pool": _soft_pool,
    "scaled_dot_product_attention": _attention,
}
"""Name of an operation -> what is done in its place."""
_ALSO = {
    "__mul__": "mul", "__rmul__": "mul", "multiply": "mul", "__add__": "add", "__radd__": "add", "__sub__": "sub",
    "__truediv__": "div", "__div__": "div", "divide": "div", "__matmul__": "matmul", "__pow__": "pow",
    "__iadd__": "add_", "__imul__": "mul_", "__isub__": "sub_", "__itruediv__": "div_", "clip": "clamp",
}  # fmt: skip
_SELECTIONS = frozenset(
    (
        *("__getitem__", "index_select", "select", "narrow", "gather", "take", "unbind", "chunk", "split"),
        *("tensor_split", "view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "squeeze"),
        *("unsqueeze", "contiguous", "clone", "expand", "repeat", "flip", "roll", "pad", "to", "type_as", "dropout"),
    )
)
"""Operations whose output holds nothing but values of their input (and constants)."""
