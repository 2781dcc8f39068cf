"""X3D (xs, s, m, l, xl, tiny): thin networks of channel-separated 3D convolutions, expanded one axis at a time.

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020, tables 1 to 3, as PySlowFast
builds it. xs, s and m are one network for clips of other lengths and sizes. Every second block of a stage has a
squeeze-and-excitation gate; the activation after its 3 x 3 x 3 convolution is Swish. All frames reach the head. The
paper's counts (3.76, 6.08 and 11.0 M) leave out normalisations.

Departs from PySlowFast where a clip is larger than those in training: its head averages over the whole map, not over
windows of the training size. PyTorchVideo's twin has no normalisation in the shortcut of the first stage.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import Sum, shortcut
from secondlook.layers.separable_conv import depthwise_conv
from secondlook.layers.squeeze_excitation import SqueezeExcitation, rounded
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork


@dataclass(frozen=True)
class Plan:
    """Depths and widths of a variant."""

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    """Of each stage's output; the stem has as many as the first."""
    hidden: int = 2048
    """Channels before the classifier."""
    strides: tuple[int, int, int, int] = (2, 2, 2, 2)
    """In space, of each stage's first block."""

    @property
    def inner(self) -> tuple[int, ...]:
        """Channels of the 3 x 3 x 3 convolutions."""
        return tuple(int(2.25 * c) for c in self.channels)


def expanded(width: float, depth: float) -> Plan:
    """The paper's basis, wider and deeper: 12, 24, 48, 96 channels times `width`, 1, 2, 5, 3 blocks times `depth`."""
    c1, c2, c3, c4 = (rounded(c, width) for c in (12, 24, 48, 96))
    b1, b2, b3, b4 = (math.ceil(depth * b) for b in (1, 2, 5, 3))
    return Plan((b1, b2, b3, b4), (c1, c2, c3, c4))


PLANS: Mapping[str, Plan] = {
    "xs": expanded(2.0, 2.2),
    "s": expanded(2.0, 2.2),
    "m": expanded(2.0, 2.2),
    "l": expanded(2.0, 5.0),
    "xl": expanded(2.9, 5.0),
    "tiny": Plan((1, 2, 2, 1), (8, 16, 24, 32), 128, (2, 2, 1, 1)),
}


def _clip(frames: int, stride: int, short_side: int, size: int) -> ClipSpec:
    grey, spread = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
    return ClipSpec(frames, "dense", stride, short_side, size, size, mean=grey, std=spread)


_CLIPS: Mapping[str, ClipSpec] = {
    "xs": _clip(4, 12, 182, 160),
    "s": _clip(13, 6, 182, 160),
    "m": _clip(16, 5, 256, 224),
    "l": _clip(16, 5, 356, 312),
    "xl": _clip(16, 5, 356, 312),
    "tiny": TINY_CLIP,
}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"x3d:{variant}", _CLIPS[variant], POINTS, "Feichtenhofer, CVPR 2020") for variant in PLANS
}


class Block(nn.Module):
    """A bottleneck that widens: 1 x 1 x 1, 3 x 3 x 3 depth-wise, 1 x 1 x 1, each normalised.

    `act3(norm3(conv3(act2(se(norm2(conv2(act1(norm1(conv1(x)))))))) + shortcut(x))`

    Args:
        channels_in: of the input.
        inner: of the depth-wise convolution.
        channels: of the output.
        stride: in space.
        gated: with a squeeze-and-excitation gate.
    """

    def __init__(self, channels_in: int, inner: int, channels: int, stride: int, *, gated: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, inner, 1, bias=False)
        self.norm1 = nn.BatchNorm3d(inner)
        self.act1 = nn.ReLU()
        self.conv2 = depthwise_conv(nn.Conv3d, inner, 3, (1, stride, stride))
        self.norm2 = nn.BatchNorm3d(inner)
        self.se: nn.Module = SqueezeExcitation(inner) if gated else nn.Identity()
        self.act2 = nn.SiLU()
        self.conv3 = nn.Conv3d(inner, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(channels)
        self.shortcut = shortcut(nn.Conv3d, channels_in, channels, (1, stride, stride), nn.BatchNorm3d)
        self.sum = Sum()
        self.act3 = nn.ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One residual step."""
        y = self.act1(self.norm1(self.conv1(x_BCTHW)))
        y = self.act2(self.se(self.norm2(self.conv2(y))))
        y = self.norm3(self.conv3(y))
        out: Tensor = self.act3(self.sum(y, self.shortcut(x_BCTHW)))
        return out


class X3DHead(nn.Module):
    """`logits_BK = W act(V mean_THW(act(norm(conv(features_BCTHW))))) + b`.

    Args:
        channels: of the features.
        inner: of the map that is averaged.
        hidden: before the classifier.
        num_classes: K.
        dropout: share dropped in training before the classifier.
    """

    def __init__(self, channels: int, inner: int, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, inner, 1, bias=False)
        self.norm = nn.BatchNorm3d(inner)
        self.act1 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.widen = nn.Conv3d(inner, hidden, 1, bias=False)
        self.act2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        pooled = self.pool(self.act1(self.norm(self.conv(features_BCTHW))))
        hidden_BC = self.act2(self.widen(pooled)).flatten(1)
        logits_BK: Tensor = self.classifier(self.dropout(hidden_BC))
        return logits_BK


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised X3D, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; the source's own, `X3DHead`, when left out.
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
            conv=nn.Conv3d(request.in_channels, width, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            temporal=nn.Conv3d(width, width, (5, 1, 1), padding=(2, 0, 0), groups=width, bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
        )
    )
    stages = []
    for channels, inner, depth, stride in zip(plan.channels, plan.inner, plan.blocks, plan.strides, strict=True):
        blocks = []
        for b in range(depth):
            blocks.append(Block(width, inner, channels, stride if b == 0 else 1, gated=b % 2 == 0))
            width = channels
        stages.append(nn.Sequential(*blocks))
    if request.head_name:
        last = request.head(plan.channels, request.frames)
    else:
        last = X3DHead(width, plan.inner[-1], plan.hidden, num_classes, request.dropout)
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


_MEASURED = "PySlowFast, counted"
_TEST = "PyTorchVideo at its test crop, counted"
FIGURES: tuple[Figure, ...] = (
    Figure("xs", 400, (4, 160, 160), _MEASURED, millions="3.794", gmac=0.605),
    Figure("s", 400, (13, 160, 160), _MEASURED, millions="3.794", gmac=1.963),
    Figure("m", 400, (16, 224, 224), _MEASURED, millions="3.794", gmac=4.732),
    Figure("l", 400, (16, 312, 312), _MEASURED, millions="6.153", gmac=18.368),
    Figure(
        "xs",
        400,
        (4, 182, 182),
        _TEST,
        millions="3.79",
        gmac=0.844,
        reproducible=False,
        note="there the head slides over four windows of the training size and classifies each; ours averages first",
    ),
    Figure("s", 400, (13, 182, 182), _TEST, millions="3.79", gmac=2.727, note="the model zoo prints 2.96 G"),
    Figure("m", 400, (16, 256, 256), _TEST, millions="3.79", gmac=6.186, note="the model zoo prints 6.72 G"),
    Figure("l", 400, (16, 356, 356), _TEST, millions="6.15", gmac=24.78, note="the model zoo prints 26.64 G"),
    Figure(
        "xl",
        400,
        (16, 356, 356),
        "X3D, results on Kinetics-400",
        gmac=48.4,
        note="its 11.0 M leave out normalisations; ours without them are 11,000,260",
    ),
)
