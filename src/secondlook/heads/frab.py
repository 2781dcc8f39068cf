"""FRAB: one more unit after the backbone that narrows its features, then another head (BERT by default).

Kalfaoglu, Kalkan, Alatan, ECCV Workshops 2020; `late-temporal-bert`, section 1.21. The unit is a bottleneck (ResNets),
or an Inception module with half the widths of I3D's last (`inception`), made for 512 channels and scaled to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads._build import build_head, choice, heads_over_one_map, parts, whole
from secondlook.layers.feature_reduction import reduction_unit
from secondlook.layers.kaiming import kaiming_

UNITS = ("bottleneck", "inception")


class FrabHead(nn.Module):
    """`logits_BK = then(unit(features_BCTHW))`.

    Args:
        unit: narrows the map.
        then: a head over what it gives; its dropout and classifier become this head's.
    """

    initialises_itself = True

    def __init__(self, unit: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.unit = unit
        self.then, self.dropout, self.classifier = parts(then)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        logits_BK: Tensor = self.classifier(self.dropout(self.then(self.unit(features_BCTHW))))
        return logits_BK


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    width: int = 512,
    unit: str = "bottleneck",
    groups: int = 1,
    then: str = "bert",
    then_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the features dropped in training before the classifier.
        width: channels after the unit.
        unit: `bottleneck` or `inception`.
        groups: of the bottleneck's 3 x 3 x 3 convolution: 32 on a ResNeXt.
        then: the head over the narrowed map.
        then_options: what that head takes beyond.

    Raises:
        BadValue: if a width cannot be.
        UnknownName: if there is no such unit or head; names the nearest.
    """
    whole(width, "width")
    if choice(unit, "unit", UNITS) == "inception":
        made = _inception(channels, width)
    else:
        made = reduction_unit(channels, width, whole(groups, "groups"))
    name = choice(then, "head after the unit", [n for n in heads_over_one_map() if n != "frab"])
    return FrabHead(kaiming_(made), build_head(name, width, frames, num_classes, dropout, then_options))


def _inception(channels: int, width: int) -> nn.Module:
    from secondlook.layers.inception import Inception

    if width % 64:
        raise BadValue(width, "the width of an Inception FRAB must be a multiple of 64", "Take 512.")
    part = width // 64
    return Inception(channels, (24 * part, 12 * part, 24 * part, 3 * part, 8 * part, 8 * part))
