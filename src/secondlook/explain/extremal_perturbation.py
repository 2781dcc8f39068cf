"""Extremal perturbation: the part of the clip, of a fixed size, that on its own keeps the class best.

    m_a = argmax over smooth m in [0, 1]^THW of  s(m) - weight * mean ( sort(m) - r_a )^2

where `s(m)` is the class score of the clip blurred where `m` is 0, and `r_a` holds `1 - a` zeros and then ones: sorted,
a mask of area `a` that is hard looks exactly so (Fong, Patrick, Vedaldi 2019, "Understanding Deep Networks via Extremal
Perturbations and Smooth Masks", sections 3.1 and 3.2, for images; Li et al. 2021, "Towards Visually Explaining Video
Understanding Networks with Perturbation", take it to time). `m` is smooth by construction: a coarse mask under a smooth
maximum-convolution (`smooth_maximum`). With several areas the heat is the mean of their masks.

Departs from the paper: `s` is the logit in units of what the clip adds to that of its blur (`_mask_search.share`), so
that one weight serves every network; the kernel is a product over axes instead of radial, so that it can be applied
axis by axis; Adam takes few steps, as many clips are to be explained, and the best mask met on the way is kept. Reached
areas are in the notes: with few steps they lie near the wanted ones.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _blocks
from secondlook.explain._captum import asked
from secondlook.explain._mask_search import Clips, search, share
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip

Mode = Literal["preserve", "delete", "both"]


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    areas: str = "0.1",
    mode: str = "preserve",
    steps: int = 10,
    cells: str = "4x7x7",
    fill: str = "blur",
    weight: float = 8.0,
) -> HeatMap:
    """Extremal perturbation of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        areas: shares of the clip, in (0, 1), with commas between.
        mode: `preserve` (the mask keeps the class), `delete` (the class goes with it) or `both`.
        steps: of the search (the authors take 800).
        cells: grid of the coarse mask in time, rows and columns; never more than there are places.
        fill: what stands in for deleted places: `blur`, `mean` or `black`, see `_blocks.fill`.
        weight: of the area constraint at the end of the search; it starts at a tenth.

    Returns:
        Heat (mask, >= 0) on the network's input grid, in the source video's frames. Notes: the options; `area` reached,
        `score_kept` (logit with the mask kept), `score_deleted` (with it deleted), one number an area each;
        `score_whole`, `score_empty` (logits of the clip and of what stands in for it); those of the prediction.

    Raises:
        BadValue: if an option is out of range, or the label is not a class of the network.
    """
    counts = _blocks.blocks_of(cells)
    wanted = areas_of(areas)
    if mode not in get_args(Mode):
        raise BadValue(mode, f"mode must be one of {', '.join(get_args(Mode))}")
    with asked(model, clip, label) as question:
        x_BCTHW = question.x_BCTHW
        shape = frames, height, width = x_BCTHW.shape[2:]
        clips = Clips(model, x_BCTHW, _blocks.fill(x_BCTHW, card.clip, fill), label)
        empty, whole = clips.ends()
        area_M = x_BCTHW.new_tensor(wanted)

        def loss(coarse_Mthw: Tensor, progress: float) -> tuple[Tensor, Tensor]:
            mask_MTHW = smooth_maximum(coarse_Mthw, shape)
            reward_M = torch.zeros_like(area_M)
            if mode in ("preserve", "both"):
                reward_M = reward_M + share(clips.logit(mask_MTHW), empty, whole)
            if mode in ("delete", "both"):
                reward_M = reward_M - share(clips.logit(1 - mask_MTHW), empty, whole)
            off_M = area_constraint(mask_MTHW, area_M)
            return weight * 10 ** (progress - 1) * off_M - reward_M, weight * off_M - reward_M

        start = x_BCTHW.new_full((len(wanted), *_blocks.grid_shape(frames, height, width, counts)), 0.5)
        coarse_Mthw = search(start, loss, steps)
        with torch.no_grad():
            mask_MTHW = smooth_maximum(coarse_Mthw, shape)
            kept_M, deleted_M = clips.logit(mask_MTHW), clips.logit(1 - mask_MTHW)
    notes: dict[str, Any] = {
        "areas": wanted,
        "mode": mode,
        "steps": steps,
        "cells": cells,
        "fill": fill,
        "weight": weight,
    }
    notes |= {"area": mask_MTHW.mean(dim=(1, 2, 3)).tolist(), "score_whole": whole, "score_empty": empty}
    notes |= {"score_kept": kept_M.tolist(), "score_deleted": deleted_M.tolist(), **question.notes()}
    heat_THW = mask_MTHW.mean(dim=0).float().cpu().numpy()
    return heat_map(heat_THW, clip, method="extremal_perturbation", label=label, **notes)


def area_constraint(mask_MTHW: Tensor, area_M: Tensor) -> Tensor:
    """`mean (sort(m) - r_a)^2`, 0 for a hard mask of area `a`, one number a mask (equation 3)."""
    sorted_MN = mask_MTHW.flatten(1).sort(dim=1).values
    count = sorted_MN.shape[1]
    ones_M1 = (area_M * count).round()[:, None]
    reference_MN = torch.arange(count, device=mask_MTHW.device)[None] >= count - ones_M1
    return (sorted_MN - reference_MN.to(sorted_MN.dtype)).square().mean(dim=1)


def smooth_maximum(coarse_Mthw: Tensor, shape: tuple[int, ...], width: float = 0.7, sharpness: float = 20.0) -> Tensor:
    """The smooth maximum-convolution of a coarse mask, axis by axis: `m(u) = smax over cells i of  k(u - i) m(i)`.

    `smax z = sum z e^(s z) / sum e^(s z)` with sharpness `s`, and `k(d) = exp(-2 max(|d| / width - 1/2, 0)^2)`: a flat
    top, then a Gaussian. A coarse mask of 0 gives 0, one of 1 nearly 1 everywhere; an edge takes about one cell.

    Args:
        coarse_Mthw: values in [0, 1].
        shape: T, H, W.
        width: of the kernel, in cells.
        sharpness: large: the maximum; small: the mean.

    Returns:
        `mask_MTHW`.
    """
    for axis, length in zip((1, 2, 3), shape, strict=True):
        cells = coarse_Mthw.shape[axis]
        places = (torch.arange(length, dtype=torch.float64, device=coarse_Mthw.device) + 0.5) * cells / length
        away = (places[:, None] - torch.arange(cells, device=coarse_Mthw.device) - 0.5).abs() / width
        kernel = torch.exp(-2 * (away - 0.5).clamp(min=0) ** 2).to(coarse_Mthw.dtype)
        near = coarse_Mthw.movedim(axis, -1)[..., None, :] * kernel
        coarse_Mthw = (near * (sharpness * near).softmax(dim=-1)).sum(dim=-1).movedim(-1, axis)
    return coarse_Mthw


def areas_of(text: str) -> list[float]:
    """Shares of a clip from an option such as `0.05,0.1,0.2`.

    Raises:
        BadValue: if it is not numbers in (0, 1) with commas between.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < area < 1 for area in found):
        raise BadValue(text, "areas are numbers above 0 and below 1, with commas between", "For example 0.05,0.1,0.2.")
    return found
