"""SoftPool: each window gives the mean of its values, weighted by their softmax, in one, two or three dimensions.

Stergiou, Poppe, Kalliatakis, "Refining Activation Downsampling with SoftPool", ICCV 2021, equations 1 to 3;
`srtg-mtnet-classreg-visualisation`, section 2.6: `abar = sum_r w_r a_r` with `w_r = exp(a_r) / sum_k exp(a_k)`. The
backward pass is the exact one, `w_r (1 + a_r - abar)`; the figure of the source shows `w_r` alone. The window's largest
value is subtracted first, and everything is reckoned in float32 whatever comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from secondlook.errors import BadValue
from secondlook.layers._windows import Windows, axes, precise

_NOTHING = torch.finfo(torch.float32).min / 2
"""What padding holds: its weight is 0, and its distance to any value is a number."""


def soft_pool(
    x: Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    *,
    dimensions: int,
    ceil_mode: bool = False,
) -> Tensor:
    """`sum_r w_r a_r` of each window along the last `dimensions` axes, in the type of `x`.

    Lies between the mean and the largest value of the window; it does not grow with each of them. Padding has no
    weight. Can be differentiated any number of times; only what it computes once more in a second pass takes memory.

    Args:
        x: values with any axes before those that are pooled.
        kernel: size of the window, one number or one an axis.
        stride: distance of windows; their size when left out.
        padding: at most half a window.
        dimensions: axes that are pooled.
        ceil_mode: keep a last window that sticks out; it has fewer values.

    Raises:
        BadValue: for windows that cannot be, or values that are no floating-point numbers.
    """
    if has_torch_function_unary(x):  # an explainer sees one operation, as it does of torch's own
        seen: Tensor = handle_torch_function(
            soft_pool, (x,), x, kernel, stride, padding, dimensions=dimensions, ceil_mode=ceil_mode
        )
        return seen
    if not x.is_floating_point():
        raise BadValue(str(x.dtype), "SoftPool wants floating-point values", "Call .float() on them.")
    if x.ndim < dimensions:
        raise BadValue(tuple(x.shape), f"this pool wants at least {dimensions} axes")
    sizes = axes(kernel, dimensions)
    windows = Windows(
        sizes, sizes if stride is None else axes(stride, dimensions), axes(padding, dimensions), ceil_mode
    )
    pooled: Tensor = _SoftPool.apply(x, windows)  # type: ignore[no-untyped-call]
    return pooled


class _SoftPool(torch.autograd.Function):
    """Keeps, for the way back, the input and three numbers a window."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows) -> Tensor:
        peak, total, offset = _moments(x, windows)
        ctx.windows = windows
        ctx.save_for_backward(x, peak, total, offset)
        return (peak + offset).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, peak, total, offset = ctx.saved_tensors
        windows: Windows = ctx.windows
        if torch.is_grad_enabled():  # a second derivative is wanted: the moments too must be functions of x
            peak, total, offset = _moments(x, windows)
        sizes = x.shape[-len(windows.kernel) :]
        wide = _widened(x, windows)
        share, rest = gradients[0].to(peak.dtype) / total, 1 - offset
        found = torch.zeros_like(wide, dtype=peak.dtype)
        places = windows.places(wide, windows.counts(sizes)), windows.places(found, windows.counts(sizes))
        apart = all(s >= k for s, k in zip(windows.stride, windows.kernel, strict=True))
        for values, target in zip(*places, strict=True):
            distance = values.to(peak.dtype) - peak
            gradient = torch.exp(distance) * share * (rest + distance)
            if apart:
                target.copy_(gradient)
            else:
                target += gradient
        return windows.without_padding(found, sizes).to(x.dtype), None


def _widened(x: Tensor, windows: Windows) -> Tensor:
    sizes = x.shape[-len(windows.kernel) :]
    if any(map(any, windows.padding_of(sizes))):
        x = x.to(precise(x))  # half a float16's range is no distance at all
    return windows.padded(x, _NOTHING)


def _moments(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
    """Of each window: its largest value m, the sum of `exp(a - m)`, and how far `abar` lies from m."""
    counts = windows.counts(x.shape[-len(windows.kernel) :])
    places = [values.contiguous() for values in windows.places(_widened(x, windows), counts)]  # read three times each
    peak = places[0].detach()
    for values in places[1:]:
        peak = torch.maximum(peak, values.detach())
    peak = peak.to(precise(x))
    total, weighted = torch.zeros_like(peak), torch.zeros_like(peak)
    for values in places:
        distance = values.to(peak.dtype) - peak
        weight = torch.exp(distance)
        total += weight
        weighted.addcmul_(weight, distance)
    return peak, total, weighted / total


class _SoftPoolModule(nn.Module):
    dimensions: int

    def __init__(
        self,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel = axes(kernel, self.dimensions)
        self.stride = self.kernel if stride is None else axes(stride, self.dimensions)
        self.padding = axes(padding, self.dimensions)
        self.ceil_mode = ceil_mode
        Windows(self.kernel, self.stride, self.padding)  # refuses what cannot be

    def forward(self, x: Tensor) -> Tensor:
        """The pooled values, in the type of the input."""
        if x.ndim != self.dimensions + 2:
            rule = f"this pool wants clips, channels and {self.dimensions} further axes"
            raise BadValue(tuple(x.shape), rule, "Add the axis that is missing.")
        return soft_pool(
            x, self.kernel, self.stride, self.padding, dimensions=self.dimensions, ceil_mode=self.ceil_mode
        )

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        raise BadValue("torch.jit.script", "cannot compile a gradient of one's own", "Use torch.export.")

    def extra_repr(self) -> str:
        """Kernel, stride and padding, as torch's pools show them."""
        return f"kernel={self.kernel}, stride={self.stride}, padding={self.padding}, ceil_mode={self.ceil_mode}"


class SoftPool1d(_SoftPoolModule):
    """`soft_pool` along T, `x_BCT -> BCT`; arguments as `soft_pool` has them."""

    dimensions = 1


class SoftPool2d(_SoftPoolModule):
    """`soft_pool` over a frame, `x_BCHW -> BCHW`; arguments as `soft_pool` has them."""

    dimensions = 2


class SoftPool3d(_SoftPoolModule):
    """`soft_pool` over time and space, `x_BCTHW -> BCTHW`; arguments as `soft_pool` has them."""

    dimensions = 3
