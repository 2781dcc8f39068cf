"""Heat on a network's grid becomes heat in the source video's own frames.

Shapes: T sampled frames, H and W of the source video as shown; t, h, w the network's own grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.transform import MIRRORED, InputClip


def heat_map(
    heat_thw: npt.NDArray[np.floating[Any]], clip: InputClip, *, method: str, label: int, module: str = "", **notes: Any
) -> HeatMap:
    """The `HeatMap` of a clip from heat on any grid that spans the network's input.

    Stored is `project(heat) / scale` with `scale = max |project(heat)|`, so that the strongest place of the clip is 1
    (all zeros stay zeros). No minimum is subtracted: 0 still means "no heat". `notes` keeps `scale`, the `grid` and the
    crop `box` (top, left, height, width in source pixels) beside what is passed.

    Args:
        heat_thw: heat of this clip, t x h x w.
        clip: the clip that was explained.
        method: name of the explainer.
        label: class index that was explained.
        module: explain point it was read from.
        **notes: JSON-ready facts to keep.
    """
    source = clip.clip
    box = (clip.box.top, clip.box.left, clip.box.height, clip.box.width)
    frames = len(source.frame_index_T)
    if clip.crop.endswith(MIRRORED):
        heat_thw = heat_thw[..., ::-1]
    heat_THW = project(heat_thw, frames, box, source.source_height, source.source_width)
    scale = float(np.abs(heat_THW).max(initial=0.0))
    if scale > 0:
        heat_THW /= scale
    return HeatMap(
        heat_THW=heat_THW,
        frame_index_T=source.frame_index_T,
        frame_time_s_T=source.frame_time_s_T,
        method=method,
        label=label,
        module=module,
        signed=bool((heat_THW < 0).any()),
        notes={**notes, "scale": scale, "grid": list(heat_thw.shape), "box": [float(v) for v in box]},
    )


def project(
    heat_thw: npt.NDArray[np.floating[Any]],
    frames: int,
    box: tuple[float, float, float, float],
    source_height: int,
    source_width: int,
) -> npt.NDArray[np.float32]:
    """Trilinear upsampling of a grid onto the source frames: linear in time, in rows and in columns.

    Every cell of the grid is taken as an equal part of the clip and of the box (`align_corners=False` in PyTorch's
    words; beyond the outermost cell centres the value stays). A padded, strided convolution really looks up to half a
    cell further up and left; like the usual Grad-CAM code this leaves that aside.

    Args:
        heat_thw: the grid, t x h x w.
        frames: T, sampled frames of the clip.
        box: top, left, height, width of what the network saw, in source pixels.
        source_height: H.
        source_width: W.

    Returns:
        `heat_THW`; 0 at pixels whose centre lies outside the box.

    Raises:
        BadValue: if the grid is not t x h x w.
    """
    if heat_thw.ndim != 3 or 0 in heat_thw.shape:
        raise BadValue(heat_thw.shape, "heat on a network's grid is t x h x w")
    top, left, height, width = box
    t, h, w = heat_thw.shape
    in_time_Tt = _linear(np.arange(frames) + 0.5, 0.0, frames, t)
    rows_Hh = _linear(np.arange(source_height) + 0.5, top, height, h)
    columns_Ww = _linear(np.arange(source_width) + 0.5, left, width, w)
    heat_Thw = np.tensordot(in_time_Tt, heat_thw.astype(np.float32), axes=1)
    heat_THW: npt.NDArray[np.float32] = rows_Hh @ (heat_Thw @ columns_Ww.T)
    return heat_THW


def _linear(centres: npt.NDArray[np.floating[Any]], start: float, length: float, cells: int) -> npt.NDArray[np.float32]:
    """Matrix (len(centres) x cells) that interpolates cell values at the centres; zero rows outside the span."""
    place = (centres - start) / length
    inside = (place >= 0) & (place <= 1)
    position = np.clip(place * cells - 0.5, 0, cells - 1)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, cells - 1)
    share = position - below
    matrix = np.zeros((len(centres), cells), dtype=np.float32)
    each = np.arange(len(centres))
    np.add.at(matrix, (each, below), (1 - share) * inside)
    np.add.at(matrix, (each, above), share * inside)
    return matrix
