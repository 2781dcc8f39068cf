"""A clip cut into space-time blocks, and what stands in for the places that are deleted.

Shapes: B batch, C channels, T frames, H rows and W columns of the network's input.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue

Fill = Literal["blur", "mean", "black"]
BLUR = 0.1
"""Standard deviation of the blur, as a share of the clip's extent along each axis (Fong and Vedaldi 2017 and Fong et
al. 2019 blur images with 10 and 20 of 224 pixels)."""
NO_MOTION = 128 / 255
"""Where flow is stored as pixels, what stands for none."""


def block_grid(frames: int, height: int, width: int, blocks: tuple[int, int, int] = (4, 4, 4)) -> Tensor:
    """The number of the block in which each place of a clip lies.

    Along each axis the clip is cut into `min(blocks, extent)` parts whose sizes differ by at most one: place `i` of
    `n` lies in part `floor(i * parts / n)`. Blocks are numbered from 0 in the order of time, rows, columns, so that
    values of blocks become a grid by `values.reshape(t, h, w)`.

    Args:
        frames: T.
        height: H.
        width: W.
        blocks: how many blocks there are in time, rows and columns.

    Returns:
        `index_THW`, int64, on the CPU; `index_THW.max() + 1` is the number of blocks.

    Raises:
        BadValue: if a number of blocks is below 1.
    """
    counts = grid_shape(frames, height, width, blocks)
    t, h, w = (torch.arange(n) * parts // n for n, parts in zip((frames, height, width), counts, strict=True))
    return (t[:, None, None] * counts[1] + h[:, None]) * counts[2] + w


def grid_shape(frames: int, height: int, width: int, blocks: tuple[int, int, int]) -> tuple[int, int, int]:
    """How many blocks `block_grid` really cuts along each axis: never more than there are places.

    Raises:
        BadValue: if a number of blocks is below 1.
    """
    if min(blocks) < 1:
        raise BadValue(blocks, "a clip must be cut into at least one block along each axis")
    return min(blocks[0], frames), min(blocks[1], height), min(blocks[2], width)


def fill(x_BCTHW: Tensor, spec: ClipSpec, kind: str = "blur") -> Tensor:
    """What stands in for deleted places of a clip: a whole clip of the same shape.

    * `blur`: the clip itself under a Gaussian in time, rows and columns, standard deviation `BLUR` of each extent,
      edges repeated. It stays close to what networks are trained on; neither detail nor fast motion is left.
    * `mean`: the mean colour of the recipe, which is 0 after normalisation.
    * `black`: pixel value 0, which is `-mean / std` after normalisation; for flow, no motion.

    Args:
        x_BCTHW: normalised clips.
        spec: the recipe of the network, `card.clip`.
        kind: one of `Fill`.

    Raises:
        BadValue: if there is no such kind.
    """
    if kind not in get_args(Fill):
        raise BadValue(kind, f"what is put in place must be one of {', '.join(get_args(Fill))}")
    if kind == "mean":
        return torch.zeros_like(x_BCTHW)
    if kind == "black":
        pixel = NO_MOTION if spec.modality == "flow" else 0.0
        colour_C = torch.tensor([(pixel - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True)])
        return colour_C.to(x_BCTHW)[:, None, None, None].expand_as(x_BCTHW).clone()
    for axis in (2, 3, 4):
        x_BCTHW = smooth(x_BCTHW, BLUR * x_BCTHW.shape[axis], axis)
    return x_BCTHW


def replace(x_BCTHW: Tensor, filler_BCTHW: Tensor, keep_BTHW: Tensor) -> Tensor:
    """`keep * x + (1 - keep) * filler`: the clip where `keep` is 1, what stands in for it where `keep` is 0.

    Args:
        x_BCTHW: clips; a batch of one is used for every mask.
        filler_BCTHW: what `fill` gave for them.
        keep_BTHW: masks in [0, 1] (or of bool), one a clip; any extent may be 1 and is then the same everywhere.
    """
    keep_B1THW = keep_BTHW.to(x_BCTHW.dtype)[:, None]
    return keep_B1THW * x_BCTHW + (1 - keep_B1THW) * filler_BCTHW


def smooth(values: Tensor, sigma: float, axis: int) -> Tensor:
    """A Gaussian along one axis, cut at three standard deviations, edges repeated; sums of weights are 1.

    Args:
        values: any tensor.
        sigma: standard deviation in places; 0 leaves the values as they are.
        axis: along which.
    """
    radius = min(round(3 * sigma), 4 * values.shape[axis])
    if radius < 1 or values.shape[axis] == 1:
        return values
    places = torch.arange(-radius, radius + 1, dtype=torch.float64, device=values.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(values.dtype)
    lines = values.movedim(axis, -1)
    padded = functional.pad(lines.reshape(-1, 1, lines.shape[-1]), (radius, radius), mode="replicate")
    return functional.conv1d(padded, kernel[None, None]).reshape(lines.shape).movedim(-1, axis)


def blocks_of(text: str) -> tuple[int, int, int]:
    """How many blocks in time, rows and columns, from an option such as `4x7x7`.

    Raises:
        BadValue: if the text is not three numbers of at least 1.
    """
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise BadValue(text, "blocks are written as time x rows x columns, each at least 1", "For example 4x7x7.")
    return int(parts[0]), int(parts[1]), int(parts[2])
