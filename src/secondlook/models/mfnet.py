"""MFNet-3D: residual units whose convolutions run in 16 fibers, with multiplexers between them (`3d`, `tiny`).

Chen et al., "Multi-Fiber Networks for Video Recognition", ECCV 2018, table 1, as its release builds it;
`late-temporal-bert`, section 1.14 (which counts units without the first of each stage). Normalisation and activation
come before each convolution, so that `layer4` ends with both. The only stride in time is that of `layer1`: T' is T / 2,
rounded up, and C is 768.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.multi_fiber import MultiFiberUnit
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork


@dataclass(frozen=True)
class Plan:
    """Depths and widths of a variant."""

    units: tuple[int, int, int, int] = (3, 4, 6, 3)
    channels: tuple[int, int, int, int] = (96, 192, 384, 768)
    """Of each stage, inside its units and after them."""
    stem: int = 16
    fibers: int = 16


STRIDES = ((2, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
"""T x H x W of each stage's first unit."""
PLANS: Mapping[str, Plan] = {"3d": Plan(), "tiny": Plan((1, 2, 2, 1), (16, 32, 48, 64), 8, 4)}
_SCALE = 1 / (0.0167 * 255)
_CLIP = ClipSpec(
    frames=16,
    sampling="dense",
    stride=2,
    short_side=256,
    height=224,
    width=224,
    mean=(124 / 255, 117 / 255, 104 / 255),
    std=(_SCALE, _SCALE, _SCALE),
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"mfnet:{variant}", TINY_CLIP if variant == "tiny" else _CLIP, POINTS, "Chen et al., ECCV 2018")
    for variant in PLANS
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised MFNet-3D, `x_BCTHW -> logits_BK`.

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
    width = plan.stem
    stem = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(request.in_channels, width, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
            pool=nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
    )
    stages = []
    for channels, depth, stride in zip(plan.channels, plan.units, STRIDES, strict=True):
        units = [MultiFiberUnit(width, channels, channels, plan.fibers, stride, first=True)]
        units += [MultiFiberUnit(channels, channels, channels, plan.fibers) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*units))
        width = channels
    stages[-1].add_module("norm", nn.BatchNorm3d(width))
    stages[-1].add_module("act", nn.ReLU())
    last = request.head(plan.channels, -(-request.frames // 2))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


FIGURES: tuple[Figure, ...] = (
    Figure(
        "3d",
        51,
        (16, 224, 224),
        "late-temporal-bert, section 8: MFNET-3D 16f",
        parameters=7_727_987,
        note="its 11.245 G also count normalisations, activations and pools",
    ),
    Figure("3d", 400, (16, 224, 224), "MFNet release, counted", millions="7.996", gmac=11.05),
)
