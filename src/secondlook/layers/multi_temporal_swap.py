"""Drop-in use of multi-temporal convolutions: the 3 x 3 x 3 convolutions of any network are exchanged for them.

`srtg-mtnet-classreg-visualisation`, section 2.8 and table 5.2 (a 3D ResNet-50). A multi-temporal convolution normalises
and activates by itself. The normalisation that followed the old one stays where it was, and so does its activation: no
module is touched but the convolution, whatever the network does with it, so that names, hooks and shapes are as before.
The table's 35.7 M weights follow from no reading: 36.76 M become 36.91, and 29.48 with `split_input`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.multi_temporal import BranchOptions, MultiTemporalConv, channel_split


@dataclass(frozen=True)
class Replacement:
    """One convolution that was exchanged."""

    name: str
    """Dotted name in the network."""
    parameters_before: int
    parameters: int
    """Of the multi-temporal convolution, with its normalisations."""


def replace_convolutions(
    network: nn.Module,
    ratio: float = 7 / 8,
    *,
    names: Iterable[str] | None = None,
    **options: Unpack[BranchOptions],
) -> list[Replacement]:
    """Exchanges 3 x 3 x 3 convolutions for multi-temporal ones of the same output shape; changes the network.

    Channels, stride, padding, groups, device and type are those of the old ones. The weights are new, drawn as
    `kaiming_` draws them.

    Args:
        network: any network with `nn.Conv3d` in it.
        ratio: share of the channels out that stay local, in (0, 1].
        names: which convolutions, by dotted name; all that are 3 x 3 x 3 and not dilated when left out.
        options: see `BranchOptions`.

    Raises:
        UnknownName: if the network has no module of such a name, or for an option's name; names the nearest.
        BadValue: if a named module is no such convolution, if there is none, or a number cannot be.
    """
    channel_split(1, ratio)  # refuses what is no share before anything is changed
    modules = {name: module for name, module in network.named_modules() if name}
    if names is None:
        wanted = [name for name, module in modules.items() if _refused(module) == ""]
        if not wanted:
            raise BadValue(
                type(network).__name__, "has no 3 x 3 x 3 nn.Conv3d inside", "Name modules, or take another."
            )
    else:
        wanted = list(names)
        for name in wanted:
            if name not in modules:
                raise UnknownName("module", name, modules)
            if rule := _refused(modules[name]):
                raise BadValue(name, rule)
    made = {}
    for name in wanted:
        old = modules[name]
        assert isinstance(old, nn.Conv3d)
        made[name] = _like(old, ratio, options)
    found = []
    for name, new in made.items():
        found.append(Replacement(name, _parameters(modules[name]), _parameters(new)))
        network.set_submodule(name, new)
    return found


def _like(old: nn.Conv3d, ratio: float, options: BranchOptions) -> nn.Module:
    given = options
    if old.groups == old.in_channels == old.out_channels > 1:
        given = {**options, "depthwise": True}
    elif old.groups > 1:
        given = {**options, "groups": old.groups}
    with torch.device(old.weight.device):
        stride, padding = tuple(old.stride), old.padding
        assert isinstance(padding, tuple)
        new = MultiTemporalConv(
            old.in_channels, old.out_channels, 3, (stride[0], stride[1], stride[2]),
            (padding[0], padding[1], padding[2]), ratio=ratio, **given,
        )  # fmt: skip
    return kaiming_(new).to(old.weight.dtype).train(old.training)


def _refused(module: nn.Module) -> str:
    """Why a module cannot be exchanged; empty where it can."""
    if type(module) is not nn.Conv3d:
        return f"is no nn.Conv3d, but {type(module).__name__}"
    if module.kernel_size != (3, 3, 3) or module.dilation != (1, 1, 1):
        return f"has a kernel of {module.kernel_size} and dilation {module.dilation}, not 3 x 3 x 3 without one"
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        return "pads in another way than with so many zeros"
    return ""


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
