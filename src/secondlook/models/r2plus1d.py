"""R(2+1)D: each 3D kernel factorised into space, then time (10/18 in torchvision's layout, 34 in IG-65M's, `tiny`).

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018; 34: Ghadiyaram et al.,
"Large-scale weakly-supervised pre-training for video action recognition", CVPR 2019; `late-temporal-bert`, section 1.9.
The channels between the two factors are those that keep the number of weights, reckoned as the published weights have
them: once a block (10, 18: torchvision's convention) or for each convolution (34, tiny: the paper's and IG-65M's).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.layers.factorised_conv import FactorisedConv, midplanes
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import BasicBlock, Norm, shortcut
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
    stem_mid: int = 45
    """Channels between the stem's two factors."""
    midplanes_a_block: bool = True
    """Reckon the channels between the factors once a block, from its input, and not for each convolution."""
    norm_eps: float = 1e-5


PLANS: Mapping[str, Plan] = {
    "10": Plan((1, 1, 1, 1)),
    "18": Plan((2, 2, 2, 2)),
    "34": Plan((3, 4, 6, 3), midplanes_a_block=False, norm_eps=1e-3),
    "tiny": Plan(
        (1, 1, 1, 1), (16, 24, 40, 64), ((1, 2), (2, 2), (2, 2), (1, 1)), stem_mid=12, midplanes_a_block=False
    ),
}
_CLIPS: Mapping[str, ClipSpec] = {"tiny": TINY_CLIP, "34": replace(KINETICS, frames=32, stride=1)}
_REFERENCES = {"34": "Ghadiyaram et al., CVPR 2019"}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"r2plus1d:{variant}",
        _CLIPS.get(variant, KINETICS),
        POINTS,
        _REFERENCES.get(variant, "Tran et al., CVPR 2018"),
    )
    for variant in PLANS
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised R(2+1)D network, `x_BCTHW -> logits_BK`.

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
    norm = partial(nn.BatchNorm3d, eps=plan.norm_eps)
    width = plan.channels[0]
    stem = nn.Sequential(
        OrderedDict(
            spatial=nn.Conv3d(request.in_channels, plan.stem_mid, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            norm1=norm(plan.stem_mid),
            act1=nn.ReLU(),
            temporal=nn.Conv3d(plan.stem_mid, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            norm2=norm(width),
            act2=nn.ReLU(),
        )
    )
    stages = []
    for channels, depth, stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = [_block(width, channels, stride, plan.midplanes_a_block, norm)]
        blocks += [_block(channels, channels, (1, 1), plan.midplanes_a_block, norm) for _ in range(depth - 1)]
        stages.append(nn.Sequential(*blocks))
        width = channels
    last = request.head(plan.channels, frames_left(request.frames, plan.strides))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


def _block(channels_in: int, channels: int, stride: tuple[int, int], mid_a_block: bool, norm: Norm) -> BasicBlock:
    mid1 = midplanes(channels_in, channels)
    mid2 = mid1 if mid_a_block else midplanes(channels, channels)
    conv1 = FactorisedConv(channels_in, channels, mid1, stride, norm)
    conv2 = FactorisedConv(channels, channels, mid2, (1, 1), norm)
    time, space = stride
    around = shortcut(nn.Conv3d, channels_in, channels, (time, space, space), norm)
    return BasicBlock(conv1, conv2, channels, norm, around)


_SPEC = "late-temporal-bert, section 8: R(2+1)D-34"
FIGURES: tuple[Figure, ...] = (
    Figure("18", 400, (16, 112, 112), "torchvision, r2plus1d_18", parameters=31_505_325, gmac=40.519),
    Figure("34", 51, (32, 112, 112), f"{_SPEC}; IG-65M's trunk, counted", parameters=63_518_138, gmac=152.36),
    Figure("34", 359, (32, 112, 112), _SPEC, parameters=63_676_142, note="its table 4.6 prints 63.67 M"),
    Figure("34", 51, (32, 112, 112), f"{_SPEC}-BERT, 32 frames", parameters=66_673_594, gmac=152.37, head="bert"),
    Figure("34", 51, (64, 112, 112), f"{_SPEC}-BERT, 64 frames", parameters=66_675_642, gmac=304.74, head="bert"),
)
