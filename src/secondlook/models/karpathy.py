"""Karpathy's nets of 2014: frames meet nowhere, early, late or slowly (single_frame, early, late, slow, tiny ones).

Karpathy et al., "Large-scale Video Classification with Convolutional Neural Networks", CVPR 2014, section 3.1;
`layerwise-relevance`, item R9. In the paper's shorthand all are C(96,11,3)-N-P-C(256,5,1)-N-P-C(384,3,1)-C(384,3,1)-
C(256,3,1)-P-FC(4096)-FC(4096) on 170 x 170 pixels, N the local response normalisation of AlexNet (k = 2, n = 5,
alpha = 1e-4, beta = 0.5), P a 2 x 2 max-pool. Along time:

* `single_frame`: each frame is classified alone, the logits are their mean; it learns from one random frame of a clip;
* `early`: the first convolution spans the whole clip (10 frames);
* `late`: the first and the last frame of the clip (15 apart, of 16) go through one net and meet in the first fully
  connected layer;
* `slow`: the first three convolutions span 4, 2 and 2 frames with stride 2, without padding: 10 frames become 4, 2, 1.

The paper does not print paddings: here, the first convolution has none, the others keep the size (170 becomes 54, 27,
13, 6 and, as in AlexNet, 9,216 values). Departs from the paper in the tiny ones, which have batch normalisation after
each convolution so that they learn from nothing (`norm="batch"` gives it to any variant). `tiny` is slow.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.models._dense_head import DenseHead
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP

Fusion = Literal["single_frame", "early", "late", "slow"]
Normalisation = Literal["local_response", "batch"]
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")
"""Module names from input to head."""
_POOLED = ("conv1", "conv2", "conv5")
_SLOW = ((4, 2), (2, 2), (2, 2), (1, 1), (1, 1))
"""(kernel, stride) in time of the slow net's convolutions."""


@dataclass(frozen=True)
class Plan:
    """Widths of a variant, and where its frames meet."""

    fusion: Fusion
    channels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    kernels: tuple[int, int, int, int, int] = (11, 5, 3, 3, 3)
    stride: int = 3
    """Of the first convolution, in space."""
    hidden: int = 4096
    """Of either fully connected layer."""
    norm: Normalisation = "local_response"

    @property
    def smallest(self) -> int:
        """Height or width that leaves one value after the last pool."""
        return self.kernels[0] + 7 * self.stride

    def left(self, size: int) -> int:
        """What is left of a height or width before the fully connected layers."""
        return ((size - self.kernels[0]) // self.stride + 1) // 2 // 2 // 2


_FUSIONS: tuple[Fusion, ...] = ("single_frame", "early", "late", "slow")
_TINY = Plan("slow", (16, 32, 48, 48, 32), (5, 3, 3, 3, 3), 2, 128, "batch")
PLANS: Mapping[str, Plan] = {
    **{fusion: Plan(fusion) for fusion in _FUSIONS},
    "tiny": _TINY,
    **{f"tiny-{fusion}": replace(_TINY, fusion=fusion) for fusion in _FUSIONS if fusion != "slow"},
}
_CLIP = ClipSpec(
    frames=10,
    sampling="dense",
    short_side=200,
    height=170,
    width=170,
    mean=(117 / 255, 117 / 255, 117 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)


def _clip(variant: str, plan: Plan) -> ClipSpec:
    clip = replace(TINY_CLIP, frames=10) if variant.startswith("tiny") else _CLIP
    return replace(clip, frames=16) if plan.fusion == "late" else clip


CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"karpathy:{variant}",
        _clip(variant, plan),
        ExplainPoints(tuple(ExplainPoint(name) for name in STAGES), CLASSIFIER),
        "Karpathy et al., CVPR 2014",
        order_blind=plan.fusion == "single_frame",
    )
    for variant, plan in PLANS.items()
}


class FusionNet(Recogniser):
    """`head(conv5(conv4(conv3(conv2(conv1(x))))))`, `x_BCTHW -> logits_BK`.

    Args:
        in_channels: channels of the clips.
        plan: widths, and where the frames meet.
        frames: T of the clips (early fusion only).
        head: a late temporal head.
        limits: which clips the network can take.
        norm: kind of normalisation.
    """

    def __init__(
        self, in_channels: int, plan: Plan, frames: int, head: nn.Module, limits: Limits, norm: Normalisation
    ) -> None:
        super().__init__(in_channels, head, limits)
        self.fusion = plan.fusion
        width = in_channels
        times = _times(plan.fusion, frames)
        for name, channels, kernel, time in zip(STAGES, plan.channels, plan.kernels, times, strict=True):
            first = name == "conv1"
            space, padding = (plan.stride, 0) if first else (1, kernel // 2)
            conv = nn.Conv3d(
                width,
                channels,
                (time[0], kernel, kernel),
                (time[1], space, space),
                (0, padding, padding),
                bias=norm != "batch",
            )
            self.add_module(name, _stage(conv, norm, normalise=name in _POOLED[:2], pool=name in _POOLED))
            width = channels

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before the fully connected layers, `features_BCTHW`."""
        self.check(x_BCTHW)
        if self.fusion == "late":
            x_BCTHW = x_BCTHW[:, :, :: x_BCTHW.shape[2] - 1]  # the first and the last frame
        for name in STAGES:
            x_BCTHW = self.get_submodule(name)(x_BCTHW)
        return x_BCTHW


def _times(fusion: Fusion, frames: int) -> tuple[tuple[int, int], ...]:
    """(kernel, stride) in time of each convolution."""
    if fusion == "slow":
        return _SLOW
    return ((frames if fusion == "early" else 1, 1), *[(1, 1)] * 4)


def _stage(conv: nn.Conv3d, norm: Normalisation, *, normalise: bool, pool: bool) -> nn.Module:
    parts = OrderedDict[str, nn.Module](conv=conv)
    if norm == "batch":
        parts["norm"] = nn.BatchNorm3d(conv.out_channels)
    parts["act"] = nn.ReLU()
    if norm == "local_response" and normalise:
        parts["norm"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.5, k=2.0)  # PyTorch divides alpha by n
    if pool:
        parts["pool"] = nn.MaxPool3d((1, 2, 2))
    return nn.Sequential(parts)


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    norm: Normalisation
    """`local_response` after the first two convolutions, or `batch` after each; the variant says when left out."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised net, `x_BCTHW -> logits_BK`; with its own head for clips of exactly the height and width
    (and, where time is fused, of the frames) it is built for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; the paper's fully connected layers when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, such as too few frames or pixels.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    norm = options.get("norm") or plan.norm
    if norm not in ("local_response", "batch"):
        raise BadValue(norm, "the normalisation must be local_response or batch")
    least = {"slow": 10, "late": 2}.get(plan.fusion, 1)
    limits = Limits(frames=request.frames if plan.fusion == "early" else None, min_frames=least, min_size=plan.smallest)
    rule = limits.broken(request.frames, request.height, request.width)
    if rule:
        raise BadValue((request.frames, request.height, request.width), rule, "Build it for larger clips.")
    frames = request.frames if plan.fusion == "single_frame" else 2 if plan.fusion == "late" else 1
    if plan.fusion == "slow":
        frames = request.frames
        for kernel, stride in _SLOW:
            frames = (frames - kernel) // stride + 1
    if request.head_name:
        last = request.head(plan.channels[-1], frames)
    else:
        alone = plan.fusion == "single_frame"
        values = plan.channels[-1] * plan.left(request.height) * plan.left(request.width) * (1 if alone else frames)
        hidden = {"fc6": plan.hidden, "fc7": plan.hidden}
        last = DenseHead(values, hidden, num_classes, request.dropout, each_frame=alone)
        exact = request.frames if plan.fusion in ("early", "slow") else None
        limits = replace(limits, frames=exact, height=request.height, width=request.width)
    return kaiming_(FusionNet(request.in_channels, plan, request.frames, last, limits, norm))
