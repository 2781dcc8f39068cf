"""SlowFast (50-4x16, 50-8x8, 101-8x8, 101-16x8, tiny): a slow, wide pathway, and a fast, thin one that feeds it.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1; `late-temporal-bert`, section 1.13;
`label-reassessment`, section 5.3. A clip has the frames of the fast pathway; the slow one sees one in `alpha` of them,
spread from the first to the last, picked inside the network. `101-16x8` looks along time in the first six blocks of the
third stage only, as the published weights "101-50-50" do.

Departs from PySlowFast, whose frames are `torch.linspace(0, T - 1, T / alpha)` cut to whole numbers, in exact
arithmetic (the same for all T below 160), and where a clip is larger than those in training: features are averaged over
the whole map, not over windows of the training size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from secondlook import catalog
from secondlook.cards import ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.heads._build import build_head
from secondlook.layers.kaiming import kaiming_
from secondlook.models import _pathway
from secondlook.models._figures import Figure
from secondlook.models._pathway import FAST, RESNET_50, RESNET_101, SLOW, Pathway
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, Request, request_of
from secondlook.models._staged import CLASSIFIER, STAGES, TINY_CLIP
from secondlook.models.slow import CLIP


@dataclass(frozen=True)
class Plan:
    """The slow pathway, and how the fast one differs and joins."""

    slow: Pathway = RESNET_50
    alpha: int = 4
    """Frames of the fast pathway for one of the slow."""
    beta_inverse: int = 8
    """Channels of the slow pathway for one of the fast."""
    fusion_ratio: int = 2
    """Channels that a lateral connection gives for one of the fast pathway (FCCR)."""
    lateral_kernel: int = 5
    """T of the lateral connections' kernels."""

    @property
    def fast(self) -> Pathway:
        """The fast pathway: thinner, and looking along time wherever the slow one does, and in its early stages."""
        thin = tuple(c // self.beta_inverse for c in self.slow.channels)
        frames = (*FAST[:2], *self.slow.frames[2:])
        return replace(self.slow, channels=thin, stem_frames=5, frames=frames)  # type: ignore[arg-type]


_SIX = ((1,), (1,), (3,) * 6 + (1,) * 17, (3,))
PLANS: Mapping[str, Plan] = {
    "50-4x16": Plan(alpha=8),
    "50-8x8": Plan(lateral_kernel=7),
    "101-8x8": Plan(RESNET_101),
    "101-16x8": Plan(replace(RESNET_101, frames=_SIX)),
    "tiny": Plan(Pathway((1, 1, 1, 1), (12, 16, 24, 32), frames=SLOW, strides=(1, 2, 2, 1)), beta_inverse=4),
}
_CLIP = replace(CLIP, frames=32, stride=2)
_CLIPS = {"tiny": TINY_CLIP, "101-16x8": replace(_CLIP, frames=64)}
POINTS = ExplainPoints(
    (*(ExplainPoint(f"{p}.{name}", pathway=p) for p in ("slow", "fast") for name in STAGES), ExplainPoint("join")),
    CLASSIFIER,
)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"slowfast:{variant}", _CLIPS.get(variant, _CLIP), POINTS, "Feichtenhofer et al., ICCV 2019")
    for variant in PLANS
}


class Lateral(nn.Module):
    """`concat(slow, act(norm(conv(fast))))`, the convolution striding over the fast pathway's surplus of frames.

    Args:
        channels_in: of the fast map.
        channels: that are added to the slow map.
        kernel: in time.
        alpha: the stride.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int, alpha: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.act = nn.ReLU()

    def forward(self, slow_BCTHW: Tensor, fast_BCTHW: Tensor) -> Tensor:
        """The slow map with what the fast one tells it."""
        return torch.cat([slow_BCTHW, self.act(self.norm(self.conv(fast_BCTHW)))], 1)


class Join(nn.Module):
    """`concat(slow, mean over each alpha frames(fast))`: both pathways as one map, at the slow one's frames."""

    def __init__(self, alpha: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d((alpha, 1, 1))

    def forward(self, slow_BCTHW: Tensor, fast_BCTHW: Tensor) -> Tensor:
        """B x (C of slow + C of fast) x T of slow x H x W."""
        return torch.cat([slow_BCTHW, self.pool(fast_BCTHW)], 1)


class SlowFast(Recogniser):
    """`head(join(slow, fast))`, `x_BCTHW -> logits_BK`; T is that of the fast pathway, a multiple of alpha.

    Args:
        in_channels: channels of the clips.
        plan: of both pathways.
        head: a late temporal head over the joined map.
    """

    def __init__(self, in_channels: int, plan: Plan, head: nn.Module) -> None:
        super().__init__(in_channels, head, Limits(frames_multiple=plan.alpha))
        self.alpha = plan.alpha
        thin = plan.fast
        from_fast = (thin.channels[0], *thin.outputs[:3])
        told = [plan.fusion_ratio * channels for channels in from_fast]
        self.slow = _modules(in_channels, plan.slow, told)
        self.fast = _modules(in_channels, thin, (0, 0, 0, 0))
        self.lateral = nn.ModuleDict(
            {
                name: Lateral(channels, more, plan.lateral_kernel, plan.alpha)
                for name, channels, more in zip(STAGES[:-1], from_fast, told, strict=True)
            }
        )
        self.join = Join(plan.alpha)
        del self.head  # and set again, so that modules stand in the order of the data
        self.head = head

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """Both maps before pooling as one: B x 2304 x T / alpha x H x W (for 50 and 101)."""
        features_BCTHW: Tensor = self.join(*self.pathway_features(x_BCTHW))
        return features_BCTHW

    def for_head(self, x_BCTHW: Tensor) -> Any:
        """The joined map; both maps for a head that reads pathways."""
        if getattr(self.head, "reads_pathways", False):
            return self.pathway_features(x_BCTHW)
        return super().for_head(x_BCTHW)

    def pathway_features(self, x_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """The slow and the fast map before pooling, each `BCTHW`, with T / alpha and T frames."""
        self.check(x_BCTHW)
        index = torch.tensor(slow_frames(x_BCTHW.shape[2], self.alpha), device=x_BCTHW.device)
        slow, fast = x_BCTHW.index_select(2, index), x_BCTHW
        for name in STAGES:
            slow, fast = self.slow[name](slow), self.fast[name](fast)
            if name in self.lateral:
                slow = self.lateral[name](slow, fast)
        return slow, fast


def slow_frames(frames: int, alpha: int) -> list[int]:
    """Which frames of a clip the slow pathway sees: `floor(i (T - 1) / (N - 1))` for i < N = T / alpha."""
    count = frames // alpha
    return [i * (frames - 1) // max(count - 1, 1) for i in range(count)]


def _modules(in_channels: int, pathway: Pathway, joined: tuple[int, ...] | list[int]) -> nn.ModuleDict:
    stages = [nn.Sequential(blocks) for blocks in _pathway.stages(pathway, joined)]
    return nn.ModuleDict(dict(zip(STAGES, (_pathway.stem(in_channels, pathway), *stages), strict=True)))


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take; the variant says what is left out."""

    alpha: int
    """Frames of the fast pathway for one of the slow: 4 or 8."""
    beta_inverse: int
    """Channels of the slow pathway for one of the fast: 8."""
    fusion_ratio: int
    """Channels that a lateral connection gives for one of the fast pathway (FCCR): 2."""
    lateral_kernel: int
    """T of the lateral connections' kernels: 5 or 7."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised SlowFast network, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out, the source's: the means of both pathways, side by side.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    names = ("alpha", "beta_inverse", "fusion_ratio", "lateral_kernel")
    given = {name: options[name] for name in names if options.get(name) is not None}  # type: ignore[literal-required]
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadValue(value, f"{name} must be a whole number of at least 1")
    plan = replace(PLANS[variant], **given)
    if plan.lateral_kernel % 2 == 0:
        raise BadValue(plan.lateral_kernel, "the lateral kernel must be odd, to look both ways alike", "Take 5 or 7.")
    if any(c % plan.beta_inverse for c in plan.slow.channels):
        rule = f"beta_inverse must divide the slow pathway's widths {plan.slow.channels}"
        raise BadValue(plan.beta_inverse, rule, f"Take {PLANS[variant].beta_inverse}.")
    return kaiming_(SlowFast(request.in_channels, plan, _head(request, plan)))


def _head(request: Request, plan: Plan) -> nn.Module:
    """A head over the joined map, or one that reads the maps of both pathways."""
    slow, fast = plan.slow.outputs[-1], plan.fast.outputs[-1]
    frames = max(1, request.frames // plan.alpha)
    if getattr(catalog.find("heads", request.head_name or "average"), "READS_PATHWAYS", False):
        return build_head(
            request.head_name,
            (slow, fast),
            (frames, request.frames),  # type: ignore[arg-type]  # of both, for such a head
            request.num_classes,
            request.dropout,
            request.head_options,
        )
    last = request.head(slow + fast, frames)
    if getattr(last, "trains_on_one_frame", False):
        rule = f"this head learns from one frame, and this network takes at least {plan.alpha}"
        raise BadValue(request.head_name, rule, "Take another head.")
    return last


_MEASURED = "PySlowFast and PyTorchVideo, counted"
_ZOO = "PyTorchVideo model zoo"
FIGURES: tuple[Figure, ...] = (
    Figure("50-4x16", 400, (32, 224, 224), "PySlowFast, counted", millions="34.480", gmac=27.64),
    Figure("50-8x8", 400, (32, 224, 224), _MEASURED, millions="34.566", gmac=50.31),
    Figure("50-8x8", 400, (32, 256, 256), _ZOO, millions="34.57", gmac=65.71),
    Figure(
        "50-8x8",
        51,
        (32, 224, 224),
        "late-temporal-bert, section 8: SlowFast-50 8x8",
        parameters=33_762_043,
        note="its 50.71 G also count normalisations, activations and pools",
    ),
    *(
        Figure(
            "50-8x8",
            51,
            (32, 224, 224),
            f"late-temporal-bert, section 8: SlowFast-BERT {fusion}",
            parameters=parameters,
            head="slowfast_bert",
            options={"head_options": {"fusion": fusion}},
            note="its operations also count normalisations, activations and pools",
        )
        for fusion, parameters in (("early", 42_252_283), ("late", 41_116_155))
    ),
    Figure("50-8x8", 174, (32, 224, 224), f"{_ZOO}, Something-Something v2", millions="34.04"),
    Figure(
        "101-8x8", 400, (32, 256, 256), _MEASURED, millions="62.827", gmac=125.91, note=f"the {_ZOO} prints 127.20 G"
    ),
    Figure(
        "101-16x8", 400, (64, 256, 256), _MEASURED, millions="53.775", gmac=213.02, note=f"the {_ZOO} prints 215.61 G"
    ),
)
