"""Stem and stages of a SlowFast pathway: a bottleneck ResNet that looks along time in its 1-wide convolutions only.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1; PySlowFast's and PyTorchVideo's
`C2D`, `I3D`, `Slow` and both pathways of `SlowFast` are this builder with other kernels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from secondlook.layers.residual import Bottleneck, shortcut

Kernels = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
SLOW: Kernels = ((1,), (1,), (3,), (3,))
"""A slow pathway looks along time in its last two stages."""
FAST: Kernels = ((3,), (3,), (3,), (3,))


@dataclass(frozen=True)
class Pathway:
    """Depths, widths, kernels and strides."""

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner width of each stage; a stage gives four times as many channels. The stem gives as many as the first."""
    stem_frames: int = 1
    """T of the stem's kernel."""
    frames: Kernels = SLOW
    """T of the first convolution of each block, stage by stage; a shorter row is repeated over the stage's blocks."""
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """In space, of each stage's first block. Nothing strides in time."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the maps of the four stages."""
        return tuple(Bottleneck.expansion * c for c in self.channels)


RESNET_50 = Pathway()
RESNET_101 = Pathway((3, 4, 23, 3))
"""Slow pathways of these depths."""


def stem(in_channels: int, pathway: Pathway) -> nn.Sequential:
    """`pool(act(norm(conv(x))))`: T x 7 x 7 with a spatial stride of 2, then a spatial max-pool with another."""
    width, frames = pathway.channels[0], pathway.stem_frames
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(in_channels, width, (frames, 7, 7), (1, 2, 2), (frames // 2, 3, 3), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
            pool=nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
    )


def stages(pathway: Pathway, joined: Sequence[int] = (0, 0, 0, 0)) -> list[OrderedDict[str, nn.Module]]:
    """The blocks of each of the four stages, named by their numbers.

    Args:
        pathway: depths, widths, kernels and strides.
        joined: channels that another pathway adds to the input of each stage.
    """
    made, width = [], pathway.channels[0]
    for channels, depth, frames, stride, more in zip(
        pathway.channels, pathway.blocks, pathway.frames, pathway.strides, joined, strict=True
    ):
        blocks = OrderedDict[str, nn.Module]()
        for b in range(depth):
            first = b == 0
            blocks[str(b)] = _block(
                width + more if first else width, channels, frames[b % len(frames)], stride if first else 1
            )
            width = channels * Bottleneck.expansion
        made.append(blocks)
    return made


def _block(channels_in: int, channels: int, frames: int, stride: int) -> Bottleneck:
    outputs = channels * Bottleneck.expansion
    convs = (
        nn.Conv3d(channels_in, channels, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False),
        nn.Conv3d(channels, channels, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.Conv3d(channels, outputs, 1, bias=False),
    )
    around = shortcut(nn.Conv3d, channels_in, outputs, (1, stride, stride), nn.BatchNorm3d)
    return Bottleneck(convs, channels, nn.BatchNorm3d, around)
