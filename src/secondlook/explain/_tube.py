"""The tube of a class: channels of a map, weighted, brought to [0, 1], enlarged by cubic splines, squared, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from secondlook.explain._spline import resize

Order = Literal["spline_then_square", "square_then_spline"]
Size = tuple[int, int, int]
_BAND, _AT_ONCE = 1 << 16, 1 << 19
"""Numbers of the tube, and of enlarged channels, in work at once: so few that they stay near the processor, and that
memory does not grow with channels."""
_EQUAL = 1e-12
"""A map whose values span less, relative to its largest, is constant."""


@dataclass(frozen=True)
class Kept:
    """What the threshold left of a map."""

    channel_N: Tensor
    """Index of each channel that is kept."""
    shown_Nthw: Tensor
    """Its map times the class weight, min-max normalised; 0 where it is constant."""


def keep(map_Cthw: Tensor, weight_C: Tensor, threshold: float = 0.0) -> Kept:
    """`f_j = y_j a_j` of each channel whose largest value is not below the threshold, brought to [0, 1].

    Args:
        map_Cthw: activations of one clip.
        weight_C: weights of one class.
        threshold: tau; `-inf` keeps every channel.
    """
    weighted_Cthw = map_Cthw * weight_C[:, None, None, None]
    channel_N = (weighted_Cthw.amax(dim=(1, 2, 3)) >= threshold).nonzero()[:, 0]
    return Kept(channel_N, min_max(weighted_Cthw[channel_N]))


def min_max(values_Nthw: Tensor) -> Tensor:
    """Each grid at [0, 1]; a constant one becomes 0."""
    low_N = values_Nthw.amin(dim=(1, 2, 3), keepdim=True)
    high_N = values_Nthw.amax(dim=(1, 2, 3), keepdim=True)
    differs = high_N - low_N > _EQUAL * torch.maximum(low_N.abs(), high_N.abs())
    return torch.where(differs, (values_Nthw - low_N) / torch.where(differs, high_N - low_N, 1.0), 0.0)


def tube(shown_Nthw: Tensor, size_THW: Size, order: Order = "spline_then_square") -> Tensor:
    """`sum over j of z_j^2` at another size, `T x H x W`, not normalised; see `saliency_tubes`.

    Args:
        shown_Nthw: channels at [0, 1].
        size_THW: of the tube.
        order: what comes first. Enlarging first costs a channel's tube each; squaring first only one.
    """
    time, height, width = size_THW
    if order == "square_then_spline":
        return resize((shown_Nthw**2).sum(dim=0, keepdim=True), size_THW)[0].clamp(min=0)
    different = 1 if shown_Nthw.shape[1] == 1 else time
    rows = max(1, _BAND // (different * width))
    at_once = max(1, _AT_ONCE // (different * width * min(rows, height)))
    bands = []
    for first in range(0, height, rows):
        band = range(first, min(first + rows, height))
        sum_TbW = shown_Nthw.new_zeros(different, len(band), width)
        for chunk_Nthw in torch.split(shown_Nthw, at_once):
            for channel_TbW in resize(chunk_Nthw, (different, height, width), band).relu_():
                sum_TbW.addcmul_(channel_TbW, channel_TbW)
        bands.append(sum_TbW)
    return torch.cat(bands, dim=1).expand(size_THW)


def enlarged(shown_Nthw: Tensor, size_THW: Size) -> Tensor:
    """Each grid enlarged by cubic splines; where a spline undershoots, 0."""
    return resize(shown_Nthw, size_THW).clamp(min=0)
