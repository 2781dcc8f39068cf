"""C3D: eight 3 x 3 x 3 convolutions, five pools, two fully connected layers (`sports1m`, `tiny`).

Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015, section 3.3 and figure 3;
`late-temporal-bert`, section 1.7. Pools round up, as Caffe's do, so that 7 x 7 becomes 4 x 4 before `fc6`; PyTorch
ports that pad the last pool by one pixel instead pair other pixels. Departs from the source in `tiny`, which has batch
normalisation so that it learns from nothing (`batch_norm=True` gives it to any variant).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.models._dense_head import DenseHead
from secondlook.models._figures import Figure
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP

STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5")
"""Module names from input to head; each ends in its pool."""


@dataclass(frozen=True)
class Plan:
    """Widths of a variant."""

    channels: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    """Of the convolutions of each stage."""
    hidden: int = 4096
    """Of either fully connected layer."""
    batch_norm: bool = False


PLANS: Mapping[str, Plan] = {
    "sports1m": Plan(),
    "tiny": Plan(((8,), (16,), (24, 24), (32, 32), (48, 48)), 128, batch_norm=True),
}
_CLIP = ClipSpec(
    frames=16,
    sampling="dense",
    short_side=128,
    height=112,
    width=112,
    mean=(104 / 255, 117 / 255, 128 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"c3d:{variant}",
        replace(TINY_CLIP, height=40, width=52) if variant == "tiny" else _CLIP,
        ExplainPoints(tuple(ExplainPoint(name) for name in STAGES), CLASSIFIER),
        "Tran et al., ICCV 2015",
    )
    for variant in PLANS
}


class C3D(Recogniser):
    """`head(conv5(conv4(conv3(conv2(conv1(x))))))`, `x_BCTHW -> logits_BK`.

    Args:
        in_channels: channels of the clips.
        plan: widths.
        head: a late temporal head.
        limits: which clips the network can take.
        batch_norm: after each convolution.
    """

    def __init__(self, in_channels: int, plan: Plan, head: nn.Module, limits: Limits, *, batch_norm: bool) -> None:
        super().__init__(in_channels, head, limits)
        width = in_channels
        for name, channels in zip(STAGES, plan.channels, strict=True):
            pool = (1, 2, 2) if name == "conv1" else 2
            self.add_module(name, _stage(width, channels, pool, batch_norm=batch_norm))
            width = channels[-1]

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before the fully connected layers, `features_BCTHW`."""
        self.check(x_BCTHW)
        for name in STAGES:
            x_BCTHW = self.get_submodule(name)(x_BCTHW)
        return x_BCTHW


def _stage(width: int, channels: Sequence[int], pool: int | tuple[int, ...], *, batch_norm: bool) -> nn.Module:
    parts = OrderedDict[str, nn.Module]()
    for suffix, outputs in zip("ab" if len(channels) > 1 else ("",), channels, strict=True):
        parts[f"conv{suffix}"] = nn.Conv3d(width, outputs, 3, padding=1, bias=not batch_norm)
        if batch_norm:
            parts[f"norm{suffix}"] = nn.BatchNorm3d(outputs)
        parts[f"act{suffix}"] = nn.ReLU()
        width = outputs
    parts["pool"] = nn.MaxPool3d(pool, pool, ceil_mode=True)
    return nn.Sequential(parts)


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    batch_norm: bool
    """A batch normalisation after each convolution; the variant says when left out."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised C3D, `x_BCTHW -> logits_BK`; with its own head for clips of exactly the frames, height and
    width it is built for, with any other for all clips.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `fc6`, `fc7` and the classifier of the source when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    asked = options.get("batch_norm")
    channels = plan.channels[-1][-1]
    frames = -(-request.frames // 16)
    if request.head_name:
        last, limits = request.head(channels, frames), Limits()
    else:
        values = channels * frames * -(-request.height // 32) * -(-request.width // 32)
        last = DenseHead(values, {"fc6": plan.hidden, "fc7": plan.hidden}, num_classes, request.dropout)
        limits = Limits(request.frames, request.height, request.width)
    batch_norm = plan.batch_norm if asked is None else asked
    return kaiming_(C3D(request.in_channels, plan, last, limits, batch_norm=batch_norm))


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sports1m", 101, (16, 112, 112), "mmaction2, C3D metafile", parameters=78_409_573, millions="78.4", gmac=38.615
    ),
)
