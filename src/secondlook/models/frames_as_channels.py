"""Frames as channels: a plain 2D net that sees all frames at once in its first layer (100, 50, `tiny`).

`layerwise-relevance`, section 2: 16 grey frames stacked as channels, two 3 x 3 convolutions without padding, a 2 x 2
max-pool, 512 hidden values. With one input channel, 16 frames of 100 x 100 and 8 classes it has 75,525,224 parameters.
The first convolution is written with a kernel of T x 3 x 3 on `x_BCTHW`: the same sums as a 2D one on C T channels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.models._dense_head import DenseHead
from secondlook.models._figures import Figure
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP


@dataclass(frozen=True)
class Plan:
    """Widths of a variant."""

    channels: tuple[int, int] = (32, 64)
    hidden: int = 512


PLANS: Mapping[str, Plan] = {"100": Plan(), "50": Plan(), "tiny": Plan((16, 24), 64)}
_CLIP = ClipSpec(
    frames=16,
    sampling="dense",
    stride=4,
    height=100,
    width=100,
    fit="squash",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
_CLIPS = {
    "100": _CLIP,
    "50": replace(_CLIP, height=50, width=50),
    "tiny": replace(TINY_CLIP, height=40, width=52),
}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"frames_as_channels:{variant}",
        _CLIPS[variant],
        ExplainPoints((ExplainPoint("conv1"), ExplainPoint("conv2")), CLASSIFIER),
        "layerwise-relevance, section 2",
    )
    for variant in PLANS
}


class FramesAsChannels(Recogniser):
    """`head(conv2(conv1(x)))`, `x_BCTHW -> logits_BK`; its features have T = 1.

    Args:
        in_channels: channels of the clips.
        frames: T of the clips, exactly.
        channels: widths of the two convolutions.
        head: a late temporal head.
        limits: which clips the network can take.
    """

    def __init__(
        self, in_channels: int, frames: int, channels: tuple[int, int], head: nn.Module, limits: Limits
    ) -> None:
        super().__init__(in_channels, head, limits)
        first, second = channels
        self.conv1 = nn.Sequential(OrderedDict(conv=nn.Conv3d(in_channels, first, (frames, 3, 3)), act=nn.ReLU()))
        self.conv2 = nn.Sequential(
            OrderedDict(conv=nn.Conv3d(first, second, (1, 3, 3)), act=nn.ReLU(), pool=nn.MaxPool3d((1, 2, 2)))
        )

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before the fully connected layers, `features_BCTHW` with T = 1."""
        self.check(x_BCTHW)
        features_BCTHW: Tensor = self.conv2(self.conv1(x_BCTHW))
        return features_BCTHW


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised network, `x_BCTHW -> logits_BK`, for clips of exactly the frames (and, with its own head,
    of exactly the height and width) it is built for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; the fully connected layers of the source when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    channels = plan.channels[1]
    if min(request.height, request.width) < _SMALLEST:
        raise BadValue((request.height, request.width), f"this network needs {_SMALLEST} pixels a side")
    if request.head_name:
        last = request.head(channels, 1)
        limits = Limits(frames=request.frames, min_size=_SMALLEST)
    else:
        values = channels * ((request.height - 4) // 2) * ((request.width - 4) // 2)
        last = DenseHead(values, {"dense": plan.hidden}, num_classes, request.dropout)
        limits = Limits(request.frames, request.height, request.width)
    return kaiming_(FramesAsChannels(request.in_channels, request.frames, plan.channels, last, limits))


_SMALLEST = 6
"""Two 3 x 3 kernels take four pixels, and the pool needs two."""
FIGURES: tuple[Figure, ...] = (
    Figure("100", 8, (16, 100, 100), "layerwise-relevance, section 2", parameters=75_525_224, in_channels=1),
)
