"""What is recorded of each training video in each epoch: numbers, resuming, and that it costs nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch import Callback

from secondlook.train.dynamics import records
from secondlook.train.loop import train
from tests.train.test_resume import CtrlC, same_bits
from tests.train.toy import toy_settings

COLUMNS = ["epoch", "video_id", "p_given", "margin", "correct"]


class Spy(Callback):
    """Keeps labels, logits and rows of each training step."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Any, Any, Any]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        logits = pl_module.train_logits_BK.clone()
        self.seen.append((trainer.current_epoch + 1, batch.index_B, batch.label_B, logits))


def test_records_match_their_slow_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BK, label_B = 3 * torch.randn(20, 5, generator=generator), torch.arange(20) % 5
    for (p, margin, correct), row, y in zip(records(logits_BK, label_B).tolist(), logits_BK.tolist(), label_B.tolist(),
                                            strict=True):  # fmt: skip
        powers = [math.exp(x) for x in row]
        others = [x for k, x in enumerate(row) if k != y]
        assert p == pytest.approx(powers[y] / sum(powers), rel=1e-5)
        assert margin == pytest.approx(row[y] - max(others), abs=1e-5)
        assert correct == float(row[y] > max(others))


def test_the_file_holds_every_video_of_every_epoch_and_the_steps_own_logits(
    toy: pa.Table, toy_cache: Path, tmp_path: Path
) -> None:
    spy, settings = Spy(), toy_settings(cache=toy_cache, epochs=2)
    train(toy, tmp_path / "a", settings, callbacks=[spy])
    table = pq.read_table(tmp_path / "a" / "dynamics.parquet")
    assert table.column_names == COLUMNS
    names = toy.filter(pa.compute.equal(toy["split"], "train"))["video_id"].to_pylist()
    assert table["video_id"].to_pylist() == names * 2
    assert table["epoch"].to_pylist() == [1] * len(names) + [2] * len(names)
    found = {(r["epoch"], r["video_id"]): r for r in table.to_pylist()}
    for epoch, index_B, label_B, logits_BK in spy.seen:
        p_BK = torch.softmax(logits_BK, 1)
        for row, y, p_K, logit_K in zip(index_B.tolist(), label_B.tolist(), p_BK, logits_BK, strict=True):
            said = found[epoch, names[row]]
            assert said["p_given"] == pytest.approx(float(p_K[y]), abs=1e-6)
            assert said["margin"] == pytest.approx(float(logit_K[y] - logit_K[1 - y]), abs=1e-5)
            assert said["correct"] == int(logit_K.argmax() == y)


@pytest.mark.parametrize(
    "stop", [CtrlC("batch", 2, 0), CtrlC("batch", 0, 1), CtrlC("validation", 1), CtrlC("epoch", 2)]
)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_stopped_run_has_the_same_file(
    stop: CtrlC, steps: int, toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path
) -> None:
    """With a checkpoint after each step the rest of the epoch is recorded; without, the whole epoch is again."""
    settings = toy_settings(cache=toy_cache, checkpoint_steps=steps)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "b", settings, callbacks=[stop])
    train(toy, tmp_path / "b", settings)
    assert (tmp_path / "b" / "dynamics.parquet").read_bytes() == (toy_run / "dynamics.parquet").read_bytes()
    assert same_bits(tmp_path / "b", toy_run)


def test_it_can_be_left_out_and_changes_no_weight(
    toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path
) -> None:
    train(toy, tmp_path / "c", toy_settings(cache=toy_cache, record_dynamics=False))
    assert not (tmp_path / "c" / "dynamics.parquet").exists()
    assert same_bits(tmp_path / "c", toy_run)


def test_a_step_is_recorded_in_much_less_time_than_it_takes() -> None:
    logits_BK, label_B = torch.randn(64, 174), torch.arange(64)
    records(logits_BK, label_B)
    start = time.perf_counter()
    for _ in range(50):
        records(logits_BK, label_B)
    assert (time.perf_counter() - start) / 50 < 0.02  # about 0.0001; a step of any network takes longer
    assert np.isfinite(records(1e4 * logits_BK, label_B).numpy()).all()
