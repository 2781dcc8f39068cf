"""The 2D ResNet that `resnet2d` and `tsm` share: its plans, its stem and its stages.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. As in torchvision, the stride of a
bottleneck is on its 3 x 3 convolution.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from secondlook.layers.residual import BasicBlock, Bottleneck, shortcut
from secondlook.models._frame_network import FoldedNonLocal

Placement = Literal["residual", "in_place"]
MakeShift = Callable[[], nn.Module]
"""Makes one temporal shift."""


@dataclass(frozen=True)
class Plan:
    """Widths and depths of a network."""

    block: type[BasicBlock] | type[Bottleneck]
    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """Stride of each stage's first block."""
    stem: int = 64
    """Channels of the stem."""
    pool: bool = True
    """A 3 x 3 max-pool of stride 2 ends the stem."""


PLANS = {
    "18": Plan(BasicBlock, (2, 2, 2, 2)),
    "34": Plan(BasicBlock, (3, 4, 6, 3)),
    "50": Plan(Bottleneck, (3, 4, 6, 3)),
    "101": Plan(Bottleneck, (3, 4, 23, 3)),
    "tiny": Plan(BasicBlock, (2, 2, 1, 1), (24, 48, 80, 96), (2, 2, 2, 1), stem=16, pool=False),
}


@dataclass(frozen=True)
class Trunk:
    """A network up to its head."""

    stem: nn.Module
    stages: tuple[nn.Module, ...]
    widths: tuple[int, ...]
    """Channels of each stage's output."""


def trunk(
    plan: Plan,
    in_channels: int,
    shift: MakeShift | None = None,
    placement: Placement = "residual",
    *,
    non_local: bool = False,
) -> Trunk:
    """Stem and stages, freshly built.

    Args:
        plan: widths and depths.
        in_channels: channels of a frame.
        shift: makes a temporal shift; none are built without it. Inside the branches, networks whose third stage has
            23 blocks or more shift in every second block, as the TSM release does.
        placement: `residual`, inside the branch before its first convolution; or `in_place`, before the block.
        non_local: a non-local block after every second block of the second and third stage.
    """
    width = plan.stem
    stem = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(in_channels, width, 7, 2, 3, bias=False), norm=nn.BatchNorm2d(width), act=nn.ReLU()
    )
    if plan.pool:
        stem["pool"] = nn.MaxPool2d(3, 2, 1)
    every = 2 if plan.blocks[2] >= 23 and placement == "residual" else 1
    stages, widths = [], []
    for index, (channels, depth, first) in enumerate(zip(plan.channels, plan.blocks, plan.strides, strict=True), 1):
        blocks = []
        for b in range(depth):
            moved = shift() if shift is not None and b % every == 0 else None
            block = _block(plan.block, width, channels, first if b == 0 else 1, moved, placement)
            width = channels * plan.block.expansion
            if non_local and index in (2, 3) and b % 2 == 0:
                around = FoldedNonLocal(width, pool_last=True)
                block = nn.Sequential(OrderedDict[str, nn.Module](block=block, non_local=around))
            blocks.append(block)
        stages.append(nn.Sequential(*blocks))
        widths.append(width)
    return Trunk(nn.Sequential(stem), tuple(stages), tuple(widths))


def _block(
    kind: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    channels: int,
    stride: int,
    shift: nn.Module | None,
    placement: Placement,
) -> nn.Module:
    norm = nn.BatchNorm2d
    around = shortcut(nn.Conv2d, channels_in, channels * kind.expansion, stride, norm)
    bottleneck = kind is Bottleneck
    conv1: nn.Module = (
        nn.Conv2d(channels_in, channels, 1, bias=False)
        if bottleneck
        else nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
    )
    if shift is not None:
        inside = {"shift": shift} if placement == "residual" else {}
        conv1 = nn.Sequential(OrderedDict[str, nn.Module](**inside, conv=conv1))
    block: nn.Module
    if bottleneck:
        conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        conv3 = nn.Conv2d(channels, channels * 4, 1, bias=False)
        block = Bottleneck((conv1, conv2, conv3), channels, norm, around)
    else:
        block = BasicBlock(conv1, nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels, norm, around)
    if shift is None or placement == "residual":
        return block
    return nn.Sequential(OrderedDict[str, nn.Module](shift=shift, block=block))
