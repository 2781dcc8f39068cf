"""MobileNetV2 over frames, as `tsm` takes it: its plans, its stem and its stages.

Sandler et al., "MobileNetV2", CVPR 2018, table 2. The stages end where the map has 1/4, 1/8, 1/16 and 1/32 of the
frame's size, as those of a ResNet do; the first, narrow block belongs to the stem, the last 1 x 1 convolution to the
fourth stage.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from secondlook.layers.inverted_residual import InvertedResidual, joins
from secondlook.models._resnet2d import MakeShift, Placement, Trunk

Row = tuple[int, int, int]
"""Channels, blocks, stride of the first block."""


@dataclass(frozen=True)
class MobilePlan:
    """Widths and depths of a network."""

    stem: tuple[int, int] = (32, 16)
    """Channels of the first convolution and of the block after it."""
    stages: tuple[tuple[Row, ...], ...] = (
        ((24, 2, 2),),
        ((32, 3, 2),),
        ((64, 4, 2), (96, 3, 1)),
        ((160, 3, 2), (320, 1, 1)),
    )
    """Rows of each stage."""
    last: int = 1280
    """Channels of the last 1 x 1 convolution."""
    expansion: int = 6


MOBILENET_V2 = MobilePlan()
TINY_MOBILENET_V2 = MobilePlan(
    (16, 8), (((16, 2, 2),), ((24, 2, 2),), ((32, 2, 1),), ((48, 2, 2),)), last=128, expansion=4
)


def trunk(plan: MobilePlan, in_channels: int, shift: MakeShift, placement: Placement = "residual") -> Trunk:
    """Stem and stages, freshly built.

    Args:
        plan: widths and depths.
        in_channels: channels of a frame.
        shift: makes a temporal shift; every block with a sum gets one, as in the TSM release.
        placement: `residual`, first in the block's branch; or `in_place`, before the block.
    """
    first, width = plan.stem
    norm = nn.BatchNorm2d
    stem = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(in_channels, first, 3, 2, 1, bias=False),
        norm=norm(first),
        act=nn.ReLU6(),
        block=InvertedResidual(nn.Conv2d, first, width, 1, 1, norm),
    )
    stages, widths = [], []
    for rows in plan.stages:
        blocks: list[nn.Module] = []
        for channels, depth, first_stride in rows:
            for stride in (first_stride, *[1] * (depth - 1)):
                moved = shift() if joins(width, channels, stride) else None
                inside = moved if placement == "residual" else None
                block: nn.Module = InvertedResidual(
                    nn.Conv2d, width, channels, plan.expansion, stride, norm, before=inside
                )
                if moved is not None and placement == "in_place":
                    block = nn.Sequential(OrderedDict[str, nn.Module](shift=moved, block=block))
                blocks.append(block)
                width = channels
        widths.append(width)
        stages.append(blocks)
    last = nn.Conv2d(width, plan.last, 1, bias=False)
    stages[-1].append(nn.Sequential(OrderedDict[str, nn.Module](conv=last, norm=norm(plan.last), act=nn.ReLU6())))
    widths[-1] = plan.last
    return Trunk(nn.Sequential(stem), tuple(nn.Sequential(*blocks) for blocks in stages), tuple(widths))
