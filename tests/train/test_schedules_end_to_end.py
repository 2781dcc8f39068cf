"""Optimisers and schedules inside a training: they do what they say, and a stop does not show."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from secondlook.errors import BadValue
from secondlook.train.loop import train
from secondlook.train.record import read_curves
from tests.train.test_resume import CtrlC, same_bits
from tests.train.toy import toy_settings, write_table

KINDS: dict[str, dict[str, Any]] = {
    "swats": {"optimizer": "swats", "switch_tolerance": 0.05},
    "plateau": {"schedule": "plateau", "patience": 0, "monitor": "top1", "warmup_epochs": 0.5},
    "step": {"schedule": "step", "milestones": (1, 3), "warmup_epochs": 0, "optimizer": "adam"},
}


@pytest.mark.spec("late-temporal-bert", "F84")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "81")
@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_does_not_show(kind: str, toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache, **KINDS[kind])
    train(toy, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "parts", settings, callbacks=[CtrlC("batch", 2, 1)])
    train(toy, tmp_path / "parts", settings)
    assert same_bits(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.spec("late-temporal-bert", "F80")
def test_a_plateau_lowers_the_rate(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache, epochs=4, learning_rate=1e-7, **KINDS["plateau"] | {"warmup_epochs": 0})
    train(toy, tmp_path / "run", settings)
    rates = [row["learning_rate"] for row in read_curves(tmp_path / "run" / "curves.csv")]
    assert rates[0] == pytest.approx(1e-7)
    assert rates[-1] < 1e-7
    assert all(a == pytest.approx(b) or a == pytest.approx(10 * b) for a, b in itertools.pairwise(rates))


def test_a_plateau_needs_validation(toy: pa.Table, tmp_path: Path) -> None:
    rows = toy.filter(pc.not_equal(toy["split"], "val")).to_pylist()
    with pytest.raises(BadValue, match="there is no split val"):
        train(write_table(tmp_path, rows), tmp_path / "run", toy_settings(schedule="plateau"))


@pytest.mark.spec("late-temporal-bert", "F82")
@pytest.mark.parametrize("monitor", ["top1", "loss", "top1_top3"])
def test_the_best_epoch_is_by_what_is_monitored(monitor: str, toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    done = train(toy, tmp_path / "run", toy_settings(cache=toy_cache, monitor=monitor))
    rows = read_curves(tmp_path / "run" / "curves.csv")
    score = {
        "top1": lambda row: row["val_top1"],
        "loss": lambda row: -row["val_loss"],
        "top1_top3": lambda row: (row["val_top1"] + row["val_top3"]) / 2,
    }[monitor]
    best = max(rows, key=lambda row: (score(row), -row["val_loss"], -row["epoch"]))
    assert done.best["epoch"] == best["epoch"]
    assert all(row["val_top1"] <= row["val_top3"] <= row["val_top5"] <= 1 for row in rows)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "15")
def test_open_rates_are_in_the_curves_and_survive_a_stop(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    options = {"srtg": True, "max_pool": False}
    settings = toy_settings(cache=toy_cache, model="r3d:tiny", options=options, epochs=2)
    train(toy, tmp_path / "whole", settings)
    rows = read_curves(tmp_path / "whole" / "curves.csv")
    assert all(math.isfinite(row["open_rate"]) and 0 <= row["open_rate"] <= 1 for row in rows)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "parts", settings, callbacks=[CtrlC("batch", 1, 1)])
    train(toy, tmp_path / "parts", settings)
    assert same_bits(tmp_path / "whole", tmp_path / "parts")
