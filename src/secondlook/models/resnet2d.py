"""2D ResNet on each frame alone (18, 34, 50, 101, `tiny`): TSN with its own head, late temporal models with others.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; Wang et al., "Temporal Segment Networks", ECCV
2016; `late-temporal-bert`, sections 1.16, 1.24 and 1.25. No frame sees another before the head, and the head `average`
does not care for their order. conv2_x to conv5_x of the paper are `layer1` to `layer4`; `stage_maps` gives all four.
With 20 input channels it is the temporal net of the classical two-stream pair: ten flow fields a frame. With
`reduce_to` the last block is the narrow one of FRMB (section 1.21), whose structure in 2D the source does not give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.layers.feature_reduction import reduction_unit
from secondlook.layers.kaiming import kaiming_
from secondlook.models._figures import Figure
from secondlook.models._frame_network import FrameNetwork
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._resnet2d import PLANS, trunk
from secondlook.models._staged import IMAGENET, POINTS_FOLDED, TINY_CLIP

_REFERENCE = "He et al., CVPR 2016; Wang et al., ECCV 2016"
_CLIP = replace(IMAGENET, frames=16)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"resnet2d:{variant}", TINY_CLIP if variant == "tiny" else _CLIP, POINTS_FOLDED, _REFERENCE, order_blind=True
    )
    for variant in PLANS
}


class Options(CommonOptions, total=False):
    """What `build` takes."""

    reduce_to: int
    """FRMB: channels that the last block gives, in the place of the plan's; 512 in the source."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised 2D ResNet, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, or if the last block cannot be reduced.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    parts = trunk(plan, request.in_channels)
    widths = list(parts.widths)
    if "reduce_to" in options:
        if plan.blocks[3] == 1 and plan.strides[3] != 1:
            raise BadValue(variant, "its last block carries a stride, so that it cannot be reduced", "Take 18 or more.")
        entering = widths[3] if plan.blocks[3] > 1 else widths[2]
        widths[3] = options["reduce_to"]
        stage = parts.stages[3]
        assert isinstance(stage, nn.Sequential)
        stage[-1] = reduction_unit(entering, widths[3], flat=True)
    last = request.head(widths, request.frames)
    return kaiming_(FrameNetwork(request.in_channels, parts.stem, parts.stages, last))


_SPEC = "late-temporal-bert, section"
_A_FRAME = "printed for one frame; normalisations, activations and pools count there"


def _alone(variant: str, backbone: int, width: int, gmac: float | None) -> Figure:
    """A backbone's printed count, which has no classifier, with one of 51 classes."""
    parameters = backbone + 51 * (width + 1)
    return Figure(variant, 51, (1, 224, 224), f"{_SPEC} 8", parameters=parameters, gmac=gmac, note=_A_FRAME)


def _late(variant: str, head: str, count: int | str, **head_options: object) -> Figure:
    """A row of the tables of late temporal heads: 16 frames, HMDB51."""
    parameters, millions = (count, "") if isinstance(count, int) else (None, count)
    options = {"head_options": head_options} if head_options else {}
    return Figure(
        variant,
        51,
        (16, 224, 224),
        f"{_SPEC} 1.24",
        parameters=parameters,
        millions=millions,
        head=head,
        options=options,
    )


FIGURES: tuple[Figure, ...] = (
    Figure("50", 400, (8, 224, 224), "TSM release, ops/models.py, TSN ResNet-50", millions="24.328", gmac=32.70),
    *(
        Figure(variant, 1000, (1, 224, 224), f"torchvision, resnet{variant}", parameters=count, gmac=gmac)
        for variant, count, gmac in (
            ("18", 11_689_512, 1.814),
            ("34", 21_797_672, 3.664),
            ("50", 25_557_032, 4.089),
            ("101", 44_549_160, 7.801),
        )
    ),
    _alone("18", 11_176_512, 512, 1.82),
    _alone("34", 21_284_672, 512, 3.68),
    _alone("50", 23_508_032, 2048, None),
    _alone("101", 42_500_160, 2048, None),
    _late("18", "single_frame", 11_202_675),
    _late("18", "average", 11_202_675),
    _late("18", "non_local", "12.25"),
    _late("18", "concat", 11_594_355),
    _late("18", "non_local", "12.64", then="concat"),
    _late("18", "lstm", 15_405_171),
    _late("18", "conv_gru", 14_933_883),
    _late("18", "bert", 14_364_275),
    _late("18", "stage_fusion", 11_907_699),
    _late("34", "stage_fusion", 22_015_859),
    _late("50", "stage_fusion", "26.43"),
    _late("101", "stage_fusion", "45.42"),
)
