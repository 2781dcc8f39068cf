"""A mask over a clip is searched by gradient descent; the best one met on the way is kept.

Shapes: M masks (each is searched for on its own; clips in a batch do not mix), t, h, w the coarse grid of a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.explain._blocks import replace
from secondlook.explain._hooks import logits_of

Loss = Callable[[Tensor, float], tuple[Tensor, Tensor]]
"""Masks, and how far the search has come (0 to 1) -> what to descend, and what to rank by, one number a mask each."""


@dataclass(frozen=True)
class Clips:
    """A clip, what stands in for its deleted places, and the class that is asked for."""

    model: nn.Module
    x_BCTHW: Tensor
    filler_BCTHW: Tensor
    label: int

    def logit(self, keep_MTHW: Tensor) -> Tensor:
        """`y_c` of the clip where `keep` is 1 and of the filler where it is 0, one number a mask."""
        clips = replace(self.x_BCTHW, self.filler_BCTHW, keep_MTHW)
        return logits_of(self.model, clips)[:, self.label]

    def ends(self) -> tuple[float, float]:
        """`y_c` of the filler alone and of the clip alone."""
        with torch.no_grad():
            both_M = self.logit(self.x_BCTHW.new_tensor([0.0, 1.0])[:, None, None, None])
        return float(both_M[0]), float(both_M[1])


def share(logit_M: Tensor, nothing: float, whole: float) -> Tensor:
    """`(y - nothing) / |whole - nothing|`: the class score in units of what the clip adds to (or takes from) it.

    So weights of penalties mean the same for every network, whatever the spread of its logits.
    """
    return (logit_M - nothing) / max(abs(whole - nothing), 1e-6)


def search(start: Tensor, loss: Loss, steps: int, rate: float = 0.15) -> Tensor:
    """The best of `steps + 1` masks on a descent by Adam (Kingma and Ba 2015), values kept in [0, 1].

    Args:
        start: masks to start from; the first dimension is M.
        loss: see `Loss`.
        steps: how often the masks are changed.
        rate: how far a value moves in a step, about.

    Returns:
        Masks, shaped as `start`; per mask the one with the lowest rank, the first of equals.

    Raises:
        BadValue: if there is not at least one step.
    """
    if steps < 1:
        raise BadValue(steps, "a mask needs at least one step")
    mask = start.detach().clone()
    best, lowest_M = mask.clone(), torch.full((len(mask),), float("inf"), device=mask.device)
    mean, square = torch.zeros_like(mask), torch.zeros_like(mask)
    for step in range(steps + 1):
        mask.requires_grad_()
        descend_M, rank_M = loss(mask, step / steps)
        with torch.no_grad():
            better_M = rank_M < lowest_M
            lowest_M = torch.where(better_M, rank_M.to(lowest_M.dtype), lowest_M)
            best[better_M] = mask[better_M]
        if step == steps:
            break
        slope = torch.autograd.grad(descend_M.sum(), [mask])[0]
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        centred = (square / (1 - 0.99 ** (step + 1))).sqrt() + 1e-12
        mask = (mask.detach() - rate * mean / (1 - 0.9 ** (step + 1)) / centred).clamp(0, 1)
    return best


def stretch(mask_Mthw: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A coarse mask on a finer grid, linear along each axis; every cell is an equal part of the clip."""
    for axis, length in zip((1, 2, 3), shape, strict=True):
        cells = mask_Mthw.shape[axis]
        each = torch.eye(cells, dtype=mask_Mthw.dtype, device=mask_Mthw.device)[None]
        matrix = functional.interpolate(each, size=length, mode="linear", align_corners=False)[0]
        mask_Mthw = (mask_Mthw.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return mask_Mthw
