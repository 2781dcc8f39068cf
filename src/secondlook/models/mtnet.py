"""MTNet (s, m, l, tiny): X3D's plan with dense multi-temporal convolutions, and a recursion over time in every block.

Stergiou, Poppe, "Multi-Temporal Convolutions for Human Action Recognition in Videos", IJCNN 2021; Stergiou, "Efficient
Modelling Across Time of Human Actions and Interactions", 2021, section 5.3.3; `srtg-mtnet-classreg-visualisation`,
section 2.10. X3D's stem, strides and head; no squeeze-and-excitation, and ReLU for Swish. s and m are one network for
clips of other lengths and sizes.

The 25.8 and 50.1 M weights, and 5.8, 8.8 and 17.6 G, that are printed follow from no reading of the text: with one
layer of recursion and 200 classes, dense convolutions have 56.5 and 121 M, depth-wise ones 5.7 and 10.8. Dense is what
its equations say. The differences it prints between cells are those of one layer; the text, and this, has two.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.class_regularisation import ClassRegularisation
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.multi_temporal import MultiTemporalOptions
from secondlook.layers.multi_temporal_block import MultiTemporalBlock
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork
from secondlook.models.x3d import X3DHead


@dataclass(frozen=True)
class Plan:
    """Depths and widths of a variant."""

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = (24, 48, 96, 192)
    """Of each stage's output; the stem has as many as the first."""
    inner: tuple[int, int, int, int] = (54, 108, 216, 432)
    """Of the 3 x 3 x 3 convolutions."""
    hidden: int = 2048
    """Channels before the classifier."""
    strides: tuple[int, int, int, int] = (2, 2, 2, 2)
    """In space, of each stage's first block; there is none in time."""


PLANS: Mapping[str, Plan] = {
    "s": Plan((3, 5, 11, 7)),
    "m": Plan((3, 5, 11, 7)),
    "l": Plan((5, 10, 25, 15)),
    "tiny": Plan((1, 1, 1, 1), (8, 16, 24, 32), (18, 36, 54, 72), 128, (2, 2, 2, 1)),
}


def _clip(frames: int, short_side: int, size: int) -> ClipSpec:
    grey, spread = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
    return ClipSpec(frames, "dense", 5, short_side, size, size, mean=grey, std=spread)


_CLIPS: Mapping[str, ClipSpec] = {
    "s": _clip(13, 228, 182),  # 320 and 256, made smaller by 182 / 256
    "m": _clip(16, 320, 256),
    "l": _clip(16, 320, 256),
    "tiny": TINY_CLIP,
}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"mtnet:{variant}", _CLIPS[variant], POINTS, "Stergiou, Poppe, IJCNN 2021") for variant in PLANS
}
RATES = (0.9, 0.8, 0.7, 0.6)
"""Affection rates of Class Regularisation, stage by stage (table 6.1)."""


class Options(CommonOptions, MultiTemporalOptions, total=False):
    """What `build` takes."""

    cell: str
    """Of the recursion: `gru` (others: `rnn`, `lstm`, `lstm-peephole`)."""
    recursion_layers: int
    """One upon the other: 2."""
    recursion_place: str
    """`before` the sum, on what the last convolution gives; `final`: after the last activation: `before`."""
    all_multi_temporal: bool
    """The 1 x 1 x 1 convolutions are multi-temporal as well: False."""
    class_regularisation: bool
    """Class Regularisation after each stage: False."""
    class_rates: Sequence[float]
    """Its affection rates, stage by stage, 1 having no effect: 0.9, 0.8, 0.7 and 0.6."""


_OF_BLOCKS = (
    *sorted(MultiTemporalOptions.__optional_keys__),
    "cell",
    "recursion_layers",
    "recursion_place",
    "all_multi_temporal",
)


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised MTNet, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; X3D's own, `X3DHead`, when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head, option, pooling, cell or place that does not exist.
        BadValue: for a number that cannot be, such as a ratio outside (0, 1].
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    of_blocks: dict[str, object] = {name: options[name] for name in _OF_BLOCKS if name in options}  # type: ignore[literal-required]
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
            step = (1, stride if b == 0 else 1)
            blocks.append(MultiTemporalBlock(width, inner, channels, step, **of_blocks))  # type: ignore[arg-type]
            width = channels
        stages.append(nn.Sequential(*blocks))
    if request.head_name:
        last = request.head(plan.channels, request.frames)
    else:
        last = X3DHead(width, plan.inner[-1], plan.hidden, num_classes, request.dropout)
    if options.get("class_regularisation", False):
        classifier = last.get_submodule("classifier")
        assert isinstance(classifier, nn.Linear)
        rates = options.get("class_rates", RATES)
        if len(rates) != len(stages):
            raise BadValue(rates, "class_rates must be four numbers, one a stage", "The usual are 0.9, 0.8, 0.7, 0.6.")
        for stage, channels, rate in zip(stages, plan.channels, rates, strict=True):
            stage.add_module("class_regularisation", ClassRegularisation(channels, classifier, rate))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last))


_PRINTED = "Stergiou 2021, tables 5.1 and 5.5"
_DERIVED = "srtg-mtnet-classreg-visualisation, section 11.4"
_NOTE = "between the dense and the depth-wise reading of its text; none gives it"
_SHALLOW = {"recursion_layers": 1}
_THIN = {"recursion_layers": 1, "depthwise": True}
FIGURES: tuple[Figure, ...] = (
    Figure("s", 200, (13, 182, 182), _PRINTED, millions="25.8", gmac=5.8, reproducible=False, note=_NOTE),
    Figure("m", 200, (16, 256, 256), _PRINTED, millions="25.8", gmac=8.8, reproducible=False, note=_NOTE),
    Figure("l", 200, (16, 256, 256), _PRINTED, millions="50.1", gmac=17.6, reproducible=False, note=_NOTE),
    Figure("m", 200, (16, 256, 256), f"{_DERIVED}, dense", millions="56.5", options=_SHALLOW),
    Figure("l", 200, (16, 256, 256), f"{_DERIVED}, dense", millions="121", options=_SHALLOW),
    Figure("m", 200, (16, 256, 256), f"{_DERIVED}, depth-wise", millions="5.7", options=_THIN),
    Figure("l", 200, (16, 256, 256), f"{_DERIVED}, depth-wise", millions="10.8", options=_THIN),
)
