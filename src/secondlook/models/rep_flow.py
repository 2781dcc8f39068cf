"""Representation flow: ResNet-50 with learned optical flow on its maps (`50` is (2+1)D, `50-2d` a frame; `tiny`).

Piergiovanni, Ryoo, "Representation Flow for Action Recognition", CVPR 2019, sections 3.2 and 4;
`late-temporal-bert`, section 1.17. After the second stage (the paper counts the stem as a block: its third),
`x_t + norm(expand(flow(reduce(x))_t))` goes on in place of `x_t`, one frame fewer. `flow_of_flow=True` takes the flow
of the flow, two frames fewer (section 3.3). The flow layers learn at a hundredth of the rate of the others.

`50` has the widths of the release's Kinetics model, with which the 29.09 M parameters and the 44.59 G of
`late-temporal-bert`, table 3.10, come out (51 classes, 32 frames): a 7 x 7 x 7 stem of stride 2 without padding, a 3
x 1 x 1 first convolution in the first two blocks of a stage and every second one after, two normalisations after each
projection, and flow kernels that see all channels. Departs from it: odd padding is symmetric, and the flow layer itself
is that of `layers.representation_flow`. `50-2d` is a 2D ResNet-50 on each frame but for the flow, so that ImageNet's
weights load.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.representation_flow import RepresentationFlow
from secondlook.layers.residual import Bottleneck, Sum
from secondlook.models._figures import Figure
from secondlook.models._recogniser import Limits
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP, StagedNetwork

RATE = 0.01
"""Learning rate of the flow layers, over that of the others (`late-temporal-bert`, section 1.17)."""


@dataclass(frozen=True)
class Plan:
    """Widths and depths of a variant."""

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner widths; a block gives four times as many."""
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    stem: int = 64
    factorised: bool = False
    """(2+1)D, with a stem that halves time twice; else every kernel sees one frame."""
    pool: bool = True
    flow: int = 32
    """Channels that flow is taken of."""
    iterations: int = 10

    def frames(self, frames: int) -> int:
        """T of the maps that flow is taken of."""
        return -(-((frames - 7) // 2 + 1) // 2) if self.factorised else frames

    def needed(self, flows: int) -> int:
        """Frames that a clip must have for so many flows, one after the other."""
        return 4 * flows + 7 if self.factorised else flows + 1


PLANS: Mapping[str, Plan] = {
    "50": Plan(factorised=True),
    "50-2d": Plan(),
    "tiny": Plan((1, 1, 1, 1), (5, 8, 16, 32), (1, 2, 2, 1), stem=12, pool=False, flow=8, iterations=3),
}
_CLIP = ClipSpec(frames=32, sampling="dense", short_side=256, height=224, width=224)
_POINTS = ExplainPoints(
    tuple(ExplainPoint(name) for name in ("stem", "layer1", "layer2", "flow", "layer3", "layer4")), CLASSIFIER
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"rep_flow:{variant}", TINY_CLIP if variant == "tiny" else _CLIP, _POINTS, "Piergiovanni and Ryoo, CVPR 2019"
    )
    for variant in PLANS
}


class FlowBlock(nn.Module):
    """`act(norm(expand(flow(reduce(x)))) + x)`, or with the flow of the flow, `x_BCTHW -> BCT'HW`.

    T' is T - 1, the sum taking the first of each two frames; with `of_flow` T - 2, the sum taking the mean of each
    three, as the release does.

    Args:
        channels: C.
        inner: channels that flow is taken of.
        iterations: of each flow.
        across_channels: kernels of the flow see all channels.
        of_flow: `flow(between(flow(reduce(x))))` in place of the flow.
    """

    def __init__(
        self, channels: int, inner: int, iterations: int, *, across_channels: bool = False, of_flow: bool = False
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(channels, inner, 1, bias=False)
        self.flow = RepresentationFlow(inner, iterations, across_channels=across_channels)
        self.between: nn.Module | None = None
        if of_flow:
            self.between = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv3d(2 * inner, 2 * inner, (1, 3, 3), 1, (0, 1, 1), bias=False),
                    reduce=nn.Conv3d(2 * inner, inner, 1, bias=False),
                )
            )
            self.flow_of_flow = RepresentationFlow(inner, iterations, across_channels=across_channels)
        kernel, padding = ((1, 3, 3), (0, 1, 1)) if of_flow else ((1, 1, 1), (0, 0, 0))
        self.expand = nn.Conv3d(2 * inner, channels, kernel, 1, padding, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.mean = nn.AvgPool3d((3, 1, 1), 1)
        self.sum = Sum()
        self.act = nn.ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The map with its motion added."""
        flow = self.flow(self.reduce(x_BCTHW))
        shown = x_BCTHW[:, :, :-1]
        if self.between is not None:
            flow = self.flow_of_flow(self.between(flow))
            shown = self.mean(x_BCTHW)
        out: Tensor = self.act(self.sum(self.norm(self.expand(flow)), shown))
        return out


class RepFlow(StagedNetwork):
    """A ResNet whose maps pass a `FlowBlock` between `layer2` and `layer3`, `x_BCTHW -> logits_BK`."""

    def __init__(
        self,
        in_channels: int,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        flow: FlowBlock,
        head: nn.Module,
        limits: Limits,
    ) -> None:
        super().__init__(in_channels, stem, stages, head, limits)
        for name in ("layer3", "layer4", "head"):  # set again behind the flow, in the order of the data
            delattr(self, name)
        self.flow = flow
        self.layer3, self.layer4, self.head = stages[2], stages[3], head

    def stage_maps(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of the four stages, each `BCTHW`; the first two have more frames than the others."""
        self.check(x_BCTHW)
        first = self.layer1(self.stem(x_BCTHW))
        second = self.layer2(first)
        third = self.layer3(self.flow(second))
        return first, second, third, self.layer4(third)

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Beginning of a parameter's name -> its learning rate over that of the others: the flow layers' kernels."""
        return {name + ".": RATE for name, module in self.named_modules() if isinstance(module, RepresentationFlow)}


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    flow_of_flow: bool
    """Motion of the motion, for longer changes: False."""
    iterations: int
    """Steps of each flow layer; 10 (3 for `tiny`)."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised network with representation flow, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    if options.get("iterations") is not None:
        plan = replace(plan, iterations=options["iterations"])
    of_flow = bool(options.get("flow_of_flow"))
    width, stages, widths = plan.stem, [], []
    for channels, depth, stride in zip(plan.channels, plan.blocks, plan.strides, strict=True):
        blocks = []
        for b in range(depth):
            times = 3 if plan.factorised and (b == 0 or b % 2) else 1
            blocks.append(_block(width, channels, stride if b == 0 else 1, times, twice=plan.factorised))
            width = 4 * channels
        stages.append(nn.Sequential(*blocks))
        widths.append(width)
    flow = FlowBlock(widths[1], plan.flow, plan.iterations, across_channels=plan.factorised, of_flow=of_flow)
    flows = 2 if of_flow else 1
    limits = Limits(min_frames=plan.needed(flows), min_size=7 if plan.factorised else 1)
    last = request.head(widths, max(1, plan.frames(request.frames) - flows))
    return kaiming_(RepFlow(request.in_channels, _stem(plan, request.in_channels), stages, flow, last, limits))


def _stem(plan: Plan, in_channels: int) -> nn.Sequential:
    time, stride, padding, pooled = (7, 2, 0, 3) if plan.factorised else (1, 1, 3, 1)
    parts = OrderedDict[str, nn.Module](
        conv=nn.Conv3d(in_channels, plan.stem, (time, 7, 7), (stride, 2, 2), (0, padding, padding), bias=False),
        norm=nn.BatchNorm3d(plan.stem),
        act=nn.ReLU(),
    )
    if plan.pool:
        parts["pool"] = nn.MaxPool3d((pooled, 3, 3), (stride, 2, 2), (pooled // 2, 1, 1))
    return nn.Sequential(parts)


def _block(channels_in: int, channels: int, stride: int, times: int, *, twice: bool) -> Bottleneck:
    """One block; `times` frames see each other in its first convolution."""
    conv1 = nn.Conv3d(channels_in, channels, (times, 1, 1), 1, (times // 2, 0, 0), bias=False)
    conv2 = nn.Conv3d(channels, channels, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    conv3 = nn.Conv3d(channels, 4 * channels, 1, bias=False)
    around = OrderedDict[str, nn.Module]()
    if stride != 1 or channels_in != 4 * channels:
        around["conv"] = nn.Conv3d(channels_in, 4 * channels, 1, (1, stride, stride), bias=False)
        around["norm"] = nn.BatchNorm3d(4 * channels)
        if twice:
            around["norm_again"] = nn.BatchNorm3d(4 * channels)
    shortcut = nn.Sequential(around) if around else nn.Identity()
    return Bottleneck((conv1, conv2, conv3), channels, nn.BatchNorm3d, shortcut)


_RELEASE = "late-temporal-bert, section 8 and table 3.10: Rep-Flow-50"
FIGURES: tuple[Figure, ...] = (
    Figure(
        "50",
        51,
        (32, 224, 224),
        _RELEASE,
        parameters=29_090_550,
        millions="29.09",
        note="its 44.59 G count convolutions (44.36 here, flow iterations aside), normalisations and activations",
    ),
)
