"""Halving pool: a clip at half its length, height and width, by pooling in all three or by pooling and picking frames.

Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, table 5.8;
`srtg-mtnet-classreg-visualisation`, section 2.7. `avg`, `max`, `stochastic` and `softpool` pool 2 x 2 x 2 places.
`avg_cos` and `softpool_cos` pool each frame alone, 2 x 2, and keep the half of the frames that triplet cosines select.
Every mode gives `max(1, floor(T/2))` frames (an odd last one is left out of a pool) and `ceil(H/2) x ceil(W/2)` places;
a side of 1 stays.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue, UnknownName
from secondlook.layers._windows import Windows, precise
from secondlook.layers.frame_selection import FrameSelection, take_frames
from secondlook.layers.softpool import soft_pool

POOLINGS = ("avg", "max", "stochastic", "softpool", "avg_cos", "softpool_cos")
ODD = ("ceil", "replicate")
"""Odd height or width: the last window has one place a side, or its place twice."""
Odd = Literal["ceil", "replicate"]


class HalvingPool(nn.Module):
    """`x_BCTHW -> BCTHW` at half its sides.

    Args:
        pooling: a name in `POOLINGS`.
        odd: a name in `ODD`.
        ends: of the frame selection, in the modes that have one.
        keep: likewise.

    Raises:
        UnknownName: for another name; names the nearest.
    """

    def __init__(
        self, pooling: str = "softpool_cos", odd: str = "ceil", ends: str = "replicate", keep: str = "lowest"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise UnknownName("pooling", pooling, POOLINGS)
        if odd not in ODD:
            raise UnknownName("way with odd sides", odd, ODD)
        self.pooling, self.odd = pooling, odd
        selection = FrameSelection(ends, keep)
        self.selection = selection if pooling.endswith("_cos") else None

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The halved clip; frames are selected by its own scores."""
        pooled = self.pooled(x_BCTHW)
        return pooled if self.selection is None else take_frames(pooled, self.selection(pooled))

    def pooled(self, x_BCTHW: Tensor) -> Tensor:
        """The clip before frames are selected."""
        name = self.pooling.removesuffix("_cos")
        frames, height, width = x_BCTHW.shape[2:]
        if self.selection is None and frames > 1:
            x_BCTHW = x_BCTHW[:, :, : frames // 2 * 2]
        kernel = (1 if self.selection is not None else min(2, frames), min(2, height), min(2, width))
        if self.odd == "replicate":
            right, low = (width % 2 if width > 1 else 0), (height % 2 if height > 1 else 0)
            if right or low:
                x_BCTHW = functional.pad(x_BCTHW, (0, right, 0, low, 0, 0), mode="replicate")
        if name == "avg":
            x = x_BCTHW.to(precise(x_BCTHW))  # in half precision a CPU has no such pool
            return functional.avg_pool3d(x, kernel, kernel, ceil_mode=True, count_include_pad=False).to(x_BCTHW.dtype)
        if name == "max":
            return functional.max_pool3d(x_BCTHW, kernel, kernel, ceil_mode=True)
        if name == "stochastic":
            return stochastic_pool(x_BCTHW, kernel, sample=self.training)
        return soft_pool(x_BCTHW, kernel, dimensions=3, ceil_mode=True)

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        raise BadValue("torch.jit.script", "cannot compile a halving pool", "Use torch.export.")

    def extra_repr(self) -> str:
        """The two switches that are no module."""
        return f"pooling={self.pooling}, odd={self.odd}"


def stochastic_pool(
    x: Tensor, kernel: tuple[int, ...], *, sample: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Each window gives one of its values, drawn with `p_i = a_i / sum a`; or `sum p_i a_i`, the expectation.

    Zeiler, Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks", ICLR 2013, for values
    that are not negative; a negative one is never drawn, unless its window has no positive one and all are as likely.

    Args:
        x: values with any axes before those that are pooled.
        kernel: size and distance of the windows; the last may stick out.
        sample: draw; else the expectation.
        generator: torch's own when left out, as dropout draws.
    """
    windows = Windows(kernel, kernel, (0,) * len(kernel), ceil=True)
    sizes = x.shape[-len(kernel) :]
    counts = windows.counts(sizes)
    values_N = torch.stack(list(windows.places(windows.padded(x, 0.0), counts)))
    there = windows.padded(torch.ones(sizes, dtype=precise(x), device=x.device), 0.0)
    there_N = torch.stack(list(windows.places(there, counts)))
    there_N = there_N.reshape(-1, *(1,) * (x.ndim - len(kernel)), *counts).expand(values_N.shape)
    weight_N = values_N.to(precise(x)).relu()
    total = weight_N.sum(0)
    weight_N = torch.where(total > 0, weight_N, there_N)
    total = weight_N.sum(0)
    if not sample:
        return ((weight_N * values_N).sum(0) / total).to(x.dtype)
    drawn = torch.rand(total.shape, generator=generator, device=x.device, dtype=total.dtype) * total.detach()
    place = (weight_N.detach().cumsum(0) > drawn).int().argmax(0, keepdim=True)
    return values_N.gather(0, place)[0]
