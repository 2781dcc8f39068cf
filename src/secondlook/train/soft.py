"""Soft targets: the share of people's votes that each label of a clip got, and the cross-entropy with it.

Shapes: B clips, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.loader import Batch
from secondlook.train.losses import LabelSets, soft_cross_entropy
from secondlook.train.objective import Losses


class LabelShares:
    """`q` of each row of a table, kept as two flat arrays.

    Args:
        shares: labels of each row with their weights, which are scaled to sum to 1.
        num_classes: K.

    Raises:
        BadValue: if a label is not in `0..K-1`.
    """

    def __init__(self, shares: Sequence[Mapping[int, float]], num_classes: int) -> None:
        self.sets = LabelSets([list(row) for row in shares], num_classes)
        self.values = np.array([v / sum(row.values()) for row in shares for v in row.values()], np.float32)

    def targets(self, index_B: Tensor) -> Tensor:
        """`q_BK`, each row summing to 1; on the device of `index_B`."""
        q_BK = torch.zeros(len(index_B), self.sets.num_classes)
        for place, index in enumerate(index_B.tolist()):
            at = slice(self.sets.starts_N[index], self.sets.starts_N[index + 1])
            q_BK[place, self.sets.labels[at]] = torch.from_numpy(self.values[at])
        return q_BK.to(index_B.device)


def vote_shares(reassessed: pa.Table, rows: pa.Table, num_classes: int) -> LabelShares:
    """`q_k = votes for k / votes for all labels`, of each row of a videos table.

    A video that was not reassessed has its given label; one whose set was made without votes, its set in equal parts.

    Args:
        reassessed: a labels table.
        rows: of a videos table.
        num_classes: K.

    Raises:
        BadValue: if a video's labels and votes are not as many.
    """
    columns = (tables.lists(reassessed, name) for name in ("labels", "voted", "votes"))
    found: dict[str, dict[int, float]] = {}
    for video_id, labels, voted, votes in zip(reassessed["video_id"].to_pylist(), *columns, strict=True):
        if len(voted) != len(votes):
            raise BadValue(video_id, f"has {len(voted)} labels with votes, and {len(votes)} votes")
        shares = {label: float(count) for label, count in zip(voted, votes, strict=True) if count > 0}
        found[video_id] = shares or dict.fromkeys(labels, 1.0)
    given = zip(rows["video_id"].to_pylist(), rows["label"].to_pylist(), strict=True)
    return LabelShares([found.get(video_id) or {label: 1.0} for video_id, label in given], num_classes)


class SoftTargets:
    """Cross-entropy with the share of votes of each label; right is a label of the reassessed set.

    Args:
        train: shares and sets of the training rows.
        val: of the validation rows.
    """

    def __init__(self, train: tuple[LabelShares, LabelSets], val: tuple[LabelShares, LabelSets]) -> None:
        self.train, self.val = train, val

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """On the shares of split train."""
        return self._losses(forward, batch, *self.train)

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """On the shares of split val."""
        return self._losses(forward, batch, *self.val)

    @staticmethod
    def _losses(forward: Callable[[Tensor], Tensor], batch: Batch, shares: LabelShares, sets: LabelSets) -> Losses:
        logits_BK = forward(batch.x_BCTHW).float()
        loss_B = soft_cross_entropy(logits_BK, shares.targets(batch.index_B))
        return Losses(loss_B, logits_BK.detach(), sets.k_hot(batch.index_B))
