"""BERT on the two pathways of a SlowFast network: fused before it (early), or one BERT a pathway (late).

Kalfaoglu, Kalkan, Alatan, ECCV Workshops 2020; `late-temporal-bert`, section 1.22. The slow map is reduced to 512
channels by a FRAB. Early: so is the fast one, to 128, at its full rate; it is then averaged to the slow one's frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads import bert
from secondlook.heads._build import choice, parts, whole
from secondlook.heads._pool import GridPool
from secondlook.layers.feature_reduction import reduction_unit
from secondlook.layers.kaiming import kaiming_

READS_PATHWAYS = True
"""`build` gets channels and frames of both pathways."""
FUSIONS = ("early", "late")


class EarlyBertHead(nn.Module):
    """`logits_BK = W BERT(concat(frab(slow), mean over time(frab(fast)))) + b`."""

    initialises_itself = True
    reads_pathways = True

    def __init__(self, slow_frab: nn.Module, fast_frab: nn.Module, frames: int, then: nn.Module) -> None:
        super().__init__()
        self.slow_frab, self.fast_frab = slow_frab, fast_frab
        self.pool = GridPool((frames, None, None))
        self.bert, self.dropout, self.classifier = parts(then)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits of each clip, from the slow and the fast map, each `BCTHW`."""
        slow_BCTHW, fast_BCTHW = maps
        joined = torch.cat([self.slow_frab(slow_BCTHW), self.pool(self.fast_frab(fast_BCTHW))], 1)
        logits_BK: Tensor = self.classifier(self.dropout(self.bert(joined)))
        return logits_BK


class LateBertHead(nn.Module):
    """`logits_BK = W concat(BERT(frab(slow)), BERT(fast)) + b`."""

    initialises_itself = True
    reads_pathways = True

    def __init__(self, slow_frab: nn.Module, slow: nn.Module, fast: nn.Module, classifier: nn.Linear) -> None:
        super().__init__()
        self.slow_frab = slow_frab
        self.slow_bert, self.dropout, _ = parts(slow)
        self.fast_bert, _, _ = parts(fast)
        self.classifier = classifier

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits of each clip, from the slow and the fast map, each `BCTHW`."""
        slow_BCTHW, fast_BCTHW = maps
        read_BD = torch.cat([self.slow_bert(self.slow_frab(slow_BCTHW)), self.fast_bert(fast_BCTHW)], 1)
        logits_BK: Tensor = self.classifier(self.dropout(read_BD))
        return logits_BK


def build(
    channels: Sequence[int],
    frames: Sequence[int],
    num_classes: int,
    *,
    dropout: float = 0.0,
    fusion: str = "late",
    slow_width: int = 512,
    fast_width: int = 128,
    bert_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The head.

    Args:
        channels: of the slow and the fast map.
        frames: of the slow and the fast map.
        num_classes: K.
        dropout: share of the read vector dropped in training.
        fusion: `early` or `late`; the source finds late better and cheaper.
        slow_width: channels of the slow map after its FRAB.
        fast_width: channels of the fast map after its FRAB (early fusion only).
        bert_options: what the head `bert` takes beyond.

    Raises:
        BadValue: if a width cannot be.
        UnknownName: if there is no such fusion.
    """
    (slow, fast), (slow_frames, fast_frames) = channels, frames
    more = dict(bert_options or {})
    if unknown := set(more) & {"channels", "frames", "num_classes", "dropout"}:
        raise BadValue(sorted(unknown), "these are given by the network", "Leave them out of bert_options.")
    slow_frab = kaiming_(reduction_unit(slow, whole(slow_width, "slow_width")))
    if choice(fusion, "fusion", FUSIONS) == "early":
        fast_frab = kaiming_(reduction_unit(fast, whole(fast_width, "fast_width")))
        then = bert.build(slow_width + fast_width, slow_frames, num_classes, dropout=dropout, **more)
        return EarlyBertHead(slow_frab, fast_frab, slow_frames, then)
    return LateBertHead(
        slow_frab,
        bert.build(slow_width, slow_frames, num_classes, dropout=dropout, **more),
        bert.build(fast, fast_frames, num_classes, dropout=dropout, **more),
        nn.Linear(slow_width + fast, num_classes),
    )
