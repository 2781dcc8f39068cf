"""Multi-temporal convolution (MTConv): most channels at the clip's own pace, the others from a clip at half its sides.

Stergiou, Poppe, "Multi-Temporal Convolutions for Human Action Recognition in Videos", IJCNN 2021; Stergiou, "Efficient
Modelling Across Time of Human Actions and Interactions", 2021, section 5.3.1; `srtg-mtnet-classreg-visualisation`,
section 2.8:

    a_L = relu(norm(conv_L(x)))
    a_P = up(relu(norm(conv_LP(down(a_L)))) + relu(norm(conv_P(down(x)))))
    a   = concatenate(a_L, a_P)

`a_L` has `floor(ratio C)` of the C channels, `a_P` the others. `down` is a `HalvingPool`, `up` trilinear. Equation 5.4
prints `a` where it must be `x`. What the source leaves open: one set of frames is picked, by x, for both volumes, and
with a stride in time the frames of `a_L` that stand nearest to them are taken (`share_frames=False`: each by its own
score); `conv_LP` is 1 wide (`lateral_kernel`); the stride is that of `conv_L` and `conv_P`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers._windows import axes
from secondlook.layers.frame_selection import take_frames
from secondlook.layers.halving_pool import HalvingPool
from secondlook.layers.residual import Sum

Steps = int | tuple[int, int, int]


class BranchOptions(TypedDict, total=False):
    """What a multi-temporal convolution takes beyond channels, kernel, stride and ratio."""

    pooling: str
    """How the clip is halved, a name in `halving_pool.POOLINGS`: `softpool_cos`."""
    share_frames: bool
    """Both volumes of the prolonged branch give the frames that the input's scores select: True."""
    lateral_kernel: int
    """Width of the convolution from the local branch to the prolonged one, odd: 1."""
    groups: int
    """Each convolution has the most groups, up to this, that divide its channels on both sides: 1."""
    depthwise: bool
    """One filter a channel; then `split_input`, and as many channels out as in: False."""
    split_input: bool
    """Each branch reads its own share of the channels in, not all: False. The author's code has streams like these."""
    odd: str
    """Odd heights and widths: `ceil` or `replicate`: `ceil`."""
    ends: str
    """First and last frame in the selection: `replicate` or `exclude`: `replicate`."""
    keep: str
    """Frames that stay: of the `lowest` or the `largest` score: `lowest`."""


class MultiTemporalOptions(BranchOptions, total=False):
    """What a multi-temporal convolution takes beyond channels, kernel and stride."""

    ratio: float
    """Share of the channels out that are local, in (0, 1]: 7/8. With 1 there is no prolonged branch."""


@dataclass(frozen=True)
class _Shape:
    """Kernel, stride and padding of a convolution."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


def channel_split(channels: int, ratio: float) -> tuple[int, int]:
    """Local and prolonged channels, `floor(ratio C)` and the others.

    >>> channel_split(54, 7 / 8), channel_split(432, 3 / 8), channel_split(24, 1)
    ((47, 7), (162, 270), (24, 0))

    Raises:
        BadValue: if the ratio is not in (0, 1], or there are no channels.
    """
    if isinstance(ratio, bool | str) or not 0 < ratio <= 1:
        rule = "the share of local channels must lie in (0, 1]"
        raise BadValue(ratio, rule, "The source takes 0.875; the prolonged branch reads the local one, so 0 is none.")
    if channels < 1:
        raise BadValue(channels, "a convolution needs at least one channel")
    local = int(ratio * channels + 1e-9)
    return local, channels - local


class MultiTemporalConv(nn.Module):
    """`x_BCTHW -> BCTHW`: local channels first, then prolonged ones; normalised, and behind a ReLU.

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        kernel: width of the convolutions, one number or one an axis.
        stride: likewise.
        padding: of the local convolution; half the kernel when left out. The prolonged one keeps its size in any case.
        options: see `MultiTemporalOptions`.

    Raises:
        BadValue: if the ratio is not in (0, 1] or leaves no local channel, or channels, kernel or groups do not fit.
        UnknownName: for a pooling or a way that does not exist; names the nearest.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: Steps = 3,
        stride: Steps = 1,
        padding: Steps | None = None,
        **options: Unpack[MultiTemporalOptions],
    ) -> None:
        super().__init__()
        ratio, lateral = options.get("ratio", 7 / 8), options.get("lateral_kernel", 1)
        depthwise, groups = options.get("depthwise", False), options.get("groups", 1)
        self.split_input = depthwise or options.get("split_input", False)
        local, prolonged = channel_split(channels_out, ratio)
        local_in, prolonged_in = channel_split(channels_in, ratio) if self.split_input else (channels_in, channels_in)
        if not local or not local_in:
            rule = f"this share of {channels_in} channels in and {channels_out} out leaves no local one"
            raise BadValue(ratio, rule, "Give a larger ratio or more channels.")
        if depthwise and channels_in != channels_out:
            raise BadValue((channels_in, channels_out), "a depth-wise convolution has as many channels out as in")
        if groups < 1:
            raise BadValue(groups, "groups must be at least 1")
        if lateral < 1 or lateral % 2 == 0:
            raise BadValue(lateral, "lateral_kernel must be odd, to keep the size", "The source takes 1.")
        sizes, same = axes(kernel, 3), tuple(k // 2 for k in axes(kernel, 3))
        shape = _Shape(sizes, axes(stride, 3), same if padding is None else axes(padding, 3))
        most = max(local, prolonged) if depthwise else groups
        self.channels = (local, prolonged)
        self._inputs = (local_in, prolonged_in)
        self._step, self._shift = shape.stride[0], same[0] - shape.padding[0]
        self.share_frames = options.get("share_frames", True)
        self.local = _convolution(local_in, local, shape, most)
        self.local_norm = nn.BatchNorm3d(local)
        self.local_act = nn.ReLU()
        if not prolonged:
            return
        self.pool = HalvingPool(
            options.get("pooling", "softpool_cos"),
            options.get("odd", "ceil"),
            options.get("ends", "replicate"),
            options.get("keep", "lowest"),
        )
        self.lateral = _convolution(local, prolonged, _Shape((lateral,) * 3, (1,) * 3, (lateral // 2,) * 3), groups)
        self.lateral_norm = nn.BatchNorm3d(prolonged)
        self.lateral_act = nn.ReLU()
        self.prolonged = _convolution(prolonged_in, prolonged, _Shape(sizes, shape.stride, same), most)
        self.prolonged_norm = nn.BatchNorm3d(prolonged)
        self.prolonged_act = nn.ReLU()
        self.sum = Sum()
        self.restore = Restore()
        self.join = Concatenation()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The clip at its own pace, and beside it at half."""
        in_local, in_prolonged = x_BCTHW, x_BCTHW
        if self.split_input:
            in_local, in_prolonged = x_BCTHW[:, : self._inputs[0]], x_BCTHW[:, self._inputs[0] :]
        local: Tensor = self.local_act(self.local_norm(self.local(in_local)))
        if not self.channels[1]:
            return local
        low_x, low_local = self._halved(in_prolonged, local)
        own = self.prolonged_act(self.prolonged_norm(self.prolonged(low_x)))
        lateral = self.lateral_act(self.lateral_norm(self.lateral(low_local)))
        if lateral.shape[2:] != own.shape[2:]:  # a stride halved sides that do not divide
            lateral = self.restore(lateral, own)
        joined: Tensor = self.join(local, self.restore(self.sum(lateral, own), local))
        return joined

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"local={self.channels[0]}, prolonged={self.channels[1]}, share_frames={self.share_frames}"

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        raise BadValue("torch.jit.script", "cannot compile a multi-temporal convolution", "Use torch.export.")

    def _halved(self, x_BCTHW: Tensor, local_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        low_x, low_local = self.pool.pooled(x_BCTHW), self.pool.pooled(local_BCTHW)
        if self.pool.selection is None:
            return low_x, low_local
        index_BK = self.pool.selection(low_x)
        if not self.share_frames:
            return take_frames(low_x, index_BK), take_frames(low_local, self.pool.selection(low_local))
        # At the centre of `conv_P` is every step-th selected frame, at that of `a_L`'s frame u frame u * step + shift.
        index_of_local_BK = (index_BK[:, :: self._step] - self._shift) // self._step
        index_of_local_BK = index_of_local_BK.clamp(0, low_local.shape[2] - 1)
        return take_frames(low_x, index_BK), take_frames(low_local, index_of_local_BK)


class _Convolution(nn.Conv3d):
    """Pads a clip shorter than its kernel before, not while it convolves; on a CPU, and with the same numbers.

    torch 2.13's bfloat16 gradient of the weights, for two frames and a kernel of three, reads memory nobody wrote.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The convolved clip."""
        padding = self.padding
        assert isinstance(padding, tuple)
        around = padding[0]
        if x_BCTHW.device.type != "cpu" or not around or x_BCTHW.shape[2] >= self.kernel_size[0]:
            return super().forward(x_BCTHW)
        padded = functional.pad(x_BCTHW, (0, 0, 0, 0, around, around))
        return functional.conv3d(padded, self.weight, self.bias, self.stride, (0, *padding[1:]), groups=self.groups)


class Restore(nn.Module):
    """Trilinear interpolation to the sides of another volume, `x_BCTHW, like_BCTHW -> BCTHW`."""

    def forward(self, x_BCTHW: Tensor, like_BCTHW: Tensor) -> Tensor:
        """The volume itself where it already has these sides."""
        size = like_BCTHW.shape[2:]
        if x_BCTHW.shape[2:] == size:
            return x_BCTHW
        return functional.interpolate(x_BCTHW, tuple(size), mode="trilinear", align_corners=False)


class Concatenation(nn.Module):
    """Two volumes one upon the other, along their channels."""

    def forward(self, a_BCTHW: Tensor, b_BCTHW: Tensor) -> Tensor:
        """First the channels of a."""
        return torch.cat((a_BCTHW, b_BCTHW), 1)


def _convolution(channels_in: int, channels_out: int, shape: _Shape, groups: int) -> nn.Conv3d:
    common = (g for g in range(min(groups, channels_in, channels_out), 0, -1))
    most = next(g for g in common if channels_in % g == 0 and channels_out % g == 0)
    kernel, stride, padding = ((t, h, w) for t, h, w in (shape.kernel, shape.stride, shape.padding))
    return _Convolution(channels_in, channels_out, kernel, stride, padding, groups=most, bias=False)
