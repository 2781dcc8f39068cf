"""Class feature pyramids on tensors: selection, back-step, and the walk from the class down the wiring.

Shapes: J kernels of a layer, G channels of its input, C channels of an activation, t h w its grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal, get_args

import torch
from torch import Tensor

from secondlook.errors import BadValue
from secondlook.explain._pyramid_graph import CLASS, TOGETHER, Bundle, Pyramid, PyramidLayer
from secondlook.explain._pyramid_wiring import Layer, Source, Wiring

Mode = Literal["layer", "feature"]
Select = Literal["sigmoid", "minmax"]
HIGHEST = 0.731
"""`sigma(1)`, rounded down: a normalised contribution cannot get above it."""


@dataclass(frozen=True)
class Choice:
    """How much is kept.

    Raises:
        BadValue: if a value breaks its rule.
    """

    theta: float = 0.6
    depth: int = 3
    mode: Mode = "layer"
    select: Select = "sigmoid"
    top: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise BadValue(self.mode, f"mode must be one of {', '.join(get_args(Mode))}")
        if self.select not in get_args(Select):
            raise BadValue(self.select, f"select must be one of {', '.join(get_args(Select))}")
        if self.select == "sigmoid" and not 0.5 < self.theta < HIGHEST:
            rule = f"theta must lie between 0.5 and {HIGHEST}: the sigmoid of a value in [0, 1] lies there"
            raise BadValue(self.theta, rule, "The source takes 0.55 to 0.7; or give select=minmax, theta in (0, 1].")
        if self.select == "minmax" and not 0 < self.theta <= 1:
            raise BadValue(self.theta, "with select=minmax theta must lie in (0, 1]")
        if self.depth < 1:
            raise BadValue(self.depth, "depth must be at least 1")
        if self.top < 0:
            raise BadValue(self.top, "top must be at least 0", "0 keeps all that theta lets through.")

    def keeps(self, normalised: Tensor) -> Tensor:
        """Which normalised contributions are kept: `sigma(v) > theta`, or `v >= theta` for `minmax`."""
        if self.select == "minmax":
            return normalised >= self.theta
        return normalised > log(self.theta / (1 - self.theta))


@dataclass(frozen=True, eq=False)
class Start:
    """The top of the pyramid: what each channel that the class weights see contributes."""

    value_G: Tensor
    sources: Sequence[Source]
    how: str
    lost: Sequence[str] = ()


def minmax(values: Tensor) -> Tensor:
    """`(v - min) / (max - min)` along the last axis (equation 7.1); 0 where all values are alike."""
    low, high = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
    spread = high - low
    return torch.where(spread > 0, (values - low) / torch.where(spread > 0, spread, 1), 0)


def back_step(mean_G: Tensor, kernels_JG: Tensor, connected_JG: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    """One step back (equations 7.4 and 7.5): `abar x kbar_j`, normalised, and which channels it keeps.

    Feature-wise each kernel has a row of its own; layer-wise the rows' mean is the only one.

    Args:
        mean_G: pooled input activation.
        kernels_JG: pooled kernels, chosen ones only, inflated with zeros outside their group.
        connected_JG: which channels a kernel reads. The others are never kept: a contribution of exactly 0 would stand
            high among negative ones. A kernel that reads one channel alone keeps it, as there is nothing to choose.
        choice: theta and the rest.

    Returns:
        Normalised contributions and a mask, `J x G`, or `1 x G` layer-wise.
    """
    rows_JG = mean_G * kernels_JG
    if choice.mode == "layer":
        rows_JG, connected_JG = rows_JG.mean(0, keepdim=True), connected_JG.any(0, keepdim=True)
    values_JG = minmax(rows_JG)
    alone_JG = connected_JG & (connected_JG.sum(1, keepdim=True) == 1)
    values_JG = torch.where(alone_JG, 1, values_JG)
    return values_JG, (choice.keeps(values_JG) | alone_JG) & connected_JG


def levels(wiring: Wiring, sources: Sequence[Source]) -> dict[int, int]:
    """Layer number -> layers to the class on the longest way, itself included; only those that lead to it.

    Layers without places (hidden layers of a head) do not count. Shorter ways (the skip of a residual block, a branch
    with fewer convolutions) are thereby padded with one-valued layers, through which channels pass unchanged.
    """
    counts = [int(layer.places) for layer in wiring.layers]
    found = {source.layer: counts[source.layer] for source in sources}
    for layer in reversed(wiring.layers):  # whatever a layer feeds ran after it
        if layer.number in found:
            for source in layer.sources:
                found[source.layer] = max(found.get(source.layer, 0), found[layer.number] + counts[source.layer])
    return found


def build(wiring: Wiring, start: Start, label: int, choice: Choice) -> Pyramid:
    """Walks from the class down, level by level, to the depth.

    Args:
        wiring: of the forward pass of this clip.
        start: contributions to the class.
        label: class index, kept in the graph.
        choice: what is kept.
    """
    level = levels(wiring, start.sources)
    order = sorted((n for n in level if level[n] <= choice.depth), key=lambda n: (level[n], -n))
    reached: dict[int, Tensor] = {n: torch.zeros(wiring.layers[n].channels) for n in order}
    links: list[tuple[int, int, Tensor, Tensor, Tensor]] = []
    values_1G = minmax(start.value_G.float())[None].cpu()
    keep_1G = choice.keeps(values_1G)
    below = [source for source in start.sources if source.layer in reached]
    _descend(-1, torch.zeros(1, dtype=torch.long), values_1G, keep_1G, below, reached, links)
    layers: list[PyramidLayer] = []
    for n in order:
        layer, strength_C = wiring.layers[n], reached[n]
        if choice.top:
            lowest = strength_C.argsort(descending=True, stable=True)[choice.top :]
            strength_C[lowest] = 0
        chosen_J = strength_C.nonzero()[:, 0]
        if not len(chosen_J):
            continue
        end = "; ".join(layer.lost)
        sources = [source for source in layer.sources if source.layer in reached]
        if len(sources) < len(layer.sources):
            end = "; ".join([f"depth {choice.depth} is reached", *layer.lost])
        if sources:
            on = chosen_J.to(layer.weight.device)
            kernels_JG, connected_JG = layer.kernels_JG()[on], layer.connected_JG()[on]
            values, keep = (v.cpu() for v in back_step(layer.mean_G, kernels_JG, connected_JG, choice))
            parents_J = chosen_J if choice.mode == "feature" else torch.tensor([TOGETHER])
            _descend(n, parents_J, values, keep, sources, reached, links)
            end = end if bool(keep.any()) else "every channel of its input contributes alike"
        kind = "linear" if layer.linear else "convolution"
        strengths = tuple(round(float(s), 4) for s in strength_C[chosen_J])
        shape = grid(layer)
        layers.append(
            PyramidLayer(layer.name, level[n], kind, layer.channels, shape, tuple(chosen_J.tolist()), strengths, end)
        )
    kept = {n: reached[n] > 0 for n in order}
    bundles = [b for link in links if (b := _bundle(wiring, level, kept, link))]
    how = (label, choice.theta, choice.select, choice.mode, choice.depth, choice.top, start.how)
    return Pyramid(*how, layers=tuple(layers), bundles=tuple(bundles), end="; ".join(start.lost))


def _descend(
    parent: int,
    parents_J: Tensor,
    values_JG: Tensor,
    keep_JG: Tensor,
    sources: Sequence[Source],
    reached: dict[int, Tensor],
    links: list[tuple[int, int, Tensor, Tensor, Tensor]],
) -> None:
    row, channel = keep_JG.nonzero(as_tuple=True)
    for source in sources:
        kernel = source.channel_G.cpu()[channel]
        made = kernel >= 0
        strengths = values_JG[row[made], channel[made]]
        reached[source.layer].scatter_reduce_(0, kernel[made], strengths, "amax")
        links.append((parent, source.layer, parents_J[row[made]], kernel[made], strengths))


def _bundle(
    wiring: Wiring, level: dict[int, int], kept: dict[int, Tensor], link: tuple[int, int, Tensor, Tensor, Tensor]
) -> Bundle | None:
    parent, child, parents, children, strengths = link
    stays = kept[child][children]
    if not bool(stays.any()):
        return None
    above = level[parent] if parent >= 0 else 0
    return Bundle(
        wiring.layers[parent].name if parent >= 0 else CLASS,
        wiring.layers[child].name,
        level[child] - above - int(wiring.layers[child].places),
        tuple(parents[stays].tolist()),
        tuple(children[stays].tolist()),
        tuple(round(s, 4) for s in strengths[stays].tolist()),
    )


def grid(layer: Layer) -> tuple[int, int, int] | None:
    """t, h, w of what a layer gives out; None where it has no places."""
    a_Cthw = activation(layer)
    if a_Cthw is None:
        return None
    t, h, w = a_Cthw.shape[1:]
    return t, h, w


def activation(layer: Layer) -> Tensor | None:
    """What a layer gives out, as `a_Cthw` of the one clip; None where it has no places.

    Time that lies in the batch is unfolded. Places that lie in the batch of a 1D convolution are averaged.
    """
    a, axes = layer.activation, layer.weight.ndim - 2
    if a is None or axes < 1 or a.ndim != axes + 2 or not layer.places:
        return None
    if axes == 1:
        return a.mean(0)[:, :, None, None]
    return a.transpose(0, 1) if axes == 2 else a.mean(0)


def tube(a_Cthw: Tensor, kernels: Sequence[int]) -> Tensor:
    """Saliency tube of chosen kernels on their own grid: `sum_j minmax(a_j)^2` (section 7.4, without class weights)."""
    chosen_Jthw = a_Cthw.detach().float()[list(kernels)]
    return minmax(chosen_Jthw.flatten(1)).reshape(chosen_Jthw.shape).square().sum(0)
