"""Anything that lies in the source video's frames, brought back to the grid of the network's input.

The inverse of `_project.heat_map` for what measures need: a heat map, or a mask, as the network's input would see it.
Shapes: T sampled frames, H and W of the source video as shown, h and w of the network's input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.video.transform import MIRRORED, InputClip, cut, luma


def to_input(values_THW: npt.NDArray[Any], clip: InputClip) -> npt.NDArray[np.float32]:
    """Mean of the values over the part of the source frame that each pixel of the input shows, `T x h x w`.

    Pixels whose centre the network did not see do not count. A mask of 0 and 1 becomes the share of each input pixel
    that it covers. A mirrored crop is mirrored.

    Args:
        values_THW: one map a sampled frame, at the size of the source video.
        clip: the clip that was explained.

    Raises:
        BadValue: if the values are not T x H x W of this clip.
    """
    source, box = clip.clip, clip.box
    expected = (len(source.frame_index_T), source.source_height, source.source_width)
    if values_THW.shape != expected:
        raise BadValue(values_THW.shape, f"must be {' x '.join(map(str, expected))}, the frames of this clip")
    rows_hH = _mean_over(box.top, box.height, clip.x_CTHW.shape[2], source.source_height)
    columns_wW = _mean_over(box.left, box.width, clip.x_CTHW.shape[3], source.source_width)
    seen_Thw: npt.NDArray[np.float32] = rows_hH @ (values_THW.astype(np.float32) @ columns_wW.T)
    return np.ascontiguousarray(seen_Thw[..., ::-1] if clip.crop.endswith(MIRRORED) else seen_Thw)


def brightness(clip: InputClip, spec: ClipSpec) -> npt.NDArray[np.float32]:
    """Brightness in [0, 1] of what each pixel of the input shows, `T x h x w`, whatever the recipe makes of it."""
    luma_Thw: npt.NDArray[np.float32] = (luma(frames_at_input(clip, spec).float()) / 255).numpy()
    return luma_Thw


def frames_at_input(clip: InputClip, spec: ClipSpec) -> Tensor:
    """The frames as the network's input shows them, before normalising: `T x 3 x h x w`, uint8."""
    frames_TCHW = cut(clip.clip.frames_THWC, spec, clip.crop.removesuffix(MIRRORED))
    return torch.flip(frames_TCHW, (-1,)) if clip.crop.endswith(MIRRORED) else frames_TCHW


def _mean_over(start: float, length: float, cells: int, pixels: int) -> npt.NDArray[np.float32]:
    """Matrix (cells x pixels): the mean over the part of the pixels that lies under each cell of the box.

    A cell that shows no pixel whose centre lies in the box takes the nearest one that does.
    """
    edges = start + length * np.arange(cells + 1) / cells
    left, right = np.arange(pixels), np.arange(pixels) + 1
    matrix = np.minimum(edges[1:, None], right) - np.maximum(edges[:-1, None], left)
    seen = (left + 0.5 >= start) & (left + 0.5 <= start + length)
    matrix = np.where(seen, np.maximum(matrix, 0), 0)
    for cell in np.flatnonzero(matrix.sum(axis=1) < 1e-9):
        away = np.abs(left + 0.5 - (edges[cell] + edges[cell + 1]) / 2)
        matrix[cell, int(np.where(seen, away, np.inf).argmin())] = 1
    means: npt.NDArray[np.float32] = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return means
