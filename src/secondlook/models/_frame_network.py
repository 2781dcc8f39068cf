"""Networks of 2D convolutions over the frames of clips: time lies folded in the batch, B T x C x H x W."""

from __future__ import annotations

from torch import Tensor

from secondlook.layers.non_local import NonLocal
from secondlook.layers.temporal_shift import TemporalShift
from secondlook.models._staged import StagedNetwork


class FoldedNonLocal(NonLocal):
    """A non-local block over whole clips inside a 2D network, `x_NCHW -> NCHW` with N = B T."""

    frames: int = 1
    """T of the clips in the batch. The network sets it before each pass; it is no part of the weights."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The input and, added to it, what each place gathers from all places of all frames of its clip."""
        x_BTCHW = x_NCHW.reshape(-1, self.frames, *x_NCHW.shape[1:])
        return super().forward(x_BTCHW.transpose(1, 2)).transpose(1, 2).flatten(0, 1)


class FrameNetwork(StagedNetwork):
    """Stem and stages see all frames of a batch at once, `x_BCTHW -> logits_BK` outside; T is free.

    What mixes frames on the way (shifts, non-local blocks) is told T before each pass.
    """

    def stage_maps(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of the four stages, each `BCTHW`; T is that of the clip."""
        self.check(x_BCTHW)
        frames = x_BCTHW.shape[2]
        for module in self.modules():
            if isinstance(module, TemporalShift | FoldedNonLocal):
                module.frames = frames
        x_NCHW = self.stem(x_BCTHW.transpose(1, 2).flatten(0, 1))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x_NCHW = stage(x_NCHW)
            x_BTCHW = x_NCHW.reshape(-1, frames, *x_NCHW.shape[1:])
            maps.append(x_BTCHW.transpose(1, 2))
        return tuple(maps)
