"""P3D ResNet (a-50, b-50, c-50; 50, 101, 199, which cycle A, B, C; tiny): 2D bottlenecks, each with one kernel in time.

Qiu, Yao, Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017;
`late-temporal-bert`, section 1.9. The plan is that of the released networks: a 1 x 7 x 7 stem, a max-pool over 2 x 3 x
3, one over pairs of frames after each of the first three stages, strides in space on the first convolution of a stage,
and a last stage of plain 2D bottlenecks. Of T frames, T / 16 are left. `199` has the depth of ResNet-152. The weights
of a 2D ResNet fit all but the kernels in time. Departs from the release where frames cannot be paired: the last one is
kept, so that clips of any length pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.pseudo_3d import Kind, Pseudo3DBottleneck
from secondlook.layers.residual import Bottleneck, shortcut
from secondlook.models._recogniser import Limits
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import IMAGENET, POINTS, TINY_CLIP, StagedNetwork, frames_left


@dataclass(frozen=True)
class Plan:
    """Depths, kinds, widths and strides of a variant."""

    blocks: tuple[int, int, int, int]
    kinds: tuple[Kind, ...] = ("A", "B", "C")
    """Of the blocks of the first three stages, in turn."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner width of each stage; a stage gives four times as many channels."""
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """In space, of each stage's first block."""
    stem_pool: int = 2
    """In space, the stride of the max-pool that ends the stem."""


PLANS: Mapping[str, Plan] = {
    "a-50": Plan((3, 4, 6, 3), ("A",)),
    "b-50": Plan((3, 4, 6, 3), ("B",)),
    "c-50": Plan((3, 4, 6, 3), ("C",)),
    "50": Plan((3, 4, 6, 3)),
    "101": Plan((3, 4, 23, 3)),
    "199": Plan((3, 8, 36, 3)),
    "tiny": Plan((1, 1, 1, 1), channels=(12, 16, 24, 32), strides=(1, 2, 2, 1)),
}
_CLIP = replace(IMAGENET, frames=16, sampling="dense", short_side=182, height=160, width=160)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"p3d:{variant}", TINY_CLIP if variant == "tiny" else _CLIP, POINTS, "Qiu et al., ICCV 2017")
    for variant in PLANS
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised P3D ResNet, `x_BCTHW -> logits_BK`.

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
            pool=nn.MaxPool3d((2, 3, 3), 2, ceil_mode=True),
        )
    )
    stages, made = [], 0
    for index, (channels, depth, first) in enumerate(zip(plan.channels, plan.blocks, plan.strides, strict=True)):
        blocks = OrderedDict[str, nn.Module]()
        for b in range(depth):
            stride = first if b == 0 else 1
            around = shortcut(nn.Conv3d, width, 4 * channels, (1, stride, stride), nn.BatchNorm3d)
            if index < 3:
                kind = plan.kinds[made % len(plan.kinds)]
                blocks[str(b)] = Pseudo3DBottleneck(kind, width, channels, 4 * channels, stride, around)
            else:
                blocks[str(b)] = _plane(width, channels, stride, around)
            width, made = 4 * channels, made + 1
        if index < 3:
            blocks["pool"] = nn.MaxPool3d((2, 1, 1), (2, 1, 1), ceil_mode=True)
        stages.append(nn.Sequential(blocks))
    outputs = [4 * channels for channels in plan.channels]
    last = request.head(outputs, frames_left(request.frames, [(2, 1)] * 4))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last, Limits(min_size=3)))


def _plane(channels_in: int, channels: int, stride: int, around: nn.Module) -> Bottleneck:
    convs = (
        nn.Conv3d(channels_in, channels, 1, (1, stride, stride), bias=False),
        nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1), bias=False),
        nn.Conv3d(channels, 4 * channels, 1, bias=False),
    )
    return Bottleneck(convs, channels, nn.BatchNorm3d, around)
