"""Finds which convolution feeds which, channel by channel, in one forward pass of any network.

A linear layer counts as a convolution of width 1 or, behind a flattened grid, as one as wide as that grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.explain._channel_trails import Following, Route, Trail
from secondlook.explain._hooks import evaluating

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
INPUT = "the network's input"


@dataclass(frozen=True, eq=False)
class Source:
    """Channels of a layer's input that an earlier layer made."""

    layer: int
    channel_G: Tensor
    """For each input channel the earlier layer's output channel, -1 where it made none."""


@dataclass(eq=False)
class Layer:
    """One convolution or linear layer as it ran."""

    number: int
    """Order in which it ran."""
    name: str
    """Dotted name of its module; a further run gets its number behind it."""
    weight: Tensor
    groups: int
    sources: tuple[Source, ...]
    lost: tuple[str, ...]
    """Why some of its input cannot be followed further."""
    places: bool
    """Whether it convolves over places; not so for linear layers and behind a global pooling."""
    mean_G: Tensor
    """Pooled input activation, one number a channel (`abar[l-1]`)."""
    group_F: Tensor | None = None
    """Linear behind a flattened grid: channel of each input feature."""
    activation: Tensor | None = None
    """What it gives out, behind norm, residual sum and activation where they keep its channels: `a[l]`."""
    consumed: bool = False

    @property
    def linear(self) -> bool:
        """Whether it is a linear layer."""
        return self.weight.ndim == 2

    @property
    def channels(self) -> int:
        """Its kernels: channels it gives out."""
        return len(self.weight)

    def kernels_JG(self) -> Tensor:
        """Pooled kernels `kbar[l]`, mean over the kernel's places; 0 for channels outside a kernel's group."""
        kernel_JC = self.weight.detach().float().flatten(2).mean(2) if self.weight.ndim > 2 else self.weight.float()
        if self.group_F is not None:
            return pooled(kernel_JC, self.group_F, len(self.mean_G))
        if self.groups == 1:
            return kernel_JC
        outputs, inside = kernel_JC.shape
        inflated_JC = kernel_JC.new_zeros(outputs, inside * self.groups)
        start_J = torch.arange(outputs, device=kernel_JC.device) // (outputs // self.groups) * inside
        columns_JC = start_J[:, None] + torch.arange(inside, device=kernel_JC.device)
        return inflated_JC.scatter_(1, columns_JC, kernel_JC)

    def connected_JG(self) -> Tensor:
        """Which input channels each kernel reads at all."""
        inputs = len(self.mean_G)
        if self.groups == 1:
            return torch.ones(self.channels, inputs, dtype=torch.bool, device=self.weight.device)
        group_J = torch.arange(self.channels, device=self.weight.device) // (self.channels // self.groups)
        group_G = torch.arange(inputs, device=self.weight.device) // (inputs // self.groups)
        return group_J[:, None] == group_G


@dataclass(eq=False)
class Wiring:
    """Every convolution and linear layer of one forward pass."""

    layers: list[Layer] = field(default_factory=list)
    stages: dict[str, tuple[Tensor, Trail]] = field(default_factory=dict)
    """Outputs of the modules that were named, with their trails."""

    def last(self, module: str) -> Layer | None:
        """The last run of a module."""
        found = [r for r in self.layers if r.name == module or r.name.startswith(f"{module} (")]
        return found[-1] if found else None


@contextmanager
def following(model: nn.Module, x_BCTHW: Tensor, stages: Sequence[str] = ()) -> Iterator[Wiring]:
    """Evaluation mode; what runs inside is wired. Hooks are removed on every path.

    Args:
        model: any network.
        x_BCTHW: the input that it will get.
        stages: modules whose outputs are kept with their trails.
    """
    wiring = Wiring()
    modules = dict(model.named_modules())

    def watcher(tensor: Tensor, trail: Trail) -> None:
        for route in trail.routes:
            layer = wiring.layers[route.layer]
            own = layer.activation
            if not layer.consumed and own is not None and tensor.shape == own.shape and _whole(route, layer, own):
                layer.activation = tensor

    mode = Following(watcher)
    mode.trails[x_BCTHW] = Trail((), frozenset({INPUT}))

    def ran(name: str, convolution: bool) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            axis = inputs[0].ndim - 1 - (module.weight.ndim - 2 if convolution else 0)
            layer = _layer(name, module, inputs[0], mode.trail(inputs[0]) or Trail(), axis, wiring)
            layer.activation = output
            shape = [1] * output.ndim
            shape[axis] = output.shape[axis]
            index = torch.arange(output.shape[axis], device=output.device).reshape(shape)
            mode.trails[output] = Trail((Route(layer.number, index),))
            for source in layer.sources:
                wiring.layers[source.layer].consumed = True
            wiring.layers.append(layer)

        return hook

    def stage(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: object) -> None:
            if isinstance(output, Tensor) and (trail := mode.trail(output)) is not None:
                wiring.stages[name] = (output, trail)

        return hook

    with evaluating(model), torch.no_grad(), ExitStack() as undo:
        for name, module in modules.items():
            if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                undo.callback(module.register_forward_hook(ran(name, not isinstance(module, nn.Linear))).remove)
        for name in (n for n in stages if n in modules):
            undo.callback(modules[name].register_forward_hook(stage(name)).remove)
        undo.enter_context(mode)
        yield wiring


def _layer(name: str, module: Any, x: Tensor, trail: Trail, axis: int, wiring: Wiring) -> Layer:
    sources = sources_of(trail, axis, x.shape[axis])
    mean_C = x.float().movedim(axis, 0).flatten(1).mean(1) if x.ndim > 1 else x.float()
    group_F = None
    if isinstance(module, nn.Linear) and sources:
        made_FS = torch.stack([source.channel_G for source in sources], 1)
        different_GS, group = torch.unique(made_FS, dim=0, return_inverse=True)
        if len(different_GS) < len(mean_C):
            sources = tuple(Source(s.layer, different_GS[:, n]) for n, s in enumerate(sources))
            mean_C, group_F = pooled(mean_C[None], group, len(different_GS))[0], group
    again = sum(r.name == name or r.name.startswith(f"{name} (") for r in wiring.layers)
    return Layer(
        number=len(wiring.layers),
        name=f"{name} ({again + 1})" if again else name,
        weight=module.weight.detach(),
        groups=getattr(module, "groups", 1),
        sources=sources,
        lost=tuple(sorted(trail.lost)),
        places=module.weight.ndim > 2 and x.numel() > x.shape[axis],
        mean_G=mean_C,
        group_F=group_F,
    )


def _columns(route: Route, axis: int, channels: int) -> list[Tensor]:
    """The layer's channel for each channel of the tensor; several where it differs from place to place."""
    index_CR = route.index.movedim(axis, 0).flatten(1)
    index_CR = torch.unique(index_CR, dim=1) if index_CR.shape[1] > 1 else index_CR
    return [c.expand(channels) for c in index_CR.unbind(1) if bool((c >= 0).any())]


def sources_of(trail: Trail, axis: int, channels: int) -> tuple[Source, ...]:
    """Which layers made the channels of a tensor, the channels lying along `axis`."""
    return tuple(Source(r.layer, column_C) for r in trail.routes for column_C in _columns(r, axis, channels))


def _whole(route: Route, layer: Layer, own: Tensor) -> bool:
    """Whether every kernel of the layer still stands where it stood."""
    index = route.index
    return index.numel() == layer.channels and bool((index.flatten()[1:] - index.flatten()[:-1] == 1).all())


def pooled(values_NF: Tensor, group_F: Tensor, groups: int) -> Tensor:
    """Means over the features of each group, `N x groups`."""
    sums_NG = values_NF.new_zeros(len(values_NF), groups).index_add_(1, group_F, values_NF)
    return sums_NG / torch.bincount(group_F, minlength=groups).to(values_NF)
