"""Slow-only (50-8x8, 50-4x16, tiny), C2D and I3D ResNet-50 (c2d-50, i3d-50, i3d-50-nl): T x 1 x 1, then 1 x 3 x 3.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, table 1 (Slow); Wang et al., "Non-local
Neural Networks", CVPR 2018, tables 1 and 2 (C2D, I3D, non-local); all as PySlowFast and PyTorchVideo build them. Slow
keeps all frames to the end and looks along time in its last two stages; `c2d-50` never looks along time but for a
max-pool over pairs of frames after the first stage, which `i3d-50` has too. `i3d-50-nl` has five non-local blocks,
after the second and fourth block of `layer2` and the second, fourth and sixth of `layer3`.

Departs from both code bases where a clip is larger than those in training: features are averaged over the whole map,
not over windows of the training size. Departs from PySlowFast where a non-local block meets a map of odd size: its
pooled maps keep the last row and column.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.non_local import NonLocal
from secondlook.models import _pathway
from secondlook.models._figures import Figure
from secondlook.models._pathway import RESNET_50, Kernels, Pathway
from secondlook.models._recogniser import Limits
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import POINTS, TINY_CLIP, StagedNetwork

_C2D: Kernels = ((1,), (1,), (1,), (1,))
_I3D: Kernels = ((3,), (3, 1), (3, 1), (1, 3))


@dataclass(frozen=True)
class Plan:
    """A pathway, and what stands between its blocks."""

    pathway: Pathway = RESNET_50
    pool: bool = False
    """A max-pool over pairs of frames before the second stage."""
    non_local: bool = False
    """A non-local block after every second block of the second and third stage."""


PLANS: Mapping[str, Plan] = {
    "50-8x8": Plan(),
    "50-4x16": Plan(),
    "c2d-50": Plan(Pathway(frames=_C2D), pool=True),
    "i3d-50": Plan(Pathway(frames=_I3D, stem_frames=5), pool=True),
    "i3d-50-nl": Plan(Pathway(frames=_I3D, stem_frames=5), pool=True, non_local=True),
    "tiny": Plan(Pathway((1, 1, 1, 1), (8, 12, 16, 24), strides=(1, 2, 2, 1))),
}
CLIP = ClipSpec(
    frames=8,
    sampling="dense",
    stride=8,
    short_side=256,
    height=224,
    width=224,
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
)
"""What PySlowFast's and PyTorchVideo's weights were trained on, at 30 frames a second; they test at 256 x 256."""
_CLIPS: Mapping[str, ClipSpec] = {"tiny": TINY_CLIP, "50-4x16": replace(CLIP, frames=4, stride=16)}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"slow:{variant}",
        _CLIPS.get(variant, CLIP),
        POINTS,
        "Wang et al., CVPR 2018" if plan.pool else "Feichtenhofer et al., ICCV 2019",
        order_blind=plan.pathway.frames == _C2D,
    )
    for variant, plan in PLANS.items()
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised network, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `average` when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    stages = _pathway.stages(plan.pathway)
    if plan.non_local:
        stages[1:3] = map(_with_non_local, stages[1:3], plan.pathway.outputs[1:3])
    if plan.pool:
        stages[1] = OrderedDict(pool=nn.MaxPool3d((2, 1, 1)), **stages[1])
    last = request.head(plan.pathway.outputs, max(1, request.frames // 2) if plan.pool else request.frames)
    if plan.pool and getattr(last, "trains_on_one_frame", False):
        rule = "this head learns from one frame, and this network takes at least 2"
        raise BadValue(request.head_name, rule, "Take another head, or a variant that keeps all frames.")
    stem = _pathway.stem(request.in_channels, plan.pathway)
    limits = Limits(min_frames=2 if plan.pool else 1)
    return kaiming_(
        StagedNetwork(request.in_channels, stem, [nn.Sequential(blocks) for blocks in stages], last, limits)
    )


def _with_non_local(blocks: OrderedDict[str, nn.Module], channels: int) -> OrderedDict[str, nn.Module]:
    found = OrderedDict[str, nn.Module]()
    for name, block in blocks.items():
        found[name] = block
        if int(name) % 2 == 1:
            found[f"non_local{name}"] = NonLocal(channels, scaled=True)
    return found


_MEASURED = "PyTorchVideo, models/resnet.py, and PySlowFast, counted"
_TEST = (8, 256, 256)
FIGURES: tuple[Figure, ...] = (
    Figure("50-8x8", 400, (8, 224, 224), _MEASURED, millions="32.454", gmac=41.74),
    Figure("50-8x8", 400, _TEST, "PyTorchVideo model zoo", millions="32.45", gmac=54.52),
    Figure(
        "50-4x16",
        400,
        (4, 256, 256),
        "PyTorchVideo model zoo",
        millions="32.45",
        note="its 27.55 G also count what is neither convolution nor matrix product",
    ),
    Figure("c2d-50", 400, (8, 224, 224), _MEASURED, millions="24.328", gmac=19.49),
    Figure(
        "c2d-50", 400, _TEST, _MEASURED, millions="24.328", gmac=25.46, note="the PyTorchVideo model zoo prints 25.89 G"
    ),
    Figure("i3d-50", 400, (8, 224, 224), _MEASURED, millions="28.043", gmac=28.41),
    Figure(
        "i3d-50", 400, _TEST, _MEASURED, millions="28.043", gmac=37.11, note="the PyTorchVideo model zoo prints 37.53 G"
    ),
    Figure("i3d-50-nl", 400, (8, 224, 224), "PySlowFast, counted", millions="35.402", gmac=36.54),
    Figure("i3d-50-nl", 400, (8, 224, 224), "mmaction2, I3D metafile", millions="35.4"),
)
