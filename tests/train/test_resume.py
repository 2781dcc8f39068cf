"""A training that is stopped and goes on ends with the same bits as one that is not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from lightning.pytorch import Callback

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.weights import load_run
from secondlook.train.loop import train
from tests.train.toy import LABELS, toy_settings, write_table

FILES = ("best.safetensors", "last.safetensors", "curves.csv")


class CtrlC(Callback):
    """Raises KeyboardInterrupt in a hook of an epoch; in a hook of batches, at one of them."""

    def __init__(self, hook: str, epoch: int, batch: int = 0) -> None:
        self.hook, self.epoch, self.batch = hook, epoch, batch

    def _at(self, hook: str, trainer: Any, batch: int = 0) -> None:
        if (hook, trainer.current_epoch, batch) == (self.hook, self.epoch, self.batch):
            raise KeyboardInterrupt

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._at("batch", trainer, batch_idx)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._at("validation", trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._at("epoch", trainer)


def same_bits(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


@pytest.mark.spec("late-temporal-bert", "F84")
@pytest.mark.parametrize(
    ("stop", "complete"),
    [
        (CtrlC("batch", 2, 0), 2),
        (CtrlC("batch", 0, 1), 0),
        (CtrlC("validation", 1), 1),
        (CtrlC("epoch", 2), 2),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    stop: CtrlC, complete: int, toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "b"
    settings = toy_settings(cache=toy_cache)
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, settings, callbacks=[stop])
    logits_BK = load_run(run).model(torch.zeros(1, 2, 4, 32, 32))  # usable as it is, even from within epoch 1
    assert torch.isfinite(logits_BK).all()
    done = train(toy, run, settings)
    assert done.resumed == complete
    assert same_bits(run, toy_run)
    assert len((run / "curves.csv").read_text().splitlines()) == 1 + settings.epochs


def test_workers_and_cache_do_not_change_the_bits_and_may_differ_when_going_on(
    toy: pa.Table, toy_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, toy_settings(workers=2), callbacks=[CtrlC("batch", 2, 1)])
    with pytest.raises(KeyboardInterrupt):
        train(toy, run, toy_settings(cache=tmp_path / "frames"), callbacks=[CtrlC("batch", 3, 1)])
    train(toy, run, toy_settings(cache=tmp_path / "frames", workers=1))
    assert same_bits(run, toy_run)


def test_another_seed_gives_other_bits(toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path) -> None:
    train(toy, tmp_path / "b", toy_settings(cache=toy_cache, seed=1, epochs=1))
    assert not same_bits(tmp_path / "b", toy_run)


def test_the_caller_is_left_as_it_was(
    toy: pa.Table, toy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what this looks at
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(toy, Path("b"), toy_settings(cache=toy_cache), callbacks=[CtrlC("batch", 0, 1)])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert signal.getsignal(signal.SIGINT) is handler
    assert os.listdir() == ["b"]  # noqa: PTH208 - no lightning_logs


def test_a_finished_run_is_not_trained_again(toy: pa.Table, toy_cache: Path, toy_run: Path) -> None:
    before = (toy_run / "last.safetensors").stat().st_mtime_ns
    done = train(toy, toy_run, toy_settings(cache=toy_cache))
    assert done.resumed == done.epochs == 4
    assert done.best["val_top1"] == 1.0
    assert (toy_run / "last.safetensors").stat().st_mtime_ns == before


def test_a_run_can_be_moved(toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "b", settings, callbacks=[CtrlC("batch", 3)])
    (tmp_path / "b").rename(tmp_path / "c")
    train(toy, tmp_path / "c", settings)
    assert same_bits(tmp_path / "c", toy_run)


def test_other_settings_are_an_error_that_names_them(toy: pa.Table, toy_run: Path) -> None:
    with pytest.raises(
        BadValue, match=r"0\.5: dropout was 0\.2 when .* was started\. Give another folder, or --restart"
    ):
        train(toy, toy_run, toy_settings(dropout=0.5))


@pytest.mark.spec("attention-recognisers", "A2")
def test_another_split_is_an_error_that_names_both(toy: pa.Table, toy_run: Path, tmp_path: Path) -> None:
    rows = toy.select(["video_id", "path", "label", "split", "group", "status", "reason"]).to_pylist()
    rows[0]["split"] = "val"
    other = write_table(tmp_path, rows)
    with pytest.raises(BadValue, match=r"split [0-9a-f]{12} \(2 test, 7 train, 3 val\)") as caught:
        train(other, toy_run, toy_settings())
    assert "was trained on another split: split" in str(caught.value)
    assert "(2 test, 8 train, 2 val)" in str(caught.value)


def test_a_table_checked_since_is_the_same_split(toy: pa.Table, toy_run: Path, tmp_path: Path) -> None:
    rows = toy.select(["video_id", "path", "label", "split", "group", "status", "reason"]).to_pylist()
    checked = write_table(tmp_path, [{**row, "status": "ok"} for row in rows])
    checked = checked.replace_schema_metadata(toy.schema.metadata)
    assert train(checked, toy_run, toy_settings()).resumed == 4


def test_other_inputs_are_an_error(toy: pa.Table, toy_run: Path) -> None:
    with pytest.raises(BadValue, match=r"labels.*is not the file"):
        train(toy, toy_run, toy_settings(), inputs={"labels": "0"})


def test_restart_throws_away_the_run_and_nothing_else(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "b"
    settings = toy_settings(cache=toy_cache, epochs=1)
    train(toy, run, settings)
    (run / "mine.txt").write_text("kept")
    done = train(toy, run, toy_settings(cache=toy_cache, epochs=1, seed=3), restart=True)
    assert done.resumed == 0
    assert (run / "mine.txt").read_text() == "kept"


def test_a_folder_of_something_else_is_refused(toy: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("x")
    for restart in (False, True):
        with pytest.raises(BadValue, match=r"holds something that is not a run"):
            train(toy, tmp_path / "b", toy_settings(), restart=restart)
    assert (tmp_path / "b" / "thesis.tex").read_text() == "x"


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x80\x04K\x01."])
def test_a_damaged_checkpoint_is_a_sentence(content: bytes, toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache, epochs=1)
    train(toy, tmp_path / "b", settings)
    (tmp_path / "b" / "checkpoints" / "last.ckpt").write_bytes(content)
    with pytest.raises(BadValue, match=r"no checkpoint that can be continued.*--restart"):
        train(toy, tmp_path / "b", settings)


def test_every_checkpoint_says_what_it_is_of(toy_run: Path) -> None:
    for name in ("best", "last"):
        checkpoint = torch.load(toy_run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        about = checkpoint["secondlook"]
        assert about["card"]["name"] == "tsm:tiny"
        assert about["card"]["clip"]["frames"] == 4
        assert about["labels"] == LABELS.to_dict()
        assert about["settings"]["model"] == "tsm:tiny"
    assert tables.provenance("train", {})["version"]
