"""What every network here is: a stem, four stages, a head; and the checks that `build` shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from secondlook import catalog
from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue, UnknownName

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
"""Module names from input to head, the same in every family."""
CLASSIFIER = "head.classifier"
"""Every head calls its last linear layer `classifier`."""
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


class StagedNetwork(nn.Module):
    """`head(layer4(layer3(layer2(layer1(stem(x))))))`, `x_BCTHW -> logits_BK`."""

    def __init__(self, in_channels: int, stem: nn.Module, stages: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = stem
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.head = head

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before pooling, `features_BCTHW`."""
        self.check(x_BCTHW)
        out: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x_BCTHW)))))
        return out

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each clip, in training and evaluation alike."""
        logits_BK: Tensor = self.head(self.features(x_BCTHW))
        return logits_BK

    def check(self, x_BCTHW: Tensor) -> None:
        """Refuses what is no batch of clips with this network's channels.

        Raises:
            BadValue: with the shape that was given.
        """
        if x_BCTHW.ndim != 5 or x_BCTHW.shape[1] != self.in_channels:
            raise BadValue(
                tuple(x_BCTHW.shape),
                f"this network wants B x {self.in_channels} x T x H x W",
                "The card's modality says how many channels a clip has.",
            )


def frames_left(frames: int, strides: Iterable[tuple[int, int]]) -> int:
    """T of the features of a clip, given each stage's stride (time, space)."""
    for time, _ in strides:
        frames = -(-frames // time)
    return frames


def card_of(
    cards: Mapping[str, ModelCard], variant: str, unknown: Mapping[str, object], more_options: Iterable[str] = ()
) -> ModelCard:
    """The card of a variant, after refusing options that no one reads.

    Raises:
        UnknownName: if there is no such variant or option; names the nearest.
    """
    if variant not in cards:
        raise UnknownName("variant", variant, cards, "`secondlook show models` lists them.")
    for name in unknown:
        raise UnknownName("model option", name, ("in_channels", "frames", "dropout", *more_options))
    return cards[variant]


def head_of(name: str, channels: int, frames: int, num_classes: int, dropout: float) -> nn.Module:
    """A late temporal head by name.

    Raises:
        BadValue: if there is no class to tell.
        UnknownName: if there is no such head.
    """
    if num_classes < 1:
        raise BadValue(num_classes, "a recogniser needs at least one class", "Give the number of labels.")
    head: nn.Module = catalog.find("heads", name or "average").build(channels, frames, num_classes, dropout=dropout)
    return head
