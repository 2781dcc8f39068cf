"""Channel-separated networks (ir-50, ir-101, ir-152, ip-50, ip-101, ip-152, tiny, tiny-ip): depth-wise 3 x 3 x 3.

Tran et al., "Video Classification with Channel-Separated Convolutional Networks", ICCV 2019, figure 2;
`late-temporal-bert`, section 1.10. A 3D ResNet whose 3 x 3 x 3 convolutions see one channel each. `ir`
(interaction-reduced): 1 x 1 x 1, depth-wise, 1 x 1 x 1. `ip` (interaction-preserved): a further 1 x 1 x 1 convolution,
with a normalisation and no activation, stands before the depth-wise one and keeps what channels had to tell each other.
`ir-101` is PyTorchVideo's `csn_r101`.
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
from secondlook.layers.separable_conv import depthwise_conv
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork, frames_left
from secondlook.models.slow import CLIP


@dataclass(frozen=True)
class Plan:
    """Depths, widths and strides of a variant."""

    blocks: tuple[int, int, int, int]
    preserved: bool = False
    """`ip` and not `ir`."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner width of each stage; a stage gives four times as many channels."""
    strides: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (2, 2), (2, 2))
    """(time, space) of each stage's first block."""


_DEPTHS: Mapping[str, tuple[int, int, int, int]] = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
_TINY = Plan((1, 1, 1, 1), channels=(8, 12, 20, 32), strides=((1, 1), (2, 2), (2, 2), (1, 1)))
PLANS: Mapping[str, Plan] = {
    **{f"ir-{depth}": Plan(blocks) for depth, blocks in _DEPTHS.items()},
    **{f"ip-{depth}": Plan(blocks, preserved=True) for depth, blocks in _DEPTHS.items()},
    "tiny": _TINY,
    "tiny-ip": replace(_TINY, preserved=True),
}
_CLIP = replace(CLIP, frames=32, stride=2)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"csn:{variant}", TINY_CLIP if variant.startswith("tiny") else _CLIP, POINTS, "Tran et al., ICCV 2019"
    )
    for variant in PLANS
}


class PreservedConv(nn.Module):
    """`depthwise(norm(pointwise(x)))`, `x_BCTHW -> BCTHW`: channels mix, then each looks around itself.

    Args:
        channels: C.
        stride: in time, height and width.
    """

    def __init__(self, channels: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.pointwise = nn.Conv3d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.depthwise = depthwise_conv(nn.Conv3d, channels, 3, stride)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Across, then around."""
        out: Tensor = self.depthwise(self.norm(self.pointwise(x_BCTHW)))
        return out


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised channel-separated network, `x_BCTHW -> logits_BK`.

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
            conv=nn.Conv3d(request.in_channels, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
            pool=nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
    )
    stages = []
    for channels, depth, stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = []
        for b in range(depth):
            blocks.append(_block(width, channels, stride if b == 0 else (1, 1), preserved=plan.preserved))
            width = channels * Bottleneck.expansion
        stages.append(nn.Sequential(*blocks))
    outputs = [channels * Bottleneck.expansion for channels in plan.channels]
    last = request.head(outputs, frames_left(request.frames, plan.strides))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


def _block(channels_in: int, channels: int, stride: tuple[int, int], *, preserved: bool) -> Bottleneck:
    """The bottleneck of either kind."""
    time, space = stride
    outputs = channels * Bottleneck.expansion
    steps = (time, space, space)
    around = PreservedConv(channels, steps) if preserved else depthwise_conv(nn.Conv3d, channels, 3, steps)
    convs = (
        nn.Conv3d(channels_in, channels, 1, bias=False),
        around,
        nn.Conv3d(channels, outputs, 1, bias=False),
    )
    return Bottleneck(convs, channels, nn.BatchNorm3d, shortcut(nn.Conv3d, channels_in, outputs, steps, nn.BatchNorm3d))


_MEASURED = "PyTorchVideo, models/csn.py, counted"
_MMACTION = "mmaction2, CSN metafile"
_MORE = "its count of operations is not of convolutions and matrix products alone"
_VMZ = "VMZ, Caffe2 model zoo"
_SIZE = "printed beside 224 x 224, it is the work at 256 x 256"
FIGURES: tuple[Figure, ...] = (
    Figure("ir-101", 400, (32, 224, 224), _MEASURED, millions="22.214", gmac=56.47),
    Figure(
        "ir-101",
        400,
        (32, 256, 256),
        _MEASURED,
        parameters=22_213_776,
        gmac=73.76,
        note="the PyTorchVideo model zoo prints 75.62 G",
    ),
    Figure("ir-50", 400, (32, 256, 256), _MMACTION, parameters=13_131_152, note=_MORE),
    Figure("ir-152", 400, (32, 256, 256), _MMACTION, parameters=29_703_568, note=_MORE),
    Figure("ip-152", 400, (32, 256, 256), _MMACTION, parameters=33_016_592, note=_MORE),
    Figure("ir-152", 400, (32, 256, 256), _VMZ, gmac=96.7, note=f"{_SIZE}; its 29.6 M leave out normalisations"),
    Figure("ip-152", 400, (32, 256, 256), _VMZ, gmac=108.8, note=f"{_SIZE}; its 32.8 M leave out normalisations"),
)
