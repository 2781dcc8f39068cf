"""Linear layers and normalisations of a relevance pass; a batch normalisation is merged into the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.explain._lrp_nodes import Handler, Mode, bounds_of, carry_bounds, shifted, with_gradient_of
from secondlook.explain._lrp_rules import Layer, LinearMap, ruled

_MADE_BY = "_lrp_made_by"


def _linear(mode: Mode, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        z = func(input, weight, bias)
    return _layer(mode, LinearMap(), input, weight, bias, z)


def _conv(
    mode: Mode, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    number = weight.ndim - 2
    stride, dilation = _each(stride, number), _each(dilation, number)
    with torch.no_grad():
        z = func(input, weight, bias, stride, padding, dilation, groups)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        around = [n for t in reversed(total) for n in (t // 2, t - t // 2)]
        padded = functional.pad(input, around)
        carry_bounds(functional.pad, (input, around), {}, padded)
        input, padding = padded, 0
    padding = _each(0 if padding == "valid" else padding, number)
    return _layer(mode, LinearMap(number, stride, padding, dilation, groups), input, weight, bias, z)


def _each(value: Any, number: int) -> tuple[int, ...]:
    return (value,) * number if isinstance(value, int) else tuple(value) * (number if len(value) == 1 else 1)


def _layer(mode: Mode, linear: LinearMap, a: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor) -> Tensor:
    composite, bounds = mode.settings.composite, bounds_of(a)
    rule = composite.conv if linear.axes else composite.dense
    if bounds is not None and composite.first is not None:
        rule = composite.first
    layer = Layer(rule, mode.settings.bias, linear, weight, bias, z, bounds, mode.ledger)
    out = ruled(a, layer)
    setattr(out, _MADE_BY, (a, layer, out._version))
    return out


def _batch_norm(
    mode: Mode, func: Any, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if training or running_mean is None or running_var is None:
        over = [0, *range(2, input.ndim)]
        with torch.no_grad():
            y = func(input, running_mean, running_var, weight, bias, training, momentum, eps)
        return _normalised(mode, y, input, input, over, [1, -1, *[1] * (input.ndim - 2)], weight, eps, 1)
    with torch.no_grad():
        y = func(input, running_mean, running_var, weight, bias, training, momentum, eps)
        factor = (running_var + eps).rsqrt() * (1.0 if weight is None else weight)
        shift = -running_mean * factor + (0.0 if bias is None else bias)
    made_by: tuple[Tensor, Layer, int] | None = getattr(input, _MADE_BY, None)
    if made_by is not None and made_by[2] == input._version and made_by[1].linear.axes + 2 == input.ndim:
        a, layer, _ = made_by
        merged = layer.weight * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
        offset = shift if layer.bias is None else shift + layer.bias * factor
        return _layer(mode, layer.linear, a, merged, offset, y)
    shape = [1, -1, *[1] * (input.ndim - 2)]
    return shifted(mode, y, input * factor.reshape(shape), "norm", 1)


def _layer_norm(
    mode: Mode, func: Any, input: Tensor, normalized_shape: Any, weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    with torch.no_grad():
        y = func(input, normalized_shape, weight, bias, eps)
    over = list(range(-len(normalized_shape), 0))
    return _normalised(mode, y, input, input, over, [*normalized_shape], weight, eps, -1)


def _group_norm(
    mode: Mode, func: Any, input: Tensor, num_groups: int, weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    with torch.no_grad():
        y = func(input, num_groups, weight, bias, eps)
    grouped = input.reshape(len(input), num_groups, -1, *input.shape[2:])
    shape = [1, -1, *[1] * (input.ndim - 2)]
    return _normalised(mode, y, input, grouped, list(range(2, grouped.ndim)), shape, weight, eps, 1)


def _instance_norm(
    mode: Mode, func: Any, input: Tensor, running_mean: Any = None, running_var: Any = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if not use_input_stats:
        return _batch_norm(mode, functional.batch_norm, input, running_mean, running_var, weight, bias, False, 0.1, eps)
    with torch.no_grad():
        y = func(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    shape = [1, -1, *[1] * (input.ndim - 2)]
    return _normalised(mode, y, input, input, list(range(2, input.ndim)), shape, weight, eps, 1)


def _rms_norm(
    mode: Mode, func: Any, input: Tensor, normalized_shape: Any, weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:  # fmt: skip
    over = list(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    size = (input.square().mean(over, keepdim=True) + eps).rsqrt().detach()
    return input * size * (1.0 if weight is None else weight)


def _normalised(
    mode: Mode, y: Tensor, input: Tensor, grouped: Tensor, over: list[int], shape: list[int],
    weight: Tensor | None, eps: float, axis: int,
) -> Tensor:  # fmt: skip
    """Centred and divided by a deviation that is taken as a constant; `axis` is that of the channels."""
    deviation = (grouped.var(over, correction=0, keepdim=True) + eps).sqrt().detach()
    found = ((grouped - grouped.mean(over, keepdim=True)) / deviation).reshape(input.shape)
    return shifted(mode, y, found if weight is None else found * weight.reshape(shape), "norm", axis)


def _normalize(mode: Mode, func: Any, input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    with torch.no_grad():
        y = func(input, p, dim, eps)
        length = torch.linalg.vector_norm(input, p, dim, keepdim=True).clamp_min(eps)
    return with_gradient_of(mode, y, input / length, "norm")


LAYERS: Mapping[str, Handler] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    "normalize": _normalize,
}
"""Name of an operation -> its handler."""
