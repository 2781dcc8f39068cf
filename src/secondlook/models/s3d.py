"""S3D: I3D with each 3D kernel split into space, then time (`s3d`, torchvision's; `s3d-g` with feature gating; `tiny`).

Xie et al., "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification", ECCV 2018;
`late-temporal-bert`, section 1.9. Both factors are normalised and activated, and the first has as many outputs as the
second. `s3d-g` scales the outputs of `conv_2c` and of each branch of each module by a gate that reads their mean;
`tiny` has gates too. The gates stand where the TensorFlow source (tensorflow/models, slim) has them.

Departs from the paper and follows torchvision in padding alike on both sides (TensorFlow's "same" pads an even side
more at its end), and in the read-out, the mean over windows of 2 x 7 x 7; `average` is a global one. Batch
normalisations add 1e-3 to the variance; their momentum is PyTorch's own 0.1. The card's recipe is the one that
torchvision trained with, at 15 frames a second; it reports the accuracy of clips of 128 frames.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

from torch import nn

from secondlook.cards import ModelCard
from secondlook.layers.feature_gating import FeatureGating
from secondlook.layers.inception import Parts, Sides, unit
from secondlook.layers.kaiming import kaiming_
from secondlook.models._figures import Figure
from secondlook.models._inception import TINY, InceptionNetwork, Plan, WindowHead
from secondlook.models._recogniser import Limits
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import KINETICS, TINY_CLIP

PLANS: Mapping[str, Plan] = {"s3d": Plan(), "s3d-g": Plan(), "tiny": TINY}
GATED = frozenset({"s3d-g", "tiny"})
LIMITS = Limits(min_frames=5, min_size=17)
"""The last pool, 2 x 2 x 2, rounds down and needs two of each."""
_CLIP = replace(KINETICS, frames=64, short_side=256, height=224, width=224)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"s3d:{variant}", TINY_CLIP if variant == "tiny" else _CLIP, plan.points, "Xie et al., ECCV 2018"
    )
    for variant, plan in PLANS.items()
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised S3D, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; torchvision's windows of 2 x 7 x 7 when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    if request.head_name:
        last = request.head(plan.channels, max(1, -(-request.frames // 4) // 2))
    else:
        last = WindowHead(plan.channels, num_classes, request.dropout)
    parts = Parts(_conv, _pool, FeatureGating if variant in GATED else None)
    return kaiming_(InceptionNetwork(request.in_channels, plan, parts, last, LIMITS))


def _conv(channels_in: int, channels: int, kernel: int, stride: int) -> nn.Sequential:
    if kernel == 1:
        return unit(nn.Conv3d(channels_in, channels, 1, stride, bias=False))
    k, s, p = kernel, stride, kernel // 2
    spatial = nn.Conv3d(channels_in, channels, (1, k, k), (1, s, s), (0, p, p), bias=False)
    temporal = nn.Conv3d(channels, channels, (k, 1, 1), (s, 1, 1), (p, 0, 0), bias=False)
    return nn.Sequential(OrderedDict[str, nn.Module](spatial=unit(spatial), temporal=unit(temporal)))


def _pool(window: Sides, stride: Sides) -> nn.Module:
    time, height, width = (n // 2 if n % 2 else 0 for n in window)
    return nn.MaxPool3d(window, stride, (time, height, width))


FIGURES: tuple[Figure, ...] = (
    Figure("s3d", 400, (16, 224, 224), "torchvision, s3d", parameters=8_320_048, gmac=17.979),
)
