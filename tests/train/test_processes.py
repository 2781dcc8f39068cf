"""Two processes train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.predict.weights import read_weights
from secondlook.train import loop
from secondlook.train.checkpoint import RunFolder
from secondlook.train.record import read_curves
from tests.train import _processes_child

CHILD = Path(_processes_child.__file__)


@pytest.mark.spec("late-temporal-bert", "F81")
def test_two_processes_give_what_one_gives(
    toy: pa.Table, toy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without batch normalisation two clips on each of two devices are four on one; curves hold the clips of both."""
    table = Path(tables.made(toy)["root"]) / "videos.parquet"
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("LOCAL_RANK", "MASTER_"))}
    monkeypatch.setattr(loop, "start_model", _processes_child.no_norm)
    _processes_child.train(table, tmp_path / "1", 1, toy_cache)
    done = subprocess.run(
        [sys.executable, CHILD, table, tmp_path / "2", "2", toy_cache],
        env=alone | {"PYTHONPATH": str(CHILD.parents[2]), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (read_weights(tmp_path / f"{devices}/last.safetensors") for devices in (1, 2))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-5, atol=1e-6)
    curves = [read_curves(tmp_path / f"{devices}/curves.csv") for devices in (1, 2)]
    for here, there in zip(*curves, strict=True):
        assert there == pytest.approx(here, rel=1e-5, nan_ok=True)
    assert RunFolder(tmp_path / "2").position() == (2, 0, 2)
