"""What a family's `build` was asked for: the options that all share, checked, with gaps filled from the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from torch import nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.heads._build import build_head


class CommonOptions(TypedDict, total=False):
    """What every family's `build` takes beyond variant, number of classes and head; a family may add its own."""

    in_channels: int
    """Channels of the clip: 3 for RGB, 2 for flow, 20 for a flow stack; those of the card when left out."""
    frames: int
    """T of the clips, for heads and networks that must know it; that of the card when left out."""
    height: int
    """H of the clips, for networks that must know it; that of the card when left out."""
    width: int
    """W of the clips, likewise."""
    dropout: float
    """Share of the features dropped in training before the classifier."""
    head_options: Mapping[str, Any]
    """What the head's `build` takes beyond channels, frames, classes and dropout."""


@dataclass(frozen=True)
class Request:
    """One call of `build`, complete."""

    card: ModelCard
    num_classes: int
    head_name: str
    """A file in `heads/`; empty: the family's own."""
    in_channels: int
    frames: int
    height: int
    width: int
    dropout: float = 0.0
    head_options: Mapping[str, Any] = field(default_factory=dict)

    def head(self, channels: int | Sequence[int], frames: int) -> nn.Module:
        """The late temporal head that was asked for, `average` by default.

        Args:
            channels: C of the features, or of the maps of all four stages from input to head.
            frames: T of the features.

        Raises:
            BadValue: if the head joins stages or pathways and the family has none.
            UnknownName: if there is no such head, or it has no such option; names the nearest.
        """
        name = self.head_name or "average"
        stages = (channels,) if isinstance(channels, int) else tuple(channels)
        plugin = catalog.find("heads", name)
        if getattr(plugin, "READS_PATHWAYS", False):
            rule = f"this head reads two pathways, and {self.card.family} has one"
            raise BadValue(name, rule, "Take slowfast.")
        reads_stages = getattr(plugin, "READS_STAGES", False)
        if reads_stages and len(stages) == 1:
            rule = f"this head joins the maps of several stages, and {self.card.family} has one"
            raise BadValue(name, rule, "Take a ResNet family.")
        read = stages if reads_stages else stages[-1]
        return build_head(name, read, frames, self.num_classes, self.dropout, self.head_options)


def request_of(
    cards: Mapping[str, ModelCard],
    variant: str,
    num_classes: int,
    head: str | None,
    options: Mapping[str, Any],
    known: type = CommonOptions,
) -> Request:
    """Checks what `build` was given.

    Args:
        cards: the family's `CARDS`.
        variant: a name in them.
        num_classes: K.
        head: a file in `heads/`; None or empty: the family's own.
        options: the keywords of `build`.
        known: the `TypedDict` of the keywords that this family reads.

    Raises:
        UnknownName: if there is no such variant or option; names the nearest.
        BadValue: if a count is below 1 or the dropout is no share.
    """
    if variant not in cards:
        raise UnknownName("variant", variant, cards, "`secondlook show models` lists them.")
    names = sorted(known.__optional_keys__ | known.__required_keys__)  # type: ignore[attr-defined]
    for name in options:
        if name not in names:
            raise UnknownName("model option", name, names)
    if num_classes < 1:
        raise BadValue(num_classes, "a recogniser needs at least one class", "Give the number of labels.")
    card = cards[variant]
    clip = card.clip
    counts = {"in_channels": clip.channels, "frames": clip.frames, "height": clip.height, "width": clip.width}
    counts |= {name: options[name] for name in counts if options.get(name) is not None}
    for name, count in counts.items():
        if count < 1:
            raise BadValue(count, f"{name} must be at least 1")
    dropout = options.get("dropout") or 0.0
    if not 0 <= dropout < 1:
        raise BadValue(dropout, "dropout must lie in [0, 1)", "It is the share of features dropped in training.")
    head_options = options.get("head_options") or {}
    return Request(card, num_classes, head or "", **counts, dropout=dropout, head_options=head_options)
