"""3D convolution, max-pool, then divided space-time attention, with a masked classifier (`base`, `tiny`).

`attention-recognisers`, section 2.4 (a): what that source calls VideoMAE and is no masked autoencoder (which is the
family `videomae`). 3D convolution, batch normalisation, ReLU; 3D max-pool; blocks of attention divided between time
and space (Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021,
section 3); layer normalisation; dropout; a linear classifier whose weight matrix is multiplied by a random binary mask;
Xavier-uniform start. The source prints no sizes: `base` has the widths and depth of TimeSformer-B, its kernels 3 x 16 x
16. Nor does it say when the mask is drawn: here once, when the network is built, or anew at every training step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import Sum
from secondlook.layers.transformer_encoder import SelfAttention
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import CLASSIFIER, TINY_CLIP

MaskDrawn = Literal["once", "each_step"]


@dataclass(frozen=True)
class Plan:
    """Widths and depths of a variant."""

    channels: int
    depth: int
    heads: int
    kernel: int
    """Height and width of the convolution's kernel; 3 frames long."""
    stride: int
    padding: int
    clip: ClipSpec


PLANS: Mapping[str, Plan] = {
    "base": Plan(768, 12, 12, 16, 8, 4, ClipSpec(frames=8, sampling="segments", short_side=224, height=224, width=224)),
    "tiny": Plan(64, 3, 4, 7, 4, 3, replace(TINY_CLIP, frames=12)),
}


def _points(depth: int) -> ExplainPoints:
    return ExplainPoints((ExplainPoint("stem"), *(ExplainPoint(f"blocks.{i}") for i in range(depth))), CLASSIFIER)


CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"conv_timesformer:{variant}",
        plan.clip,
        _points(plan.depth),
        "attention-recognisers, section 2.4; Bertasius et al., ICML 2021",
    )
    for variant, plan in PLANS.items()
}


class DividedBlock(nn.Module):
    """Attention along time at each place, then over the places of each frame, then two linear layers.

    `x = x + time(norm1(x)); x = x + space(norm2(x)); x = x + mlp(norm3(x))`, `x_BCTHW -> BCTHW`; the channels lie
    last in memory.

    Args:
        channels: C.
        heads: attention heads; C is a multiple of it.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.time = SelfAttention(channels, heads)
        self.time.attends = "time"
        self.sum1 = Sum()
        self.norm2 = nn.LayerNorm(channels)
        self.space = SelfAttention(channels, heads)
        self.space.attends = "space"
        self.sum2 = Sum()
        self.norm3 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            OrderedDict[str, nn.Module](
                fc1=nn.Linear(channels, 4 * channels), act=nn.GELU(), fc2=nn.Linear(4 * channels, channels)
            )
        )
        self.sum3 = Sum()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One step."""
        channels, frames, height, width = x_BCTHW.shape[1:]
        places = height * width
        x_BTNC = x_BCTHW.permute(0, 2, 3, 4, 1).reshape(-1, frames, places, channels)
        along_MTC = self.norm1(x_BTNC).transpose(1, 2).reshape(-1, frames, channels)
        x_BTNC = self.sum1(x_BTNC, self.time(along_MTC).reshape(-1, places, frames, channels).transpose(1, 2))
        across_MNC = self.norm2(x_BTNC).reshape(-1, places, channels)
        x_BTNC = self.sum2(x_BTNC, self.space(across_MNC).reshape(-1, frames, places, channels))
        x_BTNC = self.sum3(x_BTNC, self.mlp(self.norm3(x_BTNC)))
        y_BCTHW: Tensor = x_BTNC.reshape(-1, frames, height, width, channels).permute(0, 4, 1, 2, 3)
        return y_BCTHW


class Positions(nn.Module):
    """Adds a learned vector for the time and one for the place of each token, `x_BCTHW -> BCTHW`."""

    def __init__(self, channels: int, frames: int, height: int, width: int) -> None:
        super().__init__()
        self.time = nn.Parameter(torch.empty(1, channels, frames, 1, 1))
        self.space = nn.Parameter(torch.empty(1, channels, 1, height, width))
        for parameter in (self.time, self.space):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The sum."""
        return x_BCTHW + self.time + self.space


class MaskedLinear(nn.Linear):
    """`y = (weight * mask) x + bias`, the mask being 0 at a share of the weights drawn at random, else 1.

    Drawn at each step, the mask holds for training; in evaluation the weights are multiplied by what it is on average.

    Args:
        in_features: D.
        out_features: K.
        mask_share: share of the weights that are masked.
        drawn: `once`, when this is built, kept with the weights; or `each_step`. From torch's global generator.
    """

    mask_KD: Tensor

    def __init__(self, in_features: int, out_features: int, mask_share: float, drawn: MaskDrawn) -> None:
        super().__init__(in_features, out_features)
        self.mask_share, self.drawn = mask_share, drawn
        if drawn == "once":
            self.register_buffer("mask_KD", self._draw())

    def forward(self, input: Tensor) -> Tensor:
        """The logits."""
        if self.drawn == "once":
            weight_KD = self.weight * self.mask_KD
        elif self.training:
            weight_KD = self.weight * self._draw()
        else:
            weight_KD = self.weight * (1 - self.mask_share)
        return functional.linear(input, weight_KD, self.bias)

    def _draw(self) -> Tensor:
        return torch.rand_like(self.weight, requires_grad=False) >= self.mask_share


class MaskedHead(nn.Module):
    """`logits_BK = masked(dropout(mean_THW(features_BCTHW)))`."""

    initialises_itself = True

    def __init__(self, channels: int, num_classes: int, dropout: float, mask_share: float, drawn: MaskDrawn) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = MaskedLinear(channels, num_classes, mask_share, drawn)
        _xavier(self)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        logits_BK: Tensor = self.classifier(self.dropout(self.pool(features_BCTHW).flatten(1)))
        return logits_BK


class ConvTimeSformer(Recogniser):
    """`head(norm(blocks(positions(stem(x)))))`, `x_BCTHW -> logits_BK`."""

    def __init__(
        self,
        in_channels: int,
        head: nn.Module,
        limits: Limits,
        stem: nn.Module,
        positions: nn.Module,
        blocks: nn.Module,
        norm: nn.Module,
    ) -> None:
        super().__init__(in_channels, head, limits)
        self.stem, self.positions, self.blocks, self.norm = stem, positions, blocks, norm

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The normalised tokens after the last block, as a map `features_BCTHW`."""
        self.check(x_BCTHW)
        y_BCTHW = self.blocks(self.positions(self.stem(x_BCTHW)))
        normed: Tensor = self.norm(y_BCTHW.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        return normed


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    mask_share: float
    """Share of the classifier's weights that are multiplied by 0; 0.1 when left out (the source names none)."""
    mask_drawn: MaskDrawn
    """`once`, when the network is built (left out), or `each_step` of training."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised network, `x_BCTHW -> logits_BK`, for clips of exactly the size asked for.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; the masked classifier when left out. With another, the mask does not apply.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, an option that the head has no use for, or a head that learns from
            single frames.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    share, drawn = options.get("mask_share", 0.1), options.get("mask_drawn", "once")
    if not 0 <= share < 1:
        raise BadValue(share, "mask_share must lie in [0, 1)", "It is the share of the classifier's weights masked.")
    if drawn not in get_args(MaskDrawn):
        raise BadValue(drawn, f"mask_drawn must be one of {', '.join(get_args(MaskDrawn))}")
    if request.head_name and {"mask_share", "mask_drawn"} & set(options):
        raise BadValue(request.head_name, "this head's classifier has no mask", "Leave the head or the mask out.")
    shape = _tokens(plan, request.frames, request.height, request.width)
    last: nn.Module
    if request.head_name:
        last = kaiming_(request.head(plan.channels, shape[0]))
        if getattr(last, "trains_on_one_frame", False):
            rule = f"this head learns from one frame, and this network takes exactly {request.frames}"
            raise BadValue(request.head_name, rule, "Take another head.")
    else:
        if request.head_options:
            raise BadValue(dict(request.head_options), "head_options need a head", "Name one from `list heads`.")
        last = MaskedHead(plan.channels, num_classes, request.dropout, share, drawn)
    kernel, stride, padding = (plan.kernel,) * 2, (plan.stride,) * 2, (plan.padding,) * 2
    stem = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(request.in_channels, plan.channels, (3, *kernel), (1, *stride), (1, *padding), bias=False),
            norm=nn.BatchNorm3d(plan.channels),
            act=nn.ReLU(),
            pool=nn.MaxPool3d(2, 2, ceil_mode=True),
        )
    )
    blocks = nn.Sequential(*(DividedBlock(plan.channels, plan.heads) for _ in range(plan.depth)))
    _xavier(stem)
    _xavier(blocks)
    limits = Limits(frames=request.frames, height=request.height, width=request.width)
    positions = Positions(plan.channels, *shape)
    return ConvTimeSformer(request.in_channels, last, limits, stem, positions, blocks, nn.LayerNorm(plan.channels))


def _tokens(plan: Plan, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """T, H, W of the tokens of such a clip.

    Raises:
        BadValue: if it is smaller than the convolution's kernel.
    """
    smallest = max(1, plan.kernel - 2 * plan.padding)
    if min(height, width) < smallest:
        rule = f"the first convolution needs clips of at least {smallest} pixels a side"
        raise BadValue((height, width), rule, "Give larger clips.")
    rows, columns = ((n + 2 * plan.padding - plan.kernel) // plan.stride + 1 for n in (height, width))
    return -(-frames // 2), -(-rows // 2), -(-columns // 2)


def _xavier(module: nn.Module) -> None:
    """Xavier-uniform weights (Glorot, Bengio, AISTATS 2010, equation 16), biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv3d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
