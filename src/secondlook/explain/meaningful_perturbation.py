"""Meaningful perturbation: the smallest smooth part of the clip whose blurring takes the class away.

    m = argmin over m in [0, 1]^THW of  s(keep) + area_weight mean(m) + smooth_weight mean |m_i - m_j|^3,  keep = 1 - m

where `m` is 1 at deleted places, neighbours `i, j` lie side by side in time, rows or columns, and `s` is the class
score of the clip with the deleted places blurred (Fong and Vedaldi 2017, "Interpretable Explanations of Black Boxes by
Meaningful Perturbation", sections 4.1 to 4.3, equation 4, for images; here the mask spans time too). The heat is `m`.

Departs from the paper: `s` is the logit in units of what the clip adds to that of its blur (`_mask_search.share`)
instead of the probability, and penalties are means instead of sums, so that one setting serves every network and clip
size; the coarse mask is stretched linearly; no jitter; Adam starts from a half-deleted clip and takes few steps, as
many clips are to be explained, and the best mask met on the way is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _blocks
from secondlook.explain._captum import asked
from secondlook.explain._mask_search import Clips, search, share, stretch
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    steps: int = 10,
    cells: str = "4x7x7",
    fill: str = "blur",
    area_weight: float = 1.0,
    smooth_weight: float = 0.2,
) -> HeatMap:
    """Meaningful perturbation of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        steps: of the search (the authors take hundreds).
        cells: grid of the mask in time, rows and columns; never more than there are places.
        fill: what stands in for deleted places: `blur`, `mean` or `black`, see `_blocks.fill`.
        area_weight: how much a deleted clip costs, in units of the score.
        smooth_weight: how much differences between neighbouring cells cost.

    Returns:
        Heat (`m`, >= 0) on the grid of cells, in the source video's frames. Notes: the options; `area` (mean of `m`),
        `score_whole`, `score_empty` (logits of the clip and of what stands in for it), `score_deleted` (with `m`
        deleted), `score_kept` (with all but `m` deleted); those of the prediction.

    Raises:
        BadValue: if an option is out of range, or the label is not a class of the network.
    """
    counts = _blocks.blocks_of(cells)
    if area_weight < 0 or smooth_weight < 0:
        raise BadValue((area_weight, smooth_weight), "weights of penalties must be at least 0")
    with asked(model, clip, label) as question:
        x_BCTHW = question.x_BCTHW
        shape = frames, height, width = x_BCTHW.shape[2:]
        clips = Clips(model, x_BCTHW, _blocks.fill(x_BCTHW, card.clip, fill), label)
        empty, whole = clips.ends()

        def loss(mask_Mthw: Tensor, _progress: float) -> tuple[Tensor, Tensor]:
            score_M = share(clips.logit(1 - stretch(mask_Mthw, shape)), empty, whole)
            area_M = mask_Mthw.mean(dim=(1, 2, 3))
            total_M = score_M + area_weight * area_M + smooth_weight * roughness(mask_Mthw)
            return total_M, total_M

        start = x_BCTHW.new_full((1, *_blocks.grid_shape(frames, height, width, counts)), 0.5)
        mask_Mthw = search(start, loss, steps)
        with torch.no_grad():
            deleted_MTHW = stretch(mask_Mthw, shape)
            kept, deleted = clips.logit(torch.cat([deleted_MTHW, 1 - deleted_MTHW])).tolist()
    notes: dict[str, Any] = {
        "steps": steps,
        "cells": cells,
        "fill": fill,
        "area_weight": area_weight,
        "smooth_weight": smooth_weight,
    }
    notes |= {"area": float(deleted_MTHW.mean()), "score_whole": whole, "score_empty": empty}
    notes |= {"score_kept": kept, "score_deleted": deleted, **question.notes()}
    return heat_map(mask_Mthw[0].cpu().numpy(), clip, method="meaningful_perturbation", label=label, **notes)


def roughness(mask_Mthw: Tensor, power: float = 3.0) -> Tensor:
    """`mean |m_i - m_j|^power` over cells side by side in time, rows or columns, one number a mask."""
    sides = [mask_Mthw.diff(dim=axis).abs().pow(power).flatten(1) for axis in (1, 2, 3)]
    steps = torch.cat(sides, dim=1)
    return steps.mean(dim=1) if steps.shape[1] else mask_Mthw.new_zeros(len(mask_Mthw))
