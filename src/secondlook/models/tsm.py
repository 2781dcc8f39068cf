"""TSM: a 2D ResNet whose blocks shift channels along time (r18, r50, their online twins, `tiny`); also plain TSN.

Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019; `label-reassessment`, section
5.4; `late-temporal-bert`, section 1.15. One eighth of the channels moves each way, inside the residual branch, before
its first convolution; the logits are the mean of those of the frames. `shift_fraction=0` is TSN. T is free.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.heads.average import AverageHead
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import BasicBlock, Bottleneck, shortcut
from secondlook.layers.temporal_shift import TemporalShift
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import IMAGENET, POINTS_FOLDED, StagedNetwork

Placement = Literal["residual", "in_place"]


@dataclass(frozen=True)
class Plan:
    """Widths and depths of a variant."""

    block: type[BasicBlock] | type[Bottleneck]
    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """Stride of each stage's first block."""
    stem: int = 64
    """Channels of the stem."""
    pool: bool = True
    """A 3 x 3 max-pool of stride 2 ends the stem."""
    online: bool = False


PLANS: Mapping[str, Plan] = {
    "r18": Plan(BasicBlock, (2, 2, 2, 2)),
    "r50": Plan(Bottleneck, (3, 4, 6, 3)),
    "tiny": Plan(BasicBlock, (2, 2, 1, 1), (24, 48, 80, 96), (2, 2, 2, 1), stem=16, pool=False),
    "r18-online": Plan(BasicBlock, (2, 2, 2, 2), online=True),
    "r50-online": Plan(Bottleneck, (3, 4, 6, 3), online=True),
    "tiny-online": Plan(BasicBlock, (2, 2, 1, 1), (24, 48, 80, 96), (2, 2, 2, 1), stem=16, pool=False, online=True),
}
_TINY_CLIP = ClipSpec(
    frames=12, height=64, width=64, fit="squash", modality="luma_difference", mean=(0.45, 0.0), std=(0.25, 0.1)
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"tsm:{variant}", _TINY_CLIP if variant.startswith("tiny") else IMAGENET, POINTS_FOLDED, "Lin et al., ICCV 2019"
    )
    for variant in PLANS
}


class TSM(StagedNetwork):
    """A 2D network over all frames of a batch at once, B T x C x H x W inside, `x_BCTHW -> logits_BK` outside."""

    def __init__(self, in_channels: int, stem: nn.Module, stages: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__(in_channels, stem, stages, head)
        self.online = all(shift.online for shift in self.shifts())
        """No frame sees a later one."""

    def stage_maps(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of the four stages, each `BCTHW`; T is that of the clip."""
        self.check(x_BCTHW)
        frames = x_BCTHW.shape[2]
        for shift in self.shifts():
            shift.frames = frames
        x_NCHW = self.stem(x_BCTHW.transpose(1, 2).flatten(0, 1))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x_NCHW = stage(x_NCHW)
            x_BTCHW = x_NCHW.reshape(-1, frames, *x_NCHW.shape[1:])
            maps.append(x_BTCHW.transpose(1, 2))
        return tuple(maps)

    def frame_logits(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each frame, `logits_BTK`, whose mean over T is `forward`.

        Raises:
            BadValue: if the head tells nothing of single frames.
        """
        if not isinstance(self.head, AverageHead):
            raise BadValue(type(self.head).__name__, "this head gives no logits for single frames", "Use `average`.")
        return self.head.frame_logits(self.features(x_BCTHW))

    def shifts(self) -> list[TemporalShift]:
        """Its shifts, from input to head."""
        return [m for m in self.modules() if isinstance(m, TemporalShift)]


class Stream:
    """Feeds a video to an online network frame by frame, keeping of each shift only the channels the next frame needs.

    After each step the logits are those of `network(everything seen so far)`. Several streams may share a network.

    Args:
        network: an online variant, in evaluation mode.

    Raises:
        BadValue: if the network looks into the future, or is in training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        if not isinstance(network, TSM) or not network.online:
            raise BadValue(type(network).__name__, "only an online TSM can be streamed", "Use tsm:r18-online.")
        if network.training:
            raise BadValue("training mode", "a stream needs fixed normalisations", "Call `.eval()` first.")
        self.network = network
        self.frames = 0
        """Frames seen."""
        self._past: list[Tensor | None] = [None] * len(network.shifts())
        self._sum_BK: Tensor | None = None

    @torch.no_grad()
    def step(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of the video up to and with the frames given now (T = 1 or more)."""
        shifts = self.network.shifts()
        for shift, past in zip(shifts, self._past, strict=True):
            shift.past, shift.remember = past, True
        try:
            logits_BTK = self.network.frame_logits(x_BCTHW)
            self._past = [shift.last for shift in shifts]
        finally:
            for shift in shifts:
                shift.past = shift.last = None
                shift.remember = False
        total_BK = logits_BTK.sum(1)
        self._sum_BK = total_BK if self._sum_BK is None else self._sum_BK + total_BK
        self.frames += x_BCTHW.shape[2]
        return self._sum_BK / self.frames


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
    width = plan.stem
    stem = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(request.in_channels, width, 7, 2, 3, bias=False), norm=nn.BatchNorm2d(width), act=nn.ReLU()
    )
    if plan.pool:
        stem["pool"] = nn.MaxPool2d(3, 2, 1)
    stages, widths = [], []
    for channels, depth, first_stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = []
        for stride in (first_stride, *[1] * (depth - 1)):
            shift = TemporalShift(options.get("shift_fraction", 0.125), online=past_only)
            blocks.append(_block(plan.block, width, channels, stride, shift, placement))
            width = channels * plan.block.expansion
        stages.append(nn.Sequential(*blocks))
        widths.append(width)
    network = TSM(request.in_channels, nn.Sequential(stem), stages, request.head(widths, request.frames))
    return kaiming_(network)


def _block(
    kind: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    channels: int,
    stride: int,
    shift: TemporalShift,
    placement: Placement,
) -> nn.Module:
    norm = nn.BatchNorm2d
    around = shortcut(nn.Conv2d, channels_in, channels * kind.expansion, stride, norm)
    bottleneck = kind is Bottleneck
    first = (
        nn.Conv2d(channels_in, channels, 1, bias=False)
        if bottleneck
        else nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
    )
    inside = {"shift": shift} if placement == "residual" else {}
    conv1 = nn.Sequential(OrderedDict[str, nn.Module](**inside, conv=first))
    block: nn.Module
    if bottleneck:
        conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        conv3 = nn.Conv2d(channels, channels * 4, 1, bias=False)
        block = Bottleneck((conv1, conv2, conv3), channels, norm, around)
    else:
        block = BasicBlock(conv1, nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels, norm, around)
    return block if placement == "residual" else nn.Sequential(OrderedDict[str, nn.Module](shift=shift, block=block))
