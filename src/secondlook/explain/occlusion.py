"""Occlusion: how much the class score drops when a block of space and time is covered.

    heat(block) = y_c(x) - y_c(x with the block covered)

signed: below 0 where covering helps the class (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional
Networks", section 4.2: a grey square moved over the image, probability of the class; here a box in time, rows and
columns, and by default the logit, which does not saturate). Nothing but predictions is asked of the network.

The clip is cut into `blocks` equal boxes. With `overlap=2` boxes of that size move on by half their size, and each
place gets the mean drop over the boxes that covered it. Captum's `Occlusion` does the same for windows that fit the
clip a whole number of times; otherwise it cuts the last window of an axis short, so that its drop cannot be compared.
Hence the loop here, over boxes whose sizes differ by one place at most.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _blocks
from secondlook.explain._captum import asked
from secondlook.explain._hooks import logits_of
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip

Score = Literal["logit", "probability"]


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    blocks: str = "4x4x4",
    overlap: int = 1,
    fill: str = "mean",
    score: str = "logit",
    at_once: int = 16,
) -> HeatMap:
    """Occlusion of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        blocks: boxes in time, rows and columns; never more than there are places.
        overlap: 1: boxes side by side; n: each moves on by an n-th of its size (about n cubed times the work).
        fill: what covers a box: `mean` (colour), `blur` or `black`, see `_blocks.fill`.
        score: `logit` or `probability`.
        at_once: covered clips in one pass.

    Returns:
        Heat on the grid of blocks, in the source video's frames. Notes: the options, those of the prediction.

    Raises:
        BadValue: if an option is out of range, or the label is not a class of the network.
    """
    counts = _blocks.blocks_of(blocks)
    if overlap < 1 or at_once < 1:
        raise BadValue((overlap, at_once), "overlap and at_once must be at least 1")
    if score not in get_args(Score):
        raise BadValue(score, f"score must be one of {', '.join(get_args(Score))}")
    with asked(model, clip, label) as question, torch.no_grad():
        x_BCTHW = question.x_BCTHW
        windows_Nthw, cell_THW = windows(tuple(x_BCTHW.shape[2:]), counts, overlap)
        filler_BCTHW = _blocks.fill(x_BCTHW, card.clip, fill)
        covered_NTHW = windows_Nthw.flatten(1)[:, cell_THW]
        before = _score(question.logits_BK, label, score)
        drop_N = before - torch.cat(
            [
                _score(
                    logits_of(model, _blocks.replace(x_BCTHW, filler_BCTHW, ~part_NTHW.to(x_BCTHW.device))),
                    label,
                    score,
                )
                for part_NTHW in torch.split(covered_NTHW, at_once)
            ]
        )
        heat_thw = mean_over_windows(drop_N.float().cpu(), windows_Nthw)
    notes: dict[str, Any] = {"blocks": blocks, "overlap": overlap, "fill": fill, "score": score, **question.notes()}
    return heat_map(heat_thw.numpy(), clip, method="occlusion", label=label, **notes)


def windows(shape: tuple[int, ...], blocks: tuple[int, int, int], overlap: int) -> tuple[Tensor, Tensor]:
    """The boxes that cover a clip, on a grid of cells: a box is `overlap` cells long along each axis.

    Args:
        shape: T, H, W of the clip.
        blocks: boxes side by side along each axis.
        overlap: see `explain`.

    Returns:
        `windows_Nthw`, of bool, and `cell_THW`, the number of each place's cell.
    """
    frames, height, width = shape
    fine = (blocks[0] * overlap, blocks[1] * overlap, blocks[2] * overlap)
    cells = _blocks.grid_shape(frames, height, width, fine)
    lengths = [min(overlap, n) for n in cells]
    along = [
        torch.stack(
            [(torch.arange(n) >= first) & (torch.arange(n) < first + length) for first in range(n - length + 1)]
        )
        for n, length in zip(cells, lengths, strict=True)
    ]
    boxes = along[0][:, None, None, :, None, None] & along[1][None, :, None, None, :, None]
    boxes = boxes & along[2][None, None, :, None, None, :]
    return boxes.reshape(-1, *cells), _blocks.block_grid(frames, height, width, fine)


def mean_over_windows(drop_N: Tensor, windows_Nthw: Tensor) -> Tensor:
    """The mean drop of the boxes that cover each cell, `heat_thw`."""
    covers_Nthw = windows_Nthw.to(drop_N.dtype)
    return torch.einsum("n,nthw->thw", drop_N, covers_Nthw) / covers_Nthw.sum(dim=0)


def _score(logits_BK: Tensor, label: int, score: str) -> Tensor:
    return (logits_BK.softmax(dim=1) if score == "probability" else logits_BK)[:, label]
