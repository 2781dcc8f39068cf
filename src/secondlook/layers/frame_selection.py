"""Frame selection by triplet cosines: of T frames the T/2 that are least like the ones before and after them.

Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, section 5.3.1, equations 5.6 and
5.7; `srtg-mtnet-classreg-visualisation`, section 2.7. Frames are picked, never blended, so that nothing leaves a ghost.
With `v_t = mean_HW(x_t)`, `cos_t = v_t . v_(t+1) / (|v_t| |v_(t+1)|)` and `P_t = cos_(t-1) + cos_t`, the
`max(1, floor(T/2))` frames of lowest P stay in their order. Equation 5.7 centres its triplet on the frame after t; the
text, and this, on t. The author's code keeps the highest P (`keep="largest"`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers._windows import precise

ENDS = ("replicate", "exclude")
"""What the first and last frame's P is: twice their one cosine; or none, and they stay only if no other can."""
KEEP = ("lowest", "largest")
_EPS = 1e-8
_DECIMALS = 10
"""P is rounded to these: frames that differ in the last bits of a sum are equals, on every device."""


class Selection(NamedTuple):
    """What was selected of each clip, and why."""

    cosines_BT: Tensor
    """Of each frame with the next, T - 1 a clip."""
    scores_BT: Tensor
    """P of each frame; NaN where it has none."""
    index_BK: Tensor
    """Frames that stay, ascending."""


@torch.no_grad()
def triplet_cosine(x_BCTHW: Tensor, *, ends: str = "replicate", keep: str = "lowest") -> Selection:
    """Scores every frame of every clip and selects half of them; no gradient passes.

    Args:
        x_BCTHW: a volume, already pooled in space or not.
        ends: a name in `ENDS`.
        keep: `lowest` P, or `largest`; of equals the earlier frame.

    Raises:
        UnknownName: for another name.
        BadValue: for what is no batch of volumes.
    """
    _check(ends, keep)
    if x_BCTHW.ndim != 5 or x_BCTHW.shape[2] < 1:
        raise BadValue(tuple(x_BCTHW.shape), "frames are selected from B x C x T x H x W with at least one frame")
    # Nearly parallel vectors: 1 - cos is the square of a small angle, which float32 would lose.
    wide = torch.float32 if x_BCTHW.device.type == "mps" else torch.float64
    v_BCT = _frame_means(x_BCTHW).to(wide)
    norm_BT = v_BCT.square().sum(1).sqrt() + _EPS
    cosines_BT = (v_BCT[:, :, :-1] * v_BCT[:, :, 1:]).sum(1) / (norm_BT[:, :-1] * norm_BT[:, 1:])
    if x_BCTHW.shape[2] == 1:
        scores_BT = torch.zeros_like(norm_BT)
    else:
        before, after = cosines_BT[:, :1], cosines_BT[:, -1:]
        scores_BT = torch.cat([before, cosines_BT], 1) + torch.cat([cosines_BT, after], 1)
        scores_BT = torch.round(scores_BT, decimals=_DECIMALS)
        if ends == "exclude":
            none = torch.full_like(before, float("nan"))
            scores_BT = torch.cat([none, scores_BT[:, 1:-1], none], 1)
    last = float("-inf") if keep == "largest" else float("inf")
    ranked_BT = scores_BT.nan_to_num(nan=last)
    order_BT = torch.sort(ranked_BT, dim=1, descending=keep == "largest", stable=True).indices
    index_BK = order_BT[:, : kept(x_BCTHW.shape[2])].sort(1).values
    return Selection(cosines_BT, scores_BT, index_BK)


def triplet_cosine_numpy(
    x_CTHW: npt.NDArray[np.floating], *, ends: str = "replicate", keep: str = "lowest"
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The same for one clip without torch, frame by frame: P of each frame, and the frames that stay.

    Raises:
        UnknownName: for another name.
    """
    _check(ends, keep)
    frames = x_CTHW.shape[1]
    v_TC = [np.asarray(x_CTHW[:, t], np.float64).mean((1, 2)) for t in range(frames)]

    def cosine(a: int, b: int) -> float:
        norms = (np.sqrt((v_TC[a] ** 2).sum()) + _EPS) * (np.sqrt((v_TC[b] ** 2).sum()) + _EPS)
        return float((v_TC[a] * v_TC[b]).sum() / norms)

    scores = np.zeros(frames)
    for t in range(frames if frames > 1 else 0):
        first, last = t == 0, t == frames - 1
        if ends == "exclude" and (first or last):
            scores[t] = np.nan
        else:
            before = cosine(0, 1) if first else cosine(t - 1, t)
            after = cosine(t - 1, t) if last else cosine(t, t + 1)
            scores[t] = np.round(before + after, _DECIMALS)
    sign = -1.0 if keep == "largest" else 1.0
    ranked = sorted(range(frames), key=lambda t: (np.isnan(scores[t]), sign * np.nan_to_num(scores[t]), t))
    return scores, np.array(sorted(ranked[: kept(frames)]), np.int64)


def kept(frames: int) -> int:
    """How many of T frames stay, `max(1, floor(T / 2))`."""
    return max(1, frames // 2)


def _frame_means(x_BCTHW: Tensor) -> Tensor:
    dtype = precise(x_BCTHW)
    if _channels_last(x_BCTHW):  # places first: the same sum as one over both axes takes 15 times as long on a CPU
        return x_BCTHW.permute(0, 2, 3, 4, 1).flatten(2, 3).mean(2, dtype=dtype).transpose(1, 2)
    return x_BCTHW.mean((3, 4), dtype=dtype)


def _channels_last(x_BCTHW: Tensor) -> bool:
    return x_BCTHW.is_contiguous(memory_format=torch.channels_last_3d) and not x_BCTHW.is_contiguous()


def take_frames(x_BCTHW: Tensor, index_BK: Tensor) -> Tensor:
    """Copies of the frames of each clip, `BCKHW`; the gradient goes back to them."""
    clips, channels, frames, height, width = x_BCTHW.shape
    left = index_BK.shape[1]
    clip_B = torch.arange(clips, device=x_BCTHW.device)
    # Whole rows of memory are copied, as they lie; `gather` would copy number by number.
    if _channels_last(x_BCTHW):
        rows = (clip_B[:, None] * frames + index_BK).flatten()
        taken = x_BCTHW.permute(0, 2, 3, 4, 1).reshape(clips * frames, -1).index_select(0, rows)
        return taken.reshape(clips, left, height, width, channels).permute(0, 4, 1, 2, 3)
    channel_BC = torch.arange(clips * channels, device=x_BCTHW.device).reshape(clips, channels)
    rows = (channel_BC[:, :, None] * frames + index_BK[:, None]).flatten()
    taken = x_BCTHW.reshape(clips * channels * frames, -1).index_select(0, rows)
    return taken.reshape(clips, channels, left, height, width)


class FrameSelection(nn.Module):
    """The indices of `triplet_cosine` as a module, `x_BCTHW -> index_BK`.

    Args:
        ends: a name in `ENDS`.
        keep: a name in `KEEP`.

    Raises:
        UnknownName: for another name.
    """

    def __init__(self, ends: str = "replicate", keep: str = "lowest") -> None:
        super().__init__()
        _check(ends, keep)
        self.ends, self.keep = ends, keep

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Frames that stay, ascending."""
        return triplet_cosine(x_BCTHW, ends=self.ends, keep=self.keep).index_BK

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        raise BadValue("torch.jit.script", "cannot compile a frame selection", "Use torch.export.")

    def extra_repr(self) -> str:
        """The two switches."""
        return f"ends={self.ends}, keep={self.keep}"


def _check(ends: str, keep: str) -> None:
    if ends not in ENDS:
        raise UnknownName("way with the first and last frame", ends, ENDS)
    if keep not in KEEP:
        raise UnknownName("kind of frame to keep", keep, KEEP)
