"""R3D and R(2+1)D of the SRTG work (r3d-18 ... r3d-101, r2plus1d-18 ... -101, wide-r3d-50, tiny): narrow bottlenecks.

Stergiou, Poppe, "Learn to cycle: Time-consistent feature discovery for action recognition", Pattern Recognition Letters
2021; `srtg-mtnet-classreg-visualisation`, section 2.1. Bottlenecks do not widen: all their convolutions have the
stage's width (in `wide-r3d-50` the inner ones have twice that). The channels between the factors of a (2+1)D
convolution are reckoned once a block, from the block's input and output. The stem of R(2+1)D has 45 channels between
its factors.

Two stems are in use: the thesis prints a 7 x 7 x 7 kernel, which is what is built; its repository has 3 x 7 x 7
(`stem_kernel=3`). Neither prints whether a max-pool follows; the repository's last state has one, its first have none
(`max_pool=False`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.layers.class_regularisation import ClassRegularisation
from secondlook.layers.factorised_conv import FactorisedConv, midplanes
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.recursive_block import check_placement, recursive_block
from secondlook.layers.residual import BasicBlock, Bottleneck, shortcut
from secondlook.layers.squeeze_recursion import RecursionSettings
from secondlook.models._figures import Figure
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import KINETICS, POINTS, TINY_CLIP, StagedNetwork, frames_left


@dataclass(frozen=True)
class Plan:
    """Kind, widths, depths and strides of a variant."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = True
    factorised: bool = False
    """(2+1)D convolutions in the place of 3 x 3 x 3 ones."""
    widen: int = 1
    """Inner width of a bottleneck, in widths of its stage."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem_mid: int = 45
    """Channels between the factors of a (2+1)D stem."""
    strides: tuple[tuple[int, int], ...] = ((1, 1), (2, 2), (2, 2), (2, 2))
    """(time, space) of each stage's first block."""


_TINY = Plan(
    (1, 1, 1, 1), channels=(16, 24, 40, 64), stem_mid=12, strides=((1, 1), (2, 2), (2, 2), (1, 1)), bottleneck=False
)
PLANS: Mapping[str, Plan] = {
    "r3d-18": Plan((2, 2, 2, 2), bottleneck=False),
    "r3d-34": Plan((3, 4, 6, 3), bottleneck=False),
    "r3d-50": Plan((3, 4, 6, 3)),
    "r3d-101": Plan((3, 4, 23, 3)),
    "wide-r3d-50": Plan((3, 4, 6, 3), widen=2),
    "r2plus1d-18": Plan((2, 2, 2, 2), bottleneck=False, factorised=True),
    "r2plus1d-34": Plan((3, 4, 6, 3), bottleneck=False, factorised=True),
    "r2plus1d-50": Plan((3, 4, 6, 3), factorised=True),
    "r2plus1d-101": Plan((3, 4, 23, 3), factorised=True),
    "tiny": _TINY,
    "tiny-bottleneck": replace(_TINY, bottleneck=True),
    "tiny-r2plus1d": replace(_TINY, factorised=True),
}
_CLIP = replace(
    KINETICS,
    short_side=320,
    height=224,
    width=224,
    mean=(124 / 255, 117 / 255, 104 / 255),
    std=(1 / (0.0167 * 255),) * 3,
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"r3d:{variant}",
        TINY_CLIP if variant.startswith("tiny") else _CLIP,
        POINTS,
        "Stergiou, Poppe, Pattern Recognition Letters 2021",
    )
    for variant in PLANS
}


RATES = (0.9, 0.8, 0.7, 0.6)
"""Affection rates of Class Regularisation, stage by stage (table 6.1)."""


class Options(CommonOptions, total=False):
    """What `build` takes."""

    stem_kernel: int
    """T of the stem's kernel, odd: 7 when left out, 3 for (2+1)D."""
    max_pool: bool
    """A 3 x 3 x 3 max-pool of stride 2 ends the stem; it does when left out."""
    srtg: bool
    """Squeeze and Recursion with a temporal gate in each block: False."""
    placement: str
    """Where in the block: start, top, mid, end, res, final (after the last activation) or sum (before it); top and end
    only in bottlenecks: final."""
    cell: str
    """lstm, gru, rnn, lstm-peephole, lstm-literal or gru-literal: lstm."""
    recursion_layers: int
    """Layers of the recurrent network: 2."""
    gates: bool | str
    """Its gates; False: none, each clip passes; evaluation: none in training: True."""
    gate_criterion: str
    """index (frame t finds frame t of the other sequence) or cycle (it comes back to itself): index."""
    gate_temperature: float
    """Of the soft nearest neighbour: 1."""
    gate_normalise: bool
    """The gates compare frames scaled to length 1: False."""
    gate_warmup_steps: int
    """Training steps before the gates are active: 0."""
    fuse: str
    """multiply (`a h`), sigmoid (`a sigmoid(h)`) or residual (`a (1 + h)`): multiply."""
    class_regularisation: bool
    """Class Regularisation after each stage: False."""
    class_rates: Sequence[float]
    """Its affection rates, stage by stage, 1 having no effect: 0.9, 0.8, 0.7 and 0.6."""
    class_selection: str
    """A class is selected by the sum of what its channels give, or by their max: sum."""
    class_range: str
    """Scales lie in [rate, 1] (one_sided) or [rate, 2 - rate] (two_sided): one_sided."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised R3D or R(2+1)D, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, such as an even stem kernel.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    kernel = options.get("stem_kernel", 3 if plan.factorised else 7)
    if kernel < 1 or kernel % 2 == 0:
        raise BadValue(kernel, "stem_kernel must be odd, so that the clip keeps its frames", "Give 3 or 7.")
    pool = options.get("max_pool", True)
    recursive = _recursion(plan, options)
    stages, width = [], plan.channels[0]
    for channels, depth, stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = [_block(plan, width, channels, stride)]
        blocks += [_block(plan, channels, channels, (1, 1)) for _ in range(depth - 1)]
        if options.get("srtg", False):
            inner = channels * plan.widen
            widths = [(width, inner, channels), *[(channels, inner, channels)] * (depth - 1)]
            stages.append(nn.Sequential(*[recursive(b, c) for b, c in zip(blocks, widths, strict=True)]))
        else:
            stages.append(nn.Sequential(*blocks))
        width = channels
    strides = (*([(2, 2)] if pool else []), *plan.strides)
    last = request.head(plan.channels, frames_left(request.frames, strides))
    if options.get("class_regularisation", False):
        classifier = last.get_submodule("classifier")
        assert isinstance(classifier, nn.Linear)
        selection, span = options.get("class_selection", "sum"), options.get("class_range", "one_sided")
        for stage, channels, rate in zip(stages, plan.channels, _rates(options), strict=True):
            regularisation = ClassRegularisation(channels, classifier, rate, selection=selection, range=span)
            stage.add_module("class_regularisation", regularisation)
    return kaiming_(StagedNetwork(request.in_channels, _stem(plan, request.in_channels, kernel, pool), stages, last))


def _recursion(plan: Plan, options: Options) -> Callable[[BasicBlock | Bottleneck, tuple[int, int, int]], nn.Module]:
    """What puts the recursion that was asked for into a block of so many channels before, inside and after."""
    settings = RecursionSettings(
        options.get("cell", "lstm"),
        options.get("recursion_layers", 2),
        options.get("gates", True),
        options.get("gate_criterion", "index"),
        options.get("gate_temperature", 1.0),
        options.get("gate_normalise", False),
        options.get("gate_warmup_steps", 0),
        options.get("fuse", "multiply"),
    )
    placement = options.get("placement", "final")
    check_placement(placement, bottleneck=plan.bottleneck)
    return lambda block, channels: recursive_block(block, settings.make, placement, channels)


def _rates(options: Options) -> tuple[float, ...]:
    rates = options.get("class_rates", RATES)
    if not isinstance(rates, list | tuple) or len(rates) != len(RATES):
        raise BadValue(rates, "class_rates must be four numbers, one a stage", "The usual are 0.9, 0.8, 0.7 and 0.6.")
    return tuple(rates)


def _stem(plan: Plan, in_channels: int, kernel: int, pool: bool) -> nn.Sequential:
    width, middle, pad = plan.channels[0], plan.stem_mid, kernel // 2
    parts = OrderedDict[str, nn.Module]()
    if plan.factorised:
        parts["spatial"] = nn.Conv3d(in_channels, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        parts["norm1"] = nn.BatchNorm3d(middle)
        parts["act1"] = nn.ReLU()
        parts["temporal"] = nn.Conv3d(middle, width, (kernel, 1, 1), 1, (pad, 0, 0), bias=False)
        parts["norm2"] = nn.BatchNorm3d(width)
        parts["act2"] = nn.ReLU()
    else:
        parts["conv"] = nn.Conv3d(in_channels, width, (kernel, 7, 7), (1, 2, 2), (pad, 3, 3), bias=False)
        parts["norm"] = nn.BatchNorm3d(width)
        parts["act"] = nn.ReLU()
    if pool:
        parts["pool"] = nn.MaxPool3d(3, 2, 1)
    return nn.Sequential(parts)


def _block(plan: Plan, channels_in: int, channels: int, stride: tuple[int, int]) -> BasicBlock | Bottleneck:
    middle = midplanes(channels_in, channels) * plan.widen

    def conv(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Module:
        if plan.factorised:
            return FactorisedConv(inputs, outputs, middle, stride, nn.BatchNorm3d)
        return nn.Conv3d(inputs, outputs, 3, (stride[0], stride[1], stride[1]), 1, bias=False)

    around = shortcut(nn.Conv3d, channels_in, channels, (stride[0], stride[1], stride[1]), nn.BatchNorm3d)
    if not plan.bottleneck:
        conv1, conv2 = conv(channels_in, channels, stride), conv(channels, channels, (1, 1))
        return BasicBlock(conv1, conv2, channels, nn.BatchNorm3d, around)
    inner = channels * plan.widen
    convs = (
        nn.Conv3d(channels_in, inner, 1, bias=False),
        conv(inner, inner, stride),
        nn.Conv3d(inner, channels, 1, bias=False),
    )
    return Bottleneck(convs, inner, nn.BatchNorm3d, around, channels)


_THESIS = "srtg-mtnet-classreg-visualisation, item 20"
_COUNTED = "Squeeze-and-Recursion-Temporal-Gates, network/srtg_resnet.py, counted"
_PRINTED = {
    "r3d-34": (26.6, "63.72", "63.68", 42.65),
    "r3d-50": (52.6, "36.76", "", 26.47),  # 36.73 in the peer study; 36,762,320 less the stem's 37,632 is 36.72
    "r3d-101": (78.0, "69.10", "69.06", 39.13),
    "r2plus1d-34": (37.8, "61.83", "61.83", 40.28),
    "r2plus1d-50": (83.3, "34.86", "34.86", 24.83),
    "r2plus1d-101": (163.0, "67.22", "67.22", 37.50),
}
_RECURSIVE = {
    "r3d-34": "83.86", "r3d-101": "107.14", "r2plus1d-34": "82.01", "r2plus1d-50": "55.04", "r2plus1d-101": "105.29",
}  # fmt: skip
_NOTE = "the {} G of the thesis (table 4.2) follow from no reading of its text"
FIGURES: tuple[Figure, ...] = (
    *(
        Figure(variant, 400, (16, 224, 224), _THESIS, millions=millions, note=_NOTE.format(g))
        for variant, (g, millions, _, _) in _PRINTED.items()
    ),
    Figure("wide-r3d-50", 400, (16, 224, 224), _THESIS, millions="140.98", note="the 168.6 G of table 6.4, likewise"),
    *(
        Figure(variant, 400, (16, 224, 224), _COUNTED, millions=millions, gmac=gmac, options={"stem_kernel": 3})
        for variant, (_, _, millions, gmac) in _PRINTED.items()
    ),
    *(
        Figure(variant, 400, (16, 224, 224), _COUNTED, millions=m, options={"stem_kernel": 3, "srtg": True})
        for variant, m in _RECURSIVE.items()
    ),
)
