"""R(2+1)D on bottlenecks (50, tiny), as PyTorchVideo builds it: each 3 x 3 x 3 kernel is time first, then space.

PyTorchVideo, `models/r2plus1d.py` (`r2plus1d_r50`), after Tran et al., "A Closer Look at Spatiotemporal Convolutions
for Action Recognition", CVPR 2018. Departs from the paper, as that code does: the temporal factor comes before the
spatial one, the channels between them are those of the bottleneck, the stem looks at single frames, the first stage
halves height and width, and only the last two stages stride in time. Departs from the code where a clip is larger than
those in training: features are averaged over the whole map, not over windows of the training size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import Bottleneck, shortcut
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork, frames_left
from secondlook.models.slow import CLIP


@dataclass(frozen=True)
class Plan:
    """Depths, widths and strides of a variant."""

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner width of each stage; a stage gives four times as many channels."""
    strides: tuple[tuple[int, int], ...] = ((1, 2), (1, 2), (2, 2), (2, 2))
    """(time, space) of each stage's first block."""


PLANS: Mapping[str, Plan] = {
    "50": Plan(),
    "tiny": Plan((1, 1, 1, 1), (8, 12, 20, 32), ((1, 2), (1, 2), (2, 2), (2, 1))),
}
CARDS: Mapping[str, ModelCard] = {
    "50": ModelCard("r2plus1d_bottleneck:50", replace(CLIP, frames=16, stride=4), POINTS, "PyTorchVideo, r2plus1d_r50"),
    "tiny": ModelCard("r2plus1d_bottleneck:tiny", TINY_CLIP, POINTS, "PyTorchVideo, r2plus1d_r50"),
}


class TemporalFirstConv(nn.Module):
    """`spatial(act(norm(temporal(x))))`, `x_BCTHW -> BCTHW`: 3 x 1 x 1, then 1 x 3 x 3.

    Args:
        channels: before, between and after.
        stride: (in time, in space).
    """

    def __init__(self, channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        time, space = stride
        self.temporal = nn.Conv3d(channels, channels, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.act = nn.ReLU()
        self.spatial = nn.Conv3d(channels, channels, (1, 3, 3), (1, space, space), (0, 1, 1), bias=False)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Time first, then space."""
        out: Tensor = self.spatial(self.act(self.norm(self.temporal(x_BCTHW))))
        return out


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised bottleneck R(2+1)D, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    width = plan.channels[0]
    stem = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(request.in_channels, width, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
        )
    )
    stages = []
    for channels, depth, stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = []
        for b in range(depth):
            blocks.append(_block(width, channels, stride if b == 0 else (1, 1)))
            width = channels * Bottleneck.expansion
        stages.append(nn.Sequential(*blocks))
    outputs = [channels * Bottleneck.expansion for channels in plan.channels]
    last = request.head(outputs, frames_left(request.frames, plan.strides))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


def _block(channels_in: int, channels: int, stride: tuple[int, int]) -> Bottleneck:
    time, space = stride
    outputs = channels * Bottleneck.expansion
    convs = (
        nn.Conv3d(channels_in, channels, 1, bias=False),
        TemporalFirstConv(channels, stride),
        nn.Conv3d(channels, outputs, 1, bias=False),
    )
    around = shortcut(nn.Conv3d, channels_in, outputs, (time, space, space), nn.BatchNorm3d)
    return Bottleneck(convs, channels, nn.BatchNorm3d, around)


_MEASURED = "PyTorchVideo, models/r2plus1d.py, counted"
FIGURES: tuple[Figure, ...] = (
    Figure("50", 400, (16, 224, 224), _MEASURED, millions="28.108", gmac=57.53),
    Figure(
        "50",
        400,
        (16, 256, 256),
        _MEASURED,
        parameters=28_107_600,
        gmac=75.15,
        note="the PyTorchVideo model zoo prints 76.45 G",
    ),
)
