"""TSM: a 2D net that shifts channels along time (r18 to r101, r50-nl, mobilenet_v2, online twins, `tiny`); or TSN.

Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019; `label-reassessment`, section
5.4; `late-temporal-bert`, section 1.15. One eighth of the channels moves each way, inside the residual branch, before
its first convolution; the logits are the mean of those of the frames. `shift_fraction=0` is TSN. T is free.

As in the release: `r101` shifts in every second block, `mobilenet_v2` in every block that has a sum, and `r50-nl` has
five non-local blocks, after the first and third block of `layer2` and the first, third and fifth of `layer3`. Departs
from the release where a non-local block meets a map of odd size: its pooled maps keep the last row and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.heads.average import AverageHead
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.temporal_shift import TemporalShift
from secondlook.models import _mobilenet, _resnet2d
from secondlook.models._figures import Figure
from secondlook.models._frame_network import FoldedNonLocal, FrameNetwork
from secondlook.models._mobilenet import MOBILENET_V2, TINY_MOBILENET_V2, MobilePlan
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._resnet2d import PLANS as RESNETS
from secondlook.models._resnet2d import Placement
from secondlook.models._staged import IMAGENET, POINTS_FOLDED
from secondlook.models._streaming import Stream, linear_classifier


@dataclass(frozen=True)
class Plan:
    """A network, and how it looks along time."""

    network: _resnet2d.Plan | MobilePlan
    online: bool = False
    """No shift from the future."""
    non_local: bool = False


PLANS: Mapping[str, Plan] = {
    "r18": Plan(RESNETS["18"]),
    "r34": Plan(RESNETS["34"]),
    "r50": Plan(RESNETS["50"]),
    "r101": Plan(RESNETS["101"]),
    "r50-nl": Plan(RESNETS["50"], non_local=True),
    "mobilenet_v2": Plan(MOBILENET_V2),
    "tiny": Plan(RESNETS["tiny"]),
    "tiny-mobilenet_v2": Plan(TINY_MOBILENET_V2),
    "r18-online": Plan(RESNETS["18"], online=True),
    "r50-online": Plan(RESNETS["50"], online=True),
    "mobilenet_v2-online": Plan(MOBILENET_V2, online=True),
    "tiny-online": Plan(RESNETS["tiny"], online=True),
}
STREAMS = tuple(variant for variant, plan in PLANS.items() if plan.online)
"""Variants that can be fed frame by frame."""
_TINY_CLIP = ClipSpec(
    frames=12, height=64, width=64, fit="squash", modality="luma_difference", mean=(0.45, 0.0), std=(0.25, 0.1)
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"tsm:{variant}", _TINY_CLIP if variant.startswith("tiny") else IMAGENET, POINTS_FOLDED, "Lin et al., ICCV 2019"
    )
    for variant in PLANS
}


class TSM(FrameNetwork):
    """A 2D network over all frames of a batch at once, B T x C x H x W inside, `x_BCTHW -> logits_BK` outside."""

    def __init__(self, in_channels: int, stem: nn.Module, stages: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__(in_channels, stem, stages, head)
        sees_all = any(isinstance(m, FoldedNonLocal) for m in self.modules())
        self.online = not sees_all and all(shift.online for shift in self.shifts())
        """No frame sees a later one."""

    def frame_logits(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each frame, `logits_BTK`, whose mean over T is `forward`.

        Raises:
            BadValue: if the head tells nothing of single frames.
        """
        if not isinstance(self.head, AverageHead):
            raise BadValue(type(self.head).__name__, "this head gives no logits for single frames", "Use `average`.")
        return self.head.frame_logits(self.features(x_BCTHW))

    def stream(self) -> Stream:
        """A video to be fed piece by piece; of each shift only the channels that the next frame needs are kept.

        Raises:
            BadValue: if the network looks into the future, its head needs all frames, or it is in training mode.
        """
        if not self.online:
            raise BadValue("TSM", "only an online TSM can be fed frame by frame", "Take an online variant.")
        return Stream(self, linear_classifier(self.head))

    def shifts(self) -> list[TemporalShift]:
        """Its shifts, from input to head."""
        return [m for m in self.modules() if isinstance(m, TemporalShift)]


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    online: bool
    """Shift from the past only; the variant says when left out."""
    shift_fraction: float
    """Share of the channels that move, for each direction: 0.125; 0 gives TSN."""
    placement: Placement
    """`residual`, inside the branch; or `in_place`, before the block, so that the shortcut is shifted too."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised TSM, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, such as a fraction that moves more channels than there are.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    placement = options.get("placement", "residual")
    if placement not in ("residual", "in_place"):
        raise BadValue(placement, "placement of the shift must be residual or in_place")
    plan = PLANS[variant]
    online = options.get("online")
    past_only = plan.online if online is None else online
    if past_only and plan.non_local:
        rule = "a non-local block looks at all frames of the clip, so that this network cannot run online"
        raise BadValue(variant, rule, "Take r50-online.")

    def shift() -> TemporalShift:
        return TemporalShift(options.get("shift_fraction", 0.125), online=past_only)

    if isinstance(plan.network, MobilePlan):
        parts = _mobilenet.trunk(plan.network, request.in_channels, shift, placement)
    else:
        parts = _resnet2d.trunk(plan.network, request.in_channels, shift, placement, non_local=plan.non_local)
    last = request.head(parts.widths, request.frames)
    return kaiming_(TSM(request.in_channels, parts.stem, parts.stages, last))


_RELEASE = "TSM release, ops/models.py"
FIGURES: tuple[Figure, ...] = (
    Figure("r50", 400, (8, 224, 224), _RELEASE, millions="24.328", gmac=32.70),
    Figure("r50", 400, (16, 224, 224), _RELEASE, millions="24.328", gmac=65.41),
    Figure("r50", 174, (8, 224, 224), "mmaction2, TSM metafile", parameters=23_864_558),
    Figure("r101", 174, (8, 224, 224), "mmaction2, TSM metafile", parameters=42_856_686),
    Figure(
        "r50",
        51,
        (8, 224, 224),
        "late-temporal-bert, section 8: TSM-50 8f",
        parameters=23_612_531,
        note="its 32.96 G also count normalisations, activations and pools",
    ),
    Figure(
        "r50-nl",
        400,
        (8, 224, 224),
        "mmaction2, TSM metafile",
        millions="31.68",
        gmac=61.30,
        note="its last convolutions have no biases, which makes 4,096 fewer; the release's have",
    ),
    Figure("mobilenet_v2", 1000, (1, 224, 224), "torchvision, mobilenet_v2", parameters=3_504_872, gmac=0.301),
    Figure(
        "mobilenet_v2",
        400,
        (8, 224, 224),
        "mmaction2, TSM metafile",
        parameters=2_736_272,
        note="its 3.34 G also count normalisations and activations",
    ),
)
