"""MoViNet: a searched mobile 3D network (a0), its causal twin that can be fed frame by frame (a0-stream), tiny ones.

Kondratyuk et al., "MoViNets: Mobile Video Networks for Efficient Video Recognition", CVPR 2021. Blocks widen the
channels, convolve each one in space and time, gate them, and narrow them again: `y = shortcut(x) + scale f(x)`. The
stream variants see no later frame: their kernels are cut into space, then time, padded in front (`layers.causal_conv`),
their gates read running means, and they use hard activations. T is free, and no stride goes along time.

Widths, kernels and activations are those of the authors' release (TensorFlow Model Garden, `official/projects/movinet`;
block 2 is 24 wide, where the paper has 40), the hard sigmoid, `clip(x / 5 + 1/2, 0, 1)`, that of the release's weights
as converted to PyTorch (Atze00/MoViNet-pytorch). Padding is TensorFlow's "same". Departs from the release: the scale of
a block starts at 0.3, not 0, so that every weight learns from the first step; running statistics forget with torch's
usual momentum 0.1, not 0.01; and there is no stochastic depth.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.causal_conv import CausalConv3d
from secondlook.layers.causal_squeeze import SqueezeExcitation
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import Sum
from secondlook.layers.same_padding import SameAvgPool, SameConv3d
from secondlook.models._figures import Figure
from secondlook.models._recogniser import Recogniser
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP
from secondlook.models._streaming import Stream, linear_classifier

Kernel = tuple[int, int]
"""Width in time, and in height and width."""
_START = 0.3
"""Scale of a block's branch before training."""
_NORM = partial(nn.BatchNorm3d, eps=1e-3)


@dataclass(frozen=True)
class Stage:
    """A row of blocks; the first has the stride."""

    channels: int
    widths: tuple[int, ...]
    """Channels inside each block."""
    kernels: tuple[Kernel, ...]
    stride: int = 2
    """Along height and width."""


@dataclass(frozen=True)
class Plan:
    """Widths and kernels of a variant."""

    stages: tuple[Stage, ...]
    stem: int = 8
    last: int = 480
    """Channels of the features."""
    hidden: int = 2048
    """Width of the layer before the classifier."""
    causal: bool = False


_A0 = Plan(
    (
        Stage(8, (24,), ((1, 5),)),
        Stage(32, (80, 80, 80), ((3, 3), (3, 3), (3, 3))),
        Stage(56, (184, 112, 184), ((5, 3), (3, 3), (3, 3))),
        Stage(56, (184, 184, 184, 184), ((5, 3), (3, 3), (3, 3), (3, 3)), stride=1),
        Stage(104, (384, 280, 280, 344), ((5, 3), (1, 5), (1, 5), (1, 5))),
    )
)
_TINY = Plan(
    (
        Stage(8, (16,), ((1, 5),)),
        Stage(16, (40, 40), ((3, 3), (3, 3))),
        Stage(24, (64,), ((5, 3),), stride=1),
        Stage(24, (64,), ((3, 3),), stride=1),
        Stage(48, (96, 96), ((5, 3), (1, 5))),
    ),
    last=128,
    hidden=192,
)
PLANS: Mapping[str, Plan] = {
    "a0": _A0,
    "a0-stream": replace(_A0, causal=True),
    "tiny": _TINY,
    "tiny-stream": replace(_TINY, causal=True),
}
STREAMS = tuple(variant for variant, plan in PLANS.items() if plan.causal)
"""Variants that can be fed frame by frame."""
_CLIP = ClipSpec(
    frames=50,
    sampling="dense",
    stride=5,
    short_side=192,
    height=172,
    width=172,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
"""Ten seconds of 25 frames a second, values in [0, 1]."""
_POINTS = ExplainPoints(
    tuple(ExplainPoint(name) for name in ("stem", *(f"layer{i}" for i in range(1, 6)), "last")), CLASSIFIER
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"movinet:{variant}",
        TINY_CLIP if variant.startswith("tiny") else _CLIP,
        _POINTS,
        "Kondratyuk et al., CVPR 2021",
    )
    for variant in PLANS
}


class HardSigmoid(nn.Module):
    """`clip(x / 5 + 1/2, 0, 1)` (torch's own divides by 6)."""

    def forward(self, x: Tensor) -> Tensor:
        """Values in [0, 1]."""
        return functional.hardtanh(0.2 * x + 0.5, 0.0, 1.0)


class Block(nn.Module):
    """`shortcut(x) + scale narrow(gate(convolve(widen(x))))`.

    Args:
        channels_in: C of the input.
        channels: C of the output.
        width: channels inside.
        kernel: of the depth-wise convolution.
        stride: along height and width.
        causal: no frame sees a later one.
    """

    def __init__(
        self, channels_in: int, channels: int, width: int, kernel: Kernel, stride: int, *, causal: bool
    ) -> None:
        super().__init__()
        act, gate = (nn.Hardswish, HardSigmoid) if causal else (nn.SiLU, nn.Sigmoid)
        time, space = kernel
        strides = (1, stride, stride)
        self.widen = _layer(SameConv3d(channels_in, width, (1, 1, 1)), act)
        self.convolve: nn.Module
        if causal:
            parts = [_layer(SameConv3d(width, width, (1, space, space), strides, groups=width), act)]
            if time > 1:
                parts.append(_layer(CausalConv3d(width, width, (time, 1, 1), groups=width), act))
            self.convolve = nn.Sequential(OrderedDict(zip(("space", "time"), parts, strict=False)))
        else:
            self.convolve = _layer(SameConv3d(width, width, (time, space, space), strides, groups=width), act)
        hidden = _multiple_of_8(width * (0.5 if causal else 0.25))
        self.gate = SqueezeExcitation(width, hidden, act, gate, causal=causal)
        self.narrow = _layer(SameConv3d(width, channels, (1, 1, 1)), None)
        around = OrderedDict[str, nn.Module]()
        if stride > 1:
            around["pool"] = SameAvgPool()
        if stride > 1 or channels_in != channels:
            around["conv"] = SameConv3d(channels_in, channels, (1, 1, 1))
            around["norm"] = _NORM(channels)
        self.shortcut = nn.Sequential(around) if around else nn.Identity()
        self.scale = nn.Parameter(torch.tensor(_START))
        self.sum = Sum()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One step."""
        branch = self.narrow(self.gate(self.convolve(self.widen(x_BCTHW))))
        out: Tensor = self.sum(self.scale * branch, self.shortcut(x_BCTHW))
        return out


class MobileHead(nn.Module):
    """`logits_BK = W dropout(act(W_h mean_THW(features_BCTHW) + b_h)) + b`."""

    def __init__(self, channels: int, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.hidden = nn.Linear(channels, hidden)
        self.act = nn.SiLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        return self.of_mean(self.pool(features_BCTHW).flatten(1))

    def of_mean(self, mean_BC: Tensor) -> Tensor:
        """Logits of features whose mean over space and time is known."""
        logits_BK: Tensor = self.classifier(self.dropout(self.act(self.hidden(mean_BC))))
        return logits_BK


class MoViNet(Recogniser):
    """Stem, five stages, a last widening convolution and the head, `x_BCTHW -> logits_BK`.

    Args:
        plan: widths and kernels.
        in_channels: channels of the clips.
        head: reads `plan.last` channels and as many frames as the clip has.
    """

    def __init__(self, plan: Plan, in_channels: int, head: nn.Module) -> None:
        super().__init__(in_channels, head)
        self.causal = plan.causal
        """No frame sees a later one."""
        act = nn.Hardswish if plan.causal else nn.SiLU
        self.stem = _layer(SameConv3d(in_channels, plan.stem, (1, 3, 3), (1, 2, 2)), act)
        width = plan.stem
        for number, stage in enumerate(plan.stages, 1):
            blocks = []
            for b, (inside, kernel) in enumerate(zip(stage.widths, stage.kernels, strict=True)):
                stride = stage.stride if b == 0 else 1
                blocks.append(Block(width, stage.channels, inside, kernel, stride, causal=plan.causal))
                width = stage.channels
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.stages = tuple(f"layer{number}" for number in range(1, len(plan.stages) + 1))
        self.last = _layer(SameConv3d(width, plan.last, (1, 1, 1)), act)
        del self.head  # and set again, so that modules stand in the order of the data
        self.head = head

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before pooling, `features_BCTHW`; T is that of the clip."""
        self.check(x_BCTHW)
        x = self.stem(x_BCTHW)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        features: Tensor = self.last(x)
        return features

    def stream(self) -> Stream:
        """A video to be fed piece by piece; each layer keeps a few frames of its input, or their mean.

        Raises:
            BadValue: if the network looks into the future, its head needs all frames, or it is in training mode.
        """
        if not self.causal:
            rule = "its convolutions and gates look at all frames of the clip, so that it cannot be fed frame by frame"
            raise BadValue("MoViNet", rule, "Take a stream variant.")
        return Stream(self, self.head.of_mean if isinstance(self.head, MobileHead) else linear_classifier(self.head))


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised MoViNet, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; the family's own, with one hidden layer, when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    last = (
        request.head(plan.last, request.frames)
        if request.head_name
        else MobileHead(plan.last, plan.hidden, num_classes, request.dropout)
    )
    return kaiming_(MoViNet(plan, request.in_channels, last))


def _layer(conv: nn.Conv3d, act: type[nn.Module] | None) -> nn.Sequential:
    parts = OrderedDict[str, nn.Module](conv=conv, norm=_NORM(conv.out_channels))
    if act is not None:
        parts["act"] = act()
    return nn.Sequential(parts)


def _multiple_of_8(width: float) -> int:
    """The multiple of 8 next to a width, at least 8, and no less than nine tenths of it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


FIGURES: tuple[Figure, ...] = (
    Figure(
        "a0",
        600,
        (50, 172, 172),
        "Kondratyuk et al., CVPR 2021: MoViNet-A0",
        parameters=3_111_799,
        millions="3.1",
        note="its 2.71 G also count normalisations and gates: ours are 2.631, and 2.713 with one for each such value",
    ),
    Figure(
        "a0-stream",
        600,
        (50, 172, 172),
        "TensorFlow Model Garden, projects/movinet: MoViNet-A0-Stream",
        gmac=2.7,
        reproducible=False,
        note="the table repeats the figure of the base network; kernels cut into space and time take 2.43",
    ),
)
