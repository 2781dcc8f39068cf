"""Stage fusion: the maps of the last two, three or four stages, pooled and joined frame by frame, then another head.

`late-temporal-bert`, section 1.25 ("dual", "triple", "quadruplet"): on a ResNet-18 768, 896 or 960 channels a frame,
then concatenation over 16 frames. Departs where stages differ in length (3D networks): each is averaged in time to the
length of the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads._build import build_head, choice, heads_over_one_map, parts, whole
from secondlook.heads._pool import GridPool

READS_STAGES = True
"""`build` gets the channels of the four stages."""


class StageFusionHead(nn.Module):
    """`logits_BK = classifier(dropout(then(join(mean_HW(stage maps)))))`.

    Args:
        stages: how many, from the last.
        then: a head over the joined channels; its dropout and classifier become this head's.
    """

    reads_stages = True

    def __init__(self, stages: int, then: nn.Module) -> None:
        super().__init__()
        self.initialises_itself = bool(getattr(then, "initialises_itself", False))
        self.stages = stages
        self.pool = GridPool((None, 1, 1))
        self.then, self.dropout, self.classifier = parts(then)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits of each clip, from the maps of all stages, each `BCTHW`, from input to head."""
        logits_BK: Tensor = self.classifier(self.dropout(self.then(self.join(maps))))
        return logits_BK

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """The pooled maps side by side, `B x (sum of C) x T x 1 x 1`, T being that of the last."""
        frames = maps[-1].shape[2]
        in_time = GridPool((frames, None, None))
        pooled = [self.pool(stage_BCTHW) for stage_BCTHW in maps[-self.stages :]]
        return torch.cat([p if p.shape[2] == frames else in_time(p) for p in pooled], 1)


def build(
    channels: Sequence[int],
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    stages: int = 3,
    then: str = "concat",
    then_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The head.

    Args:
        channels: of the maps of all stages, from input to head.
        frames: T of the last.
        num_classes: K.
        dropout: share of the features dropped in training before the classifier.
        stages: how many are joined, from the last: 2, 3 or 4.
        then: the head over them; any that reads one map, but `single_frame`.
        then_options: what that head takes beyond.
    """
    if whole(stages, "stages") not in (2, 3, 4):
        raise BadValue(stages, "stage fusion joins the last 2, 3 or 4 stages")
    name = choice(then, "head after the fusion", heads_over_one_map())
    return StageFusionHead(
        stages, build_head(name, sum(channels[-stages:]), frames, num_classes, dropout, then_options)
    )
