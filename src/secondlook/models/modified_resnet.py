"""Modified ResNet-50 of the non-local work (50; 50-nl, with five non-local blocks; tiny, tiny-nl): kernels 3 x 1 x 1.

Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, section 4 (I3D of table 2, with time kept after the
second stage), as its PyTorch code has it (pytorch-resnet3d); `late-temporal-bert`, sections 1.11 and 1.12. A 5 x 7 x 7
stem and two max-pools leave T / 8 of T frames; the stages never stride in time. The first convolution of a bottleneck
is 3 x 1 x 1 in all blocks of the first stage and in every second block of the others. `50-nl` has non-local blocks
after the second and fourth block of `layer2` and the second, fourth and sixth of `layer3`. Departs from the paper in
the first max-pool, which halves T and has no padding in space, and from the code where a non-local block meets a map of
odd size: its pooled maps keep the last row and column.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from torch import Tensor, nn

from secondlook.cards import ModelCard
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.non_local import NonLocal
from secondlook.layers.residual import Bottleneck, shortcut
from secondlook.models._figures import Figure
from secondlook.models._recogniser import Limits
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import IMAGENET, POINTS, TINY_CLIP, StagedNetwork


@dataclass(frozen=True)
class Plan:
    """Depths, widths, kernels and strides of a variant."""

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    frames: tuple[tuple[int, ...], ...] = ((3,), (3, 1), (3, 1), (1, 3))
    """T of the first convolution of each stage's blocks, in turn."""
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Inner width of each stage; a stage gives four times as many channels."""
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    """In space, of each stage's first block."""
    non_local: bool = False
    """A non-local block after every second block of the second and third stage."""


_TINY = Plan((1, 2, 2, 1), channels=(10, 12, 20, 24), strides=(1, 2, 2, 1))
PLANS: Mapping[str, Plan] = {
    "50": Plan(),
    "50-nl": Plan(non_local=True),
    "tiny": _TINY,
    "tiny-nl": replace(_TINY, non_local=True),
}
_CLIP = replace(IMAGENET, frames=32, sampling="dense", stride=2)
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"modified_resnet:{variant}",
        TINY_CLIP if variant.startswith("tiny") else _CLIP,
        POINTS,
        "Wang et al., CVPR 2018",
    )
    for variant in PLANS
}


class NonLocalBottleneck(Bottleneck):
    """A bottleneck, then a non-local block; the names of the former are those of a bottleneck alone."""

    def __init__(self, convs: Sequence[nn.Module], channels: int, around: nn.Module) -> None:
        super().__init__(convs, channels, nn.BatchNorm3d, around)
        self.non_local = NonLocal(channels * self.expansion, scaled=True)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step, and one over all places."""
        out: Tensor = self.non_local(super().forward(x))
        return out


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised modified ResNet, `x_BCTHW -> logits_BK`.

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
    width = plan.channels[0]
    stem = nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv3d(request.in_channels, width, (5, 7, 7), 2, (2, 3, 3), bias=False),
            norm=nn.BatchNorm3d(width),
            act=nn.ReLU(),
            pool=nn.MaxPool3d((2, 3, 3), 2),
        )
    )
    stages = []
    for index, (channels, depth, frames, first) in enumerate(
        zip(plan.channels, plan.blocks, plan.frames, plan.strides, strict=True)
    ):
        blocks = OrderedDict[str, nn.Module]()
        for b in range(depth):
            looks = plan.non_local and index in (1, 2) and b % 2 == 1
            blocks[str(b)] = _block(width, channels, frames[b % len(frames)], first if b == 0 else 1, looks)
            width = 4 * channels
        if index == 0:
            blocks["pool"] = nn.MaxPool3d((2, 1, 1))
        stages.append(nn.Sequential(blocks))
    outputs = [4 * channels for channels in plan.channels]
    last = request.head(outputs, max((request.frames + 1) // 2 // 4, 1))
    return kaiming_(StagedNetwork(request.in_channels, stem, stages, last, Limits(min_frames=7, min_size=5)))


def _block(channels_in: int, channels: int, frames: int, stride: int, non_local: bool) -> Bottleneck:
    convs = (
        nn.Conv3d(channels_in, channels, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False),
        nn.Conv3d(channels, channels, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.Conv3d(channels, 4 * channels, 1, bias=False),
    )
    around = shortcut(nn.Conv3d, channels_in, 4 * channels, (1, stride, stride), nn.BatchNorm3d)
    if non_local:
        return NonLocalBottleneck(convs, channels, around)
    return Bottleneck(convs, channels, nn.BatchNorm3d, around)


_SPEC = "late-temporal-bert, section 8: Modified ResNet50"
_ALSO = "its {} G also count normalisations, activations and pools"
_NOT = "; they leave out the products of the non-local blocks"
FIGURES: tuple[Figure, ...] = (
    Figure("50", 51, (32, 224, 224), f"{_SPEC} 32f", parameters=27_328_371, note=_ALSO.format("33.051")),
    Figure("50", 51, (64, 224, 224), f"{_SPEC} 64f", parameters=27_328_371, note=_ALSO.format("66.101")),
    Figure("50-nl", 51, (32, 224, 224), f"{_SPEC} + NL", parameters=34_686_835, note=_ALSO.format("38.22") + _NOT),
    Figure("50-nl", 51, (64, 224, 224), f"{_SPEC} + NL", parameters=34_686_835, note=_ALSO.format("76.43") + _NOT),
)
