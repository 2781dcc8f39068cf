"""Hara's 3D ResNets (10, 18, 34, 50, 101, 152, 200, resnext101, tiny, tiny-resnext): 7 x 7 x 7 stem, then a max-pool.

Hara, Kataoka, Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", CVPR 2018, table 1;
`late-temporal-bert`, section 1.6. `resnext101` is also the network of Crasto et al., "MARS: Motion-Augmented RGB Stream
for Action Recognition", CVPR 2019. The max-pool and three stages stride in time as in space: of T frames, T / 16 are
left. The stride of a bottleneck is on its 3 x 3 x 3 convolution, and shortcuts that change the shape are convolutions
(type B of the paper). Departs from the code, whose last average pool has the size of the training clips' map: the
whole map is averaged. With `reduce_to` the last block is the narrow one of FRMB (`late-temporal-bert`, section 1.21).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.layers.feature_reduction import reduction_unit
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import BasicBlock, Bottleneck, shortcut
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import KINETICS, POINTS, TINY_CLIP, StagedNetwork, frames_left


@dataclass(frozen=True)
class Plan:
    """Widths, depths and strides of a variant."""

    blocks: tuple[int, int, int, int]
    expansion: int = 0
    """A bottleneck gives so many times its inner width; 0: basic blocks."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """(Inner) width of each stage's blocks."""
    groups: int = 1
    """Cardinality of the bottlenecks' 3 x 3 x 3 convolutions."""
    stem: int = 64
    """Channels of the stem."""
    strides: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (2, 2), (2, 2))
    """(time, space) of each stage's first block."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of each stage's map."""
        return tuple(c * (self.expansion or 1) for c in self.channels)


_TINY_STRIDES = ((1, 1), (2, 2), (2, 2), (1, 1))
PLANS: Mapping[str, Plan] = {
    "10": Plan((1, 1, 1, 1)),
    "18": Plan((2, 2, 2, 2)),
    "34": Plan((3, 4, 6, 3)),
    "50": Plan((3, 4, 6, 3), expansion=4),
    "101": Plan((3, 4, 23, 3), expansion=4),
    "152": Plan((3, 8, 36, 3), expansion=4),
    "200": Plan((3, 24, 36, 3), expansion=4),
    "resnext101": Plan((3, 4, 23, 3), expansion=2, channels=(128, 256, 512, 1024), groups=32),
    "tiny": Plan((1, 1, 1, 1), channels=(16, 32, 48, 64), stem=12, strides=_TINY_STRIDES),
    "tiny-resnext": Plan(
        (1, 1, 1, 1), expansion=2, channels=(16, 24, 40, 48), groups=4, stem=12, strides=_TINY_STRIDES
    ),
}
_CLIP = replace(KINETICS, mean=(0.4345, 0.4051, 0.3775), std=(0.2768, 0.2713, 0.2737), short_side=112, stride=1)
"""That of the weights trained on 700 classes."""
_ACTIVITYNET = (114.7748 / 255, 107.7354 / 255, 99.4750 / 255)
_CLIPS = {
    "resnext101": replace(_CLIP, mean=_ACTIVITYNET, std=(1 / 255, 1 / 255, 1 / 255)),
    "tiny": TINY_CLIP,
    "tiny-resnext": TINY_CLIP,
}
_REFERENCES = {"resnext101": "Hara et al., CVPR 2018; Crasto et al., CVPR 2019 (MARS)"}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"hara:{variant}", _CLIPS.get(variant, _CLIP), POINTS, _REFERENCES.get(variant, "Hara et al., CVPR 2018")
    )
    for variant in PLANS
}


class Options(CommonOptions, total=False):
    """What `build` takes."""

    reduce_to: int
    """FRMB: channels that the last block gives, in the place of the plan's; 512 in the source."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised 3D ResNet or ResNeXt of Hara's plan, `x_BCTHW -> logits_BK`.

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
    stem = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(request.in_channels, plan.stem, 7, (1, 2, 2), 3, bias=False),
            norm=nn.BatchNorm3d(plan.stem),
            act=nn.ReLU(),
            pool=nn.MaxPool3d(3, 2, 1),
        )
    )
    stages, width = [], plan.stem
    for channels, given, depth, stride in zip(plan.channels, plan.outputs, plan.blocks, plan.strides, strict=True):
        blocks = []
        for b in range(depth):
            blocks.append(_block(plan, width, channels, given, stride if b == 0 else (1, 1)))
            width = given
        stages.append(nn.Sequential(*blocks))
    outputs = list(plan.outputs)
    if "reduce_to" in options:
        if plan.blocks[3] == 1 and plan.strides[3] != (1, 1):
            raise BadValue(variant, "its last block carries a stride, so that it cannot be reduced", "Take 18 or more.")
        outputs[3] = options["reduce_to"]
        entering = plan.outputs[3] if plan.blocks[3] > 1 else plan.outputs[2]
        stages[3][-1] = reduction_unit(entering, outputs[3], plan.groups)
    last = request.head(outputs, frames_left(request.frames, ((2, 2), *plan.strides)))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


def _block(plan: Plan, channels_in: int, channels: int, outputs: int, stride: tuple[int, int]) -> nn.Module:
    time, space = stride
    strides = (time, space, space)
    around = shortcut(nn.Conv3d, channels_in, outputs, strides, nn.BatchNorm3d)
    if not plan.expansion:
        conv1 = nn.Conv3d(channels_in, channels, 3, strides, 1, bias=False)
        return BasicBlock(conv1, nn.Conv3d(channels, channels, 3, 1, 1, bias=False), channels, nn.BatchNorm3d, around)
    convs = (
        nn.Conv3d(channels_in, channels, 1, bias=False),
        nn.Conv3d(channels, channels, 3, strides, 1, groups=plan.groups, bias=False),
        nn.Conv3d(channels, outputs, 1, bias=False),
    )
    return Bottleneck(convs, channels, nn.BatchNorm3d, around, outputs)


_HARA = "3D-ResNets-PyTorch, models/resnet.py, counted"
_MARS = "MARS, models/resnext.py, counted"
_SPEC = "late-temporal-bert, section 8"
_ALSO = "its {} G also count normalisations, activations and pools"
_LATE: tuple[tuple[str, str, float, str, dict[str, Any]], ...] = (
    ("BERT, FRMB", "47.378", 38.07, "bert", {}),
    ("BERT, FRAB", "52.465", 38.40, "frab", {"groups": 32}),
    ("LSTM", "47.578", 38.06, "lstm", {"hidden": 450}),
    ("NLB", "47.348", 38.13, "non_local", {"norm": True, "then": "concat_fc", "then_options": {"hidden": 1000}}),
    ("concat", "47.451", 38.06, "concat_fc", {"hidden": 1550}),
)
"""Head, millions, G, head here and its options; all but FRAB over 512 channels that the last block gives."""
FIGURES: tuple[Figure, ...] = (
    Figure("18", 700, (16, 112, 112), _HARA, millions="33.56", gmac=8.31),
    Figure("34", 700, (16, 112, 112), _HARA, millions="63.87", gmac=12.70),
    Figure("50", 700, (16, 112, 112), _HARA, millions="47.63", gmac=10.07),
    Figure("101", 700, (16, 112, 112), _HARA, millions="86.68", gmac=13.89),
    Figure("152", 700, (16, 112, 112), _HARA, millions="118.84", gmac=18.61),
    Figure("200", 700, (16, 112, 112), _HARA, millions="128.04", gmac=25.81),
    Figure("101", 51, (16, 112, 112), f"{_SPEC}: 3D ResNet101", parameters=85_349_619, note=_ALSO.format("13.950")),
    Figure("resnext101", 400, (16, 112, 112), _MARS, millions="48.341", gmac=9.568),
    Figure("resnext101", 400, (64, 112, 112), _MARS, millions="48.341", gmac=38.27),
    Figure("resnext101", 400, (16, 112, 112), f"{_MARS}, flow", millions="48.319", gmac=8.466, in_channels=2),
    Figure("resnext101", 400, (64, 112, 112), f"{_MARS}, flow", millions="48.319", gmac=33.86, in_channels=2),
    Figure(
        "resnext101",
        51,
        (16, 112, 112),
        f"{_SPEC}: 3D ResNeXt101",
        parameters=47_625_715,
        note=_ALSO.format("9.643"),
    ),
    Figure(
        "resnext101",
        51,
        (64, 112, 112),
        f"{_SPEC}: 3D ResNeXt101 flow 64f",
        parameters=47_603_763,
        in_channels=2,
        note=_ALSO.format("34.164"),
    ),
    *(
        Figure(
            "resnext101",
            51,
            (64, 112, 112),
            f"{_SPEC}: ResNeXt101-FRMB{name}",
            parameters=count,
            in_channels=channels,
            head=late,
            options={"reduce_to": 512},
            note=_ALSO.format(giga),
        )
        for name, count, channels, late, giga in (
            (" average", 44_222_451, 3, "average", "38.357"),
            ("-BERT RGB", 47_377_907, 3, "bert", "38.373"),
            ("-BERT flow", 47_355_955, 2, "bert", "33.967"),
        )
    ),
    *(
        Figure(
            "resnext101",
            51,
            (64, 112, 112),
            f"LateTemporalModeling3DCNN, counted: {name}",
            millions=millions,
            gmac=gmac,
            head=late,
            options={"head_options": own} | ({} if late == "frab" else {"reduce_to": 512}),
        )
        for name, millions, gmac, late, own in _LATE
    ),
)
