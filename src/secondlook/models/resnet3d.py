"""3D ResNet: every kernel looks at space and time (10, 18, 34, `tiny`), or those of the first stage only (mc3-18).

Hara et al., "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018; Tran et al., "A
Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018 (R3D). Departs from Hara and follows Tran
and torchvision's `r3d_18` and `mc3_18`: a 3 x 7 x 7 stem with stride (1, 2, 2) and no max-pool. 10 and 34 are the same
network with one block a stage (Hara's depth 10) and with 3, 4, 6, 3 blocks (Hara's and Tran's depth 34). With
`multi_temporal`, 3 x 3 x 3 convolutions are multi-temporal ones (Stergiou, Poppe, IJCNN 2021).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.multi_temporal_swap import replace_convolutions
from secondlook.layers.residual import BasicBlock, shortcut
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import KINETICS, POINTS, TINY_CLIP, StagedNetwork, frames_left


@dataclass(frozen=True)
class Plan:
    """Widths, depths and strides of a variant."""

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    strides: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (2, 2), (2, 2))
    """(time, space) of each stage's first block."""
    frames: tuple[int, int, int, int] = (3, 3, 3, 3)
    """T of the kernels of each stage; 1: each frame alone."""


PLANS: Mapping[str, Plan] = {
    "10": Plan((1, 1, 1, 1)),
    "18": Plan((2, 2, 2, 2)),
    "34": Plan((3, 4, 6, 3)),
    "mc3-18": Plan((2, 2, 2, 2), strides=((1, 1), (1, 2), (1, 2), (1, 2)), frames=(3, 1, 1, 1)),
    "tiny": Plan((1, 1, 1, 1), (16, 24, 40, 64), ((1, 2), (2, 2), (2, 2), (1, 1))),
}
_REFERENCE = "Hara et al., CVPR 2018; Tran et al., CVPR 2018"
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"resnet3d:{variant}", TINY_CLIP if variant == "tiny" else KINETICS, POINTS, _REFERENCE)
    for variant in PLANS
}


class Options(CommonOptions, total=False):
    """What `build` takes."""

    multi_temporal: float
    """Share of local channels, in (0, 1], of multi-temporal convolutions in the place of all 3 x 3 x 3 ones; none."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised 3D ResNet, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, such as a share of local channels outside (0, 1].
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    width = plan.channels[0]
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv3d(request.in_channels, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
        )
    )
    stages = []
    rows = zip(plan.channels, plan.blocks, plan.strides, plan.frames, strict=True)
    for channels, depth, stride, frames in rows:
        blocks = [_block(width, channels, stride, frames)]
        blocks += [_block(channels, channels, (1, 1), frames) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        width = channels
    last = request.head(plan.channels, frames_left(request.frames, plan.strides))
    network = kaiming_(StagedNetwork(request.in_channels, stem, stages, last))
    if options.get("multi_temporal") is not None:
        replace_convolutions(network, options["multi_temporal"])
    return network


def _block(channels_in: int, channels: int, stride: tuple[int, int], frames: int) -> BasicBlock:
    time, space = stride
    kernel, padding = (frames, 3, 3), (frames // 2, 1, 1)
    conv1 = nn.Conv3d(channels_in, channels, kernel, (time, space, space), padding, bias=False)
    conv2 = nn.Conv3d(channels, channels, kernel, 1, padding, bias=False)
    around = shortcut(nn.Conv3d, channels_in, channels, (time, space, space), nn.BatchNorm3d)
    return BasicBlock(conv1, conv2, channels, nn.BatchNorm3d, around)


FIGURES: tuple[Figure, ...] = (
    Figure("18", 400, (16, 112, 112), "torchvision, r3d_18", parameters=33_371_472, gmac=40.697),
    Figure("mc3-18", 400, (16, 112, 112), "torchvision, mc3_18", millions="11.695", gmac=43.343),
)
