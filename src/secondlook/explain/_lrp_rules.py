"""Relevance through one linear layer (dense or convolution): the rules, each as a backward pass of its own.

A layer gives `z_k = sum_j a_j w_jk + b_k`. What arrives behind it is a gradient `g_k` that stands for the relevance
`R_k = z_k g_k`; what a rule gives out is `g_j` such that `a_j g_j = R_j`. With `p_jk` what a rule takes for the share
of input j in output k,

    R_j = sum_k  p_jk / (sum_j p_jk + bias's share)  R_k

so that the sum is kept but for the bias's share, and for the stabiliser of the epsilon rule. Where biases are ignored,
the bias stands in no denominator; under the epsilon rule, whose denominators may then vanish, its share is given to
the inputs in proportion to `|a w|` instead.

* epsilon (zero where epsilon is 0): `a w`; the denominator is drawn away from 0 by `epsilon * mean |z|` of the clip;
* gamma: `a w + gamma (a w)^+` where the output is positive, `a w + gamma (a w)^-` where it is negative;
* alpha-beta: `alpha (a w)^+ / sum - beta (a w)^- / sum`, with `alpha - beta = 1`; z-plus is alpha 1, beta 0. An output
  that has only one of the two kinds of shares gives all to that kind;
* flat: `1`; w-square: `w^2`; z-B: `a w - low w^+ - high w^-`, low and high being the least and greatest input.

All hold for inputs of either sign: `(a w)^+ = a^+ w^+ + a^- w^-`. Bach et al., PLOS ONE 2015; Montavon et al.,
"Layer-Wise Relevance Propagation: An Overview", 2019; `layerwise-relevance`, section 3. Departs from them: epsilon is
relative, so that one number serves all layers; gamma is generalised to outputs of either sign; and flat, w-square and
z-B give an input of exactly 0 its relevance by taking it for 1e-12 where a gradient is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal["epsilon", "gamma", "alpha-beta", "flat", "w-square", "z-B"]
Bias = Literal["absorb", "ignore"]
TINY = 1e-12
"""Stands in for inputs that are exactly 0 where a rule gives them relevance."""
_NEGLIGIBLE = 1e-6
"""Shares below this part of those of the other sign are rounding."""


@dataclass(frozen=True)
class Rule:
    """One rule with its numbers."""

    kind: Kind
    epsilon: float = 0.0
    """Relative to the mean of |z| over a clip."""
    gamma: float = 0.0
    alpha: float = 1.0
    beta: float = 0.0


@dataclass(frozen=True)
class LinearMap:
    """`a, w -> z` without bias, and its transpose: a dense layer, or a convolution of any number of axes."""

    axes: int = 0
    """Axes that a kernel moves along; 0: dense."""
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    def apply(self, a: Tensor, w: Tensor) -> Tensor:
        """The outputs."""
        if not self.axes:
            return functional.linear(a, w)
        conv = (functional.conv1d, functional.conv2d, functional.conv3d)[self.axes - 1]
        return conv(a, w, None, self.stride, self.padding, self.dilation, self.groups)

    def back(self, s: Tensor, w: Tensor, like: Tensor) -> Tensor:
        """What each input gets of `s` at the outputs; `like` has the inputs' shape."""
        if not self.axes:
            return s @ w
        found: Tensor = torch.ops.aten.convolution_backward(
            s, like, w, None, self.stride, self.padding, self.dilation, False, [0] * self.axes, self.groups,
            [True, False, False],
        )[0]  # fmt: skip
        return found

    def spread(self, b: Tensor) -> Tensor:
        """One number an output channel, in a shape that broadcasts over the outputs."""
        return b.reshape(-1, *[1] * self.axes)


@dataclass
class Ledger:
    """What did not reach the inputs, by kind of operation: taken by biases, constants and stabilisers."""

    lost: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, before: Tensor, after: Tensor) -> None:
        """Books the difference of two sums."""
        self.lost[kind] = self.lost.get(kind, 0.0) + float(before.double().sum() - after.double().sum())


@dataclass(frozen=True)
class Layer:
    """One linear layer as it ran: what the backward pass needs beside its input."""

    rule: Rule
    bias_mode: Bias
    linear: LinearMap
    weight: Tensor
    bias: Tensor | None
    z: Tensor
    """The plain output; not part of any graph."""
    bounds: tuple[Tensor, Tensor] | None = None
    """Least and greatest value of each input, for rules of the first layer."""
    ledger: Ledger | None = None


class Ruled(torch.autograd.Function):
    """The plain output forward; the layer's rule backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, layer: Layer) -> Tensor:
        ctx.layer = layer
        ctx.save_for_backward(a)
        return layer.z.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (a,) = ctx.saved_tensors
        layer: Layer = ctx.layer
        found = backward(layer, a, gradients[0])
        if layer.ledger is not None:
            kind = "dense" if not layer.linear.axes else "convolution"
            layer.ledger.add(kind, layer.z * gradients[0], nonzero(a) * found)
        return found, None


def ruled(a: Tensor, layer: Layer) -> Tensor:
    """The layer's plain output, as a node whose gradient follows the layer's rule."""
    out: Tensor = Ruled.apply(a, layer)  # type: ignore[no-untyped-call]
    return out


def nonzero(a: Tensor) -> Tensor:
    """The values, exact zeros being `TINY`."""
    return torch.where(a == 0, TINY, a)


def away(d: Tensor, by: Tensor | float) -> Tensor:
    """The values, each moved away from 0 by so much; 0 goes up."""
    return d + torch.where(d < 0, -1.0, 1.0) * by


def scale(z: Tensor) -> Tensor:
    """Mean of |z| of each clip (of each entry along the first axis)."""
    return z.abs().mean(dim=tuple(range(1, z.ndim)), keepdim=True)


def backward(layer: Layer, a: Tensor, g: Tensor) -> Tensor:
    """`g_j` of each input from `g_k` of each output, by the layer's rule."""
    rule, linear, w, z = layer.rule, layer.linear, layer.weight, layer.z
    absorb = layer.bias_mode == "absorb"
    b = None if layer.bias is None else linear.spread(layer.bias)
    pure = z if b is None else z - b
    whole = z if absorb else pure
    if rule.kind == "epsilon":
        return _epsilon(layer, a, g, None if absorb else b)
    if rule.kind in ("flat", "w-square", "z-B"):
        return _of_inputs(layer, a, z * g, pure, None if not absorb else b)
    signed = bool((a < 0).any())
    low, high = w.clamp(max=0), w.clamp(min=0)
    up = linear.apply(a.clamp(min=0), high) + linear.apply(a.clamp(max=0), low) if signed else linear.apply(a, high)
    more_up = up if b is None or not absorb else up + b.clamp(min=0)
    least = _least(z)
    if b is not None and not absorb:
        g = _from_silent(linear, g, z, (up <= least) & (pure.abs() <= 1e-5 * b.abs() + least))
    relevance = z * g
    only_down = more_up <= least
    if rule.kind == "alpha-beta" and rule.beta == 0 and not bool((only_down & (relevance != 0)).any()):
        return _both(linear, a, rule.alpha * relevance / (more_up + least), high, low, signed)
    down = (pure - up).clamp(max=0)
    down = torch.where(-down < _NEGLIGIBLE * up, 0.0, down)
    more_down = down if b is None or not absorb else down + b.clamp(max=0)
    if rule.kind == "gamma":
        return _gamma(layer, a, relevance, whole, more_up, more_down, signed)
    only_up = more_down == 0
    alpha = torch.where(only_down, 0.0, torch.where(only_up, 1.0, rule.alpha))
    found = _both(linear, a, alpha * relevance / (more_up + least), high, low, signed)
    beta = torch.where(only_down, -1.0, torch.where(only_up, 0.0, rule.beta))
    return found - _both(linear, a, beta * relevance / (more_down - least), low, high, signed)


def _epsilon(layer: Layer, a: Tensor, g: Tensor, b: Tensor | None) -> Tensor:
    """Shares `a w`; `b`: a bias whose share is given to the inputs in proportion to `|a w|`."""
    linear, w, z, epsilon = layer.linear, layer.weight, layer.z, layer.rule.epsilon
    size = None if b is None else linear.apply(a.abs(), w.abs())
    if size is not None:
        g = _from_silent(linear, g, z, size == 0)
    s = z * g / away(z, epsilon * scale(z) + 1e-30) if epsilon else g
    found = linear.back(s, w, a)
    if b is None or size is None:
        return found
    return found + torch.where(a < 0, -1.0, 1.0) * linear.back(b * s / (size + _least(z)), w.abs(), a)


def _from_silent(linear: LinearMap, g: Tensor, z: Tensor, silent: Tensor) -> Tensor:
    """Outputs whose inputs are all 0 are nothing but bias: their relevance goes to the other outputs, as `|z|`.

    To those of the same channel; where all of these are silent, to those of all channels.
    """
    if not bool((silent & (z * g != 0)).any()):
        return g
    everywhere = tuple(range(1, z.ndim))
    for over in (everywhere[1:], everywhere) if linear.axes else (everywhere,):
        lost = torch.where(silent, z * g, 0.0).sum(over, keepdim=True)
        others = torch.where(silent, 0.0, z.abs()).sum(over, keepdim=True)
        spoken = g + z.sign() * torch.where(others > 0, lost / others.clamp(min=1e-30), 0.0)
        g = torch.where(silent, torch.where(others > 0, 0.0, g), spoken)
    return g


def _least(z: Tensor) -> Tensor:
    """Keeps a denominator off 0 without taking any relevance worth the name."""
    return 1e-9 * scale(z) + 1e-30


def _both(linear: LinearMap, a: Tensor, s: Tensor, of_positive: Tensor, of_negative: Tensor, signed: bool) -> Tensor:
    """`s` brought back by one weight to inputs above 0, by another to those below."""
    found = linear.back(s, of_positive, a)
    return torch.where(a < 0, linear.back(s, of_negative, a), found) if signed else found


def _gamma(layer: Layer, a: Tensor, relevance: Tensor, whole: Tensor, up: Tensor, down: Tensor, signed: bool) -> Tensor:
    rule, linear, w = layer.rule, layer.linear, layer.weight
    least = _least(layer.z)
    s_up = torch.where(whole >= 0, relevance / (whole + rule.gamma * up + least), 0.0)
    s_down = torch.where(whole < 0, relevance / (whole + rule.gamma * down - least), 0.0)
    high, low = w + rule.gamma * w.clamp(min=0), w + rule.gamma * w.clamp(max=0)
    found = _both(linear, a, s_up, high, low, signed)
    # Behind a ReLU no relevance comes to outputs below 0.
    return found + _both(linear, a, s_down, low, high, signed) if bool(s_down.any()) else found


def _of_inputs(layer: Layer, a: Tensor, relevance: Tensor, pure: Tensor, b: Tensor | None) -> Tensor:
    """Rules of the first layer, which give relevance where the input is 0 too."""
    linear, w = layer.linear, layer.weight
    if layer.rule.kind == "z-B" and layer.bounds is not None:
        low, high = w.clamp(max=0), w.clamp(min=0)
        least, greatest = (bound.expand_as(a).contiguous() for bound in layer.bounds)
        d = pure - linear.apply(least, high) - linear.apply(greatest, low)
        d = d if b is None else d + b.clamp(min=0)
        s = relevance / (d + _least(layer.z))
        found = (a - least) * linear.back(s, high, a) + (a - greatest) * linear.back(s, low, a)
        return found / nonzero(a)
    shares = torch.ones_like(w) if layer.rule.kind == "flat" else w.square()
    # What a padding put there is no input: its least value is its greatest.
    inside = torch.ones_like(a[:1]) if layer.bounds is None else (layer.bounds[0] != layer.bounds[1]).to(a)
    s = relevance / (linear.apply(inside, shares) + 1e-30)
    if layer.rule.kind == "flat" and linear.axes and linear.groups == 1:
        s, shares = s.sum(1, keepdim=True), shares[:1]
    return inside * linear.back(s, shares, a) / nonzero(a)
