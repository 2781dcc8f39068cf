"""ResNet + transformer encoder on its frames or places (2d-18, 2d-50, 3d-18, 2plus1d-18, `-adaptive`; `tiny`).

`attention-recognisers`, sections 2.1 and 2.2: the maps of a 2D ResNet (one token a frame), a 3D ResNet or an R(2+1)D
network are tokens of a transformer encoder, and a class token is classified; see `heads/transformer.py`. The backbone
is trained ("input learnable") or frozen. `-adaptive` is the source's "adaptive change": every place of the last map is
a token, where the others see one token a frame of it. The source prints neither the encoder's depth nor its width:
here one layer as wide as the backbone's last map. Its plain fine-tuned networks are `resnet3d:18` and `r2plus1d:18`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, Unpack

from torch import nn

from secondlook import catalog
from secondlook.cards import ClipSpec, ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.models._figures import Figure
from secondlook.models._frame_network import FrameNetwork
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import IMAGENET, KINETICS, POINTS, POINTS_FOLDED, STAGES, TINY_CLIP, StagedNetwork

TEMPORAL_KERNELS = (1, 3, 5, 7)


@dataclass(frozen=True)
class Plan:
    """Backbone of a variant, and what its encoder has when no option says otherwise."""

    family: str
    """A file in `models/`."""
    variant: str
    clip: ClipSpec
    points: ExplainPoints = POINTS
    grid: Literal["full"] | None = None
    fc: int = 512
    """Width of the feed-forward branch."""


PLANS: Mapping[str, Plan] = {
    "2d-18": Plan("resnet2d", "18", IMAGENET, POINTS_FOLDED),
    "2d-50": Plan("resnet2d", "50", IMAGENET, POINTS_FOLDED),
    "3d-18": Plan("resnet3d", "18", KINETICS),
    "2plus1d-18": Plan("r2plus1d", "18", KINETICS),
    "3d-18-adaptive": Plan("resnet3d", "18", KINETICS, grid="full"),
    "2plus1d-18-adaptive": Plan("r2plus1d", "18", KINETICS, grid="full"),
    "tiny": Plan("resnet3d", "tiny", TINY_CLIP, fc=128),
    "tiny-2d": Plan("resnet2d", "tiny", TINY_CLIP, POINTS_FOLDED, fc=128),
}
_REFERENCES = {
    "resnet2d": "He et al., CVPR 2016; attention-recognisers, section 2.1",
    "resnet3d": "Hara et al., CVPR 2018; attention-recognisers, section 2.2",
    "r2plus1d": "Tran et al., CVPR 2018; attention-recognisers, section 2.2",
}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(f"resnet_transformer:{variant}", plan.clip, plan.points, _REFERENCES[plan.family])
    for variant, plan in PLANS.items()
}


class _Freezable(StagedNetwork):
    """A staged network whose stem and stages may be frozen."""

    backbone_frozen = False

    def freeze_backbone(self) -> None:
        """Stem and stages learn nothing from now on, and their normalisations keep their running values."""
        self.backbone_frozen = True
        for name in STAGES:
            self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As any module; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.backbone_frozen:
            for name in STAGES:
                self.get_submodule(name).eval()
        return self


class ClipBackbone(_Freezable):
    """A 3D or (2+1)D ResNet before a transformer encoder, `x_BCTHW -> logits_BK`."""


class FrameBackbone(_Freezable, FrameNetwork):
    """A 2D ResNet over each frame before a transformer encoder, `x_BCTHW -> logits_BK`."""


class Options(CommonOptions, total=False):
    """What `build` takes beyond what all families take."""

    attention_heads: int
    """8 when left out; the source tries 16 too. The width of the tokens is a multiple of it."""
    layers: int
    """Encoder layers; 1 when left out."""
    grid: Sequence[int] | Literal["full"]
    """Tokens in time, height and width, to which the last map is pooled; `full`: each of its places. When left out one
    token a frame of the last map, and `full` for the variants `-adaptive`."""
    fc: int
    """Width of the feed-forward branch; 512 when left out."""
    freeze_backbone: bool
    """"Input not learnable": stem and stages take no gradient, and their normalisations stay as they are."""
    temporal_kernel: int
    """Length of the backbone's kernels in time: 1, 3, 5 or 7; not for 2D variants."""


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[Options]) -> nn.Module:
    """A randomly initialised ResNet with a transformer encoder, `x_BCTHW -> logits_BK`.

    Kernels of another length than 3 have as many channels around them as those of 3: in R(2+1)D the middle widths stay
    those of the published network, so that its spatial weights fit.

    Args:
        variant: a name in `CARDS`.
        num_classes: K.
        head: a file in `heads/`; `transformer` when left out. With another, the options of the encoder do not apply.
        options: see `Options`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be, or an option that the variant or head has no use for.
    """
    request = request_of(CARDS, variant, num_classes, head, options, Options)
    plan = PLANS[variant]
    of_encoder = {"attention_heads": "heads", "layers": "layers", "grid": "grid", "fc": "fc"}
    given = {of_encoder[k]: v for k, v in options.items() if k in of_encoder and v is not None}
    if request.head_name not in ("", "transformer") and given:
        rule = f"this head has no transformer encoder, which {', '.join(given)} speak of"
        raise BadValue(request.head_name, rule, "Leave the head out, or give it its own head_options.")
    head_options: Mapping[str, Any] = request.head_options
    if request.head_name in ("", "transformer"):
        head_options = {"fc": plan.fc, "grid": plan.grid, **given, **request.head_options}
        if head_options["grid"] == "full":
            head_options = {**head_options, "grid": _last_map(plan, request.frames, request.height, request.width)}
    backbone = catalog.find("models", plan.family).build(
        plan.variant,
        num_classes,
        request.head_name or "transformer",
        in_channels=request.in_channels,
        frames=request.frames,
        height=request.height,
        width=request.width,
        dropout=request.dropout,
        head_options=head_options,
    )
    _set_temporal_kernel(backbone, options.get("temporal_kernel"), plan)
    kind = FrameBackbone if isinstance(backbone, FrameNetwork) else ClipBackbone
    stages = [backbone.get_submodule(name) for name in STAGES[1:]]
    network = kind(request.in_channels, backbone.stem, stages, backbone.head, backbone.limits)
    if options.get("freeze_backbone"):
        network.freeze_backbone()
    return network


def _last_map(plan: Plan, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """T, H, W of the last stage's map; every stride rounds up."""
    strides = catalog.find("models", plan.family).PLANS[plan.variant]
    time, space = 1, 2 * (2 if getattr(strides, "pool", False) else 1)
    for stride in strides.strides:
        time, space = (time, space * stride) if isinstance(stride, int) else (time * stride[0], space * stride[1])
    return -(-frames // time), -(-height // space), -(-width // space)


def _set_temporal_kernel(network: nn.Module, length: int | None, plan: Plan) -> None:
    """Makes the kernels of stem and stages that look at three frames look at `length`; fills them anew."""
    if length is None or (length == 3 and plan.family != "resnet2d"):
        return
    if plan.family == "resnet2d":
        raise BadValue(
            length, "a 2D network has no kernels in time", "Leave temporal_kernel out, or take a 3D variant."
        )
    if length not in TEMPORAL_KERNELS:
        raise BadValue(length, f"temporal_kernel must be one of {', '.join(map(str, TEMPORAL_KERNELS))}")
    for name, old in list(network.named_modules()):
        if isinstance(old, nn.Conv3d) and old.kernel_size[0] == 3 and name.partition(".")[0] in STAGES:
            kernel = (length, *old.kernel_size[1:])
            padding = (length // 2, *old.padding[1:])
            new = nn.Conv3d(old.in_channels, old.out_channels, kernel, old.stride, padding, bias=False)  # type: ignore[arg-type]
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, new)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "3d-18-adaptive",
        25,
        (8, 112, 112),
        "attention-recognisers, section 2.2, best network",
        millions="37",
        reproducible=False,
        note="Depth and width of the encoder and the size of the larger map are not printed.",
    ),
)
