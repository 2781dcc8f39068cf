"""Networks of a stem, four stages and a head: their module names, forward pass and usual input recipes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints
from secondlook.models._recogniser import Limits, Recogniser

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
"""Module names from input to head, the same in every family."""
CLASSIFIER = "head.classifier"
"""Every head calls its last linear layer `classifier`."""
IMAGENET = ClipSpec(frames=8, sampling="segments", short_side=256, height=224, width=224)
"""What 2D networks and their descendants take: one frame a segment, ImageNet's mean and standard deviation."""
KINETICS = ClipSpec(
    frames=16,
    sampling="dense",
    stride=2,
    short_side=128,
    height=112,
    width=112,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
"""What torchvision's video weights were trained on, at 30 frames a second (they are resized to 128 x 171)."""
TINY_CLIP = ClipSpec(
    frames=16, height=56, width=72, fit="squash", modality="luma_difference", mean=(0.45, 0.0), std=(0.25, 0.1)
)
"""Brightness and its change on a small whole frame: for two CPU cores."""
POINTS = ExplainPoints(tuple(ExplainPoint(name) for name in STAGES), CLASSIFIER)
POINTS_FOLDED = ExplainPoints(tuple(ExplainPoint(name, layout="(BT)CHW") for name in STAGES), CLASSIFIER)


class StagedNetwork(Recogniser):
    """`head(layer4(layer3(layer2(layer1(stem(x))))))`, `x_BCTHW -> logits_BK`.

    Args:
        in_channels: channels of the clips.
        stem: the first module.
        stages: the four stages.
        head: a late temporal head; one that joins stages gets the maps of all four.
        limits: which clips the network can take.
    """

    def __init__(
        self,
        in_channels: int,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        head: nn.Module,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(in_channels, head, limits)
        self.stem = stem
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        del self.head  # and set again, so that modules stand in the order of the data
        self.head = head

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before pooling, `features_BCTHW`."""
        return self.stage_maps(x_BCTHW)[-1]

    def stage_maps(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of the four stages, each `BCTHW`."""
        self.check(x_BCTHW)
        x = self.stem(x_BCTHW)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def for_head(self, x_BCTHW: Tensor) -> Any:
        """The features; the maps of all stages for a head that joins them."""
        if getattr(self.head, "reads_stages", False):
            return self.stage_maps(x_BCTHW)
        return super().for_head(x_BCTHW)


def frames_left(frames: int, strides: Iterable[tuple[int, int]]) -> int:
    """T of the features of a clip, given each stage's stride (time, space)."""
    for time, _ in strides:
        frames = -(-frames // time)
    return frames
