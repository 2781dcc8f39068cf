"""A training that is stopped within an epoch goes on after the last step, and ends with the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from lightning.pytorch import Callback

from secondlook.errors import BadValue
from secondlook.predict.loader import ClipDataset, Item, Key
from secondlook.train.checkpoint import RunFolder
from secondlook.train.data import Batches
from secondlook.train.loop import train
from secondlook.train.record import Progress
from tests.train.test_resume import CtrlC, same_bits
from tests.train.toy import toy_settings


class PressCtrlC(Callback):
    """Sends the signal of ctrl-C while a batch is being worked on."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = (epoch, batch)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        if (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx) == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def small(**changes: Any) -> Any:
    return toy_settings(**{"batch_size": 1, "epochs": 3, "optimizer": "sgd", **changes})


CASES = {
    "plain": {},
    "accumulate": {"accumulate": 2},
    "workers": {"workers": 2},
    "multigrid": {"model": "resnet3d:tiny", "multigrid": "long"},
    "multigrid, short": {"model": "resnet3d:tiny", "multigrid": "short", "accumulate": 2, "epochs": 2},
    "plateau": {"schedule": "plateau", "warmup_epochs": 1.5},
    "swats": {"optimizer": "swats", "switch_tolerance": 0.05},
}


@pytest.fixture(scope="module")
def whole(toy: pa.Table, toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs that were not stopped, by case; each is trained once."""
    made: dict[str, Path] = {}

    def run(case: str) -> Path:
        if case not in made:
            made[case] = tmp_path_factory.mktemp("whole") / case
            train(toy, made[case], small(cache=toy_cache, **CASES[case]))
        return made[case]

    return run


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "81")
@pytest.mark.spec("late-temporal-bert", "F84")
@pytest.mark.parametrize("case", CASES)
def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bits(
    case: str, toy: pa.Table, toy_cache: Path, whole: Any, tmp_path: Path
) -> None:
    """Optimiser, schedule, dropout, the multigrid's place in its cycle and the means of the epoch are as they were."""
    run, settings = tmp_path / "b", small(cache=toy_cache, **CASES[case])
    seen: list[Progress] = []
    for epoch, batch in ((0, 1), (1, 0 if case == "multigrid, short" else 2)):
        with pytest.raises(KeyboardInterrupt):
            train(toy, run, settings, callbacks=[PressCtrlC(epoch, batch)])
        done = batch + 1 + (batch + 1) % settings.accumulate
        assert RunFolder(run).position() == (epoch, done, 1)
        assert RunFolder(run).epochs_done() == epoch
    train(toy, run, settings, on_progress=seen.append)
    if case == "plain":
        assert (seen[0].epoch, seen[0].batch) == (1, 8 + 3 + 1)
    assert same_bits(run, whole(case))


def test_checkpoints_come_every_so_many_steps_and_a_crash_loses_no_more(
    toy: pa.Table, toy_cache: Path, whole: Any, tmp_path: Path
) -> None:
    run, settings = tmp_path / "b", small(cache=toy_cache, checkpoint_steps=3)
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, settings, callbacks=[CtrlC("batch", 1, 5)])  # no ctrl-C: an exception out of the step
    assert RunFolder(run).position() == (1, 4, 1)  # step 12 of 8 an epoch
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, settings, callbacks=[CtrlC("validation", 1)])
    assert RunFolder(run).position() == (1, 7, 1)
    train(toy, run, small(cache=toy_cache, checkpoint_steps=0))
    assert same_bits(run, whole("plain"))


def test_batches_that_are_done_are_not_read_again(
    toy: pa.Table, toy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, settings = tmp_path / "b", small(cache=toy_cache, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, settings, callbacks=[PressCtrlC(0, 4)])
    read: list[int] = []
    whole = ClipDataset.__getitem__

    def counted(self: ClipDataset, key: Key | int) -> Item:
        if self.train:
            read.append(key.row if isinstance(key, Key) else key)
        return whole(self, key)

    monkeypatch.setattr(ClipDataset, "__getitem__", counted)
    train(toy, run, settings)
    order = [key.row for batch in Batches(8, 1, shuffle=True, seed=0) for key in batch]
    assert read == order[5:]


def test_another_number_of_devices_within_an_epoch_is_refused(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    run, settings = tmp_path / "b", small(cache=toy_cache, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, settings, callbacks=[PressCtrlC(0, 4)])
    with pytest.raises(BadValue, match=r"stopped within an epoch on 1 devices in all. Give as many"):
        RunFolder(run).start(2)
    assert RunFolder(run).start(1) == (0, 5)


def test_a_second_ctrl_c_stops_at_once(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    class Twice(PressCtrlC):
        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
            super().on_before_backward(trainer, pl_module, loss)
            super().on_before_backward(trainer, pl_module, loss)

    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "b", small(cache=toy_cache), callbacks=[Twice(0, 3)])
    assert RunFolder(tmp_path / "b").position() == (0, 0, 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_checkpoint_within_an_epoch_says_so(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, small(cache=toy_cache), callbacks=[PressCtrlC(1, 2)])
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (kept["secondlook"]["epochs_done"], kept["secondlook"]["batches_done"]) == (1, 3)
    assert kept["running"][0].keys() == {"train_loss", "train_top1"}
    assert kept["running"][0]["train_top1"]["weight"] == 3
    assert len((run / "curves.csv").read_text().splitlines()) == 2
