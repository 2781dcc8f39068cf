"""What the network said of every training video in every epoch, for `audit --signal training_dynamics`.

```
RUN/dynamics.parquet   one row a video and epoch, by epoch, then in the order of the training rows
  epoch     int32      1, 2, ...
  video_id  string
  p_given   float32    softmax at the label that the clip was trained with
  margin    float32    its logit minus the highest other logit (Pleiss et al. 2020)
  correct   int8       1 where it was the best class, of equal logits the one with the lower index
```

The logits are those of the training step itself, on augmented clips and with dropout, before the weights move: nothing
is computed twice. They stay on their device until the epoch ends. A checkpoint within an epoch keeps what was recorded
of it, so that a run that was stopped ends with the same file as one that was not. Of a video's several clips it is the
mean.

Shapes: B clips, K classes, P records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from secondlook.predict.loader import Batch

_KEY = "dynamics"
_SCHEMA = pa.schema(
    [("epoch", pa.int32()), ("video_id", pa.string()), ("p_given", pa.float32()), ("margin", pa.float32()),
     ("correct", pa.int8())],
    metadata={"secondlook": '{"table": "dynamics"}'},
)  # fmt: skip


def records(logits_BK: Tensor, label_B: Tensor) -> Tensor:
    """Probability, margin and whether it is right of the label of each clip, `record_B3`."""
    at_B1 = label_B[:, None]
    logit_B = logits_BK.gather(1, at_B1)[:, 0]
    others_BK = logits_BK.scatter(1, at_B1, -torch.inf)
    p_B = (logit_B - logits_BK.logsumexp(1)).exp()
    correct_B = (logits_BK.argmax(1) == label_B).float()
    return torch.stack([p_B, logit_B - others_BK.amax(1), correct_B], 1)


class RecordDynamics(Callback):
    """Writes `dynamics.parquet`.

    Args:
        path: the file.
        train: rows that are trained on, in the order of the dataset.
    """

    def __init__(self, path: Path, train: pa.Table) -> None:
        self.path = path
        self.video_id = train["video_id"].combine_chunks()
        self.rows: list[Tensor] = []
        """Of the epoch that is being trained, batch by batch: row of each clip."""
        self.found: list[Tensor] = []
        """And what `records` gave."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the rows of complete epochs; one that was written just before a crash is written again."""
        if trainer.is_global_zero and self.path.is_file():
            before = pq.read_table(self.path, partitioning=None)
            kept = before.filter(pc.less_equal(before["epoch"], trainer.current_epoch))
            if len(kept) < len(before):
                self._write(kept)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Records a batch."""
        logits_BK = getattr(pl_module, "train_logits_BK", None)
        if len(batch.index_B) and isinstance(logits_BK, Tensor):
            self.rows.append(batch.index_B)
            self.found.append(records(logits_BK.float(), batch.label_B))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds this epoch to the file."""
        every = _gathered(trainer, self._state())
        self.rows, self.found = [], []
        if not trainer.is_global_zero:
            return
        row_P = np.concatenate([state["rows"].numpy() for state in every])
        found_P3 = np.concatenate([state["found"].numpy() for state in every]).astype(np.float64)
        row_V, at_P, clips_V = np.unique(row_P, return_inverse=True, return_counts=True)
        p_V, margin_V, correct_V = (
            np.bincount(at_P, weights=value_P, minlength=len(row_V)) / clips_V for value_P in found_P3.T
        )
        new = pa.table(
            {
                "epoch": pa.array(np.full(len(row_V), trainer.current_epoch + 1, np.int32)),
                "video_id": self.video_id.take(pa.array(row_V)),
                "p_given": pa.array(p_V.astype(np.float32)),
                "margin": pa.array(margin_V.astype(np.float32)),
                "correct": pa.array((correct_V >= 0.5).astype(np.int8)),
            }
        ).cast(_SCHEMA)
        before = [pq.read_table(self.path, partitioning=None).cast(_SCHEMA)] if self.path.is_file() else []
        self._write(pa.concat_tables([*before, new]))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps what was recorded of an epoch that is not over; to be called on all devices."""
        checkpoint[_KEY] = _gathered(trainer, self._state())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        states = checkpoint.get(_KEY, [])
        mine = states[trainer.global_rank] if trainer.global_rank < len(states) else None
        self.rows, self.found = ([mine["rows"]], [mine["found"]]) if mine is not None else ([], [])

    def _state(self) -> dict[str, Tensor]:
        if not self.rows:
            return {"rows": torch.empty(0, dtype=torch.int64), "found": torch.empty(0, 3)}
        return {"rows": torch.cat([x.cpu() for x in self.rows]), "found": torch.cat([x.cpu() for x in self.found])}

    def _write(self, rows: pa.Table) -> None:
        part = self.path.with_name(self.path.name + ".part")
        pq.write_table(rows.combine_chunks(), part, compression="zstd")
        part.replace(self.path)


def _gathered(trainer: Trainer, mine: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    if trainer.world_size == 1:
        return [mine]
    every: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(every, mine)
    return every
