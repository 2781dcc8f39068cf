"""What every network here is: something that gives features, and a head that classifies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue


@dataclass(frozen=True)
class Limits:
    """Which clips a network can take; anything when left at its defaults."""

    frames: int | None = None
    """Exactly this T."""
    height: int | None = None
    """Exactly this H."""
    width: int | None = None
    """Exactly this W."""
    min_frames: int = 1
    min_size: int = 1
    """Smallest H and W."""
    frames_multiple: int = 1
    """T is a multiple of this."""

    def broken(self, frames: int, height: int, width: int) -> str:
        """The rule that a clip breaks, in words; empty if it breaks none."""
        for name, given, wanted in (
            ("frames", frames, self.frames),
            ("pixels of height", height, self.height),
            ("pixels of width", width, self.width),
        ):
            if wanted is not None and given != wanted:
                return f"this network was built for exactly {wanted} {name}, and the clip has {given}"
        if frames < self.min_frames:
            return f"this network needs at least {self.min_frames} frames, and the clip has {frames}"
        if min(height, width) < self.min_size:
            return f"this network needs at least {self.min_size} pixels a side, and the clip has {min(height, width)}"
        if frames % self.frames_multiple:
            return f"this network takes a multiple of {self.frames_multiple} frames, and the clip has {frames}"
        return ""


class Recogniser(nn.Module):
    """`logits_BK = head(features(x_BCTHW))`; a family says what `features` is.

    Args:
        in_channels: channels of the clips.
        head: a late temporal head; its last linear layer is its `classifier`.
        limits: which clips the network can take.
    """

    def __init__(self, in_channels: int, head: nn.Module, limits: Limits | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.limits = limits or Limits()
        self.head = head

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The map before pooling, `features_BCTHW`."""
        raise NotImplementedError

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Logits of each clip, in training and evaluation alike."""
        logits_BK: Tensor = self.head(self.for_head(x_BCTHW))
        return logits_BK

    def for_head(self, x_BCTHW: Tensor) -> Any:
        """What the head reads: the features; in training those of one random frame if the head learns from one."""
        if self.training and getattr(self.head, "trains_on_one_frame", False):
            t = int(torch.randint(x_BCTHW.shape[2], (), device="cpu"))
            x_BCTHW = x_BCTHW[:, :, t : t + 1]
        return self.features(x_BCTHW)

    def check(self, x_BCTHW: Tensor) -> None:
        """Refuses what is no batch of clips that this network can take.

        Raises:
            BadValue: with the shape that was given, the rule it breaks and the cure.
        """
        if x_BCTHW.ndim != 5 or x_BCTHW.shape[1] != self.in_channels:
            raise BadValue(
                tuple(x_BCTHW.shape),
                f"this network wants B x {self.in_channels} x T x H x W",
                "The card's modality says how many channels a clip has.",
            )
        rule = self.limits.broken(*x_BCTHW.shape[2:])
        if rule:
            raise BadValue(tuple(x_BCTHW.shape), rule, "Give such clips, or build the network for others.")
