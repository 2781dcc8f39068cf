"""Masked pre-training: it learns, resumes to the same bits, needs no label; a classifier starts from its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.models import _masked_autoencoder as masked
from secondlook.models import videomae
from secondlook.predict.loader import Batch
from secondlook.predict.run import predict
from secondlook.predict.weights import load_run, read_json
from secondlook.train import _reconstructions as reconstructions
from secondlook.train.loop import train
from secondlook.train.masked import MaskedModule, MaskedSettings, PretrainResult, pretrain
from secondlook.train.record import Progress, read_curves
from secondlook.train.settings import TrainSettings
from tests.train.toy import row, toy_settings, with_rows, write_table


def settings(**changes: Any) -> MaskedSettings:
    chosen: dict[str, Any] = {
        "model": "videomae:tiny", "frames": 4, "height": 32, "width": 32, "epochs": 2, "batch_size": 4, "workers": 0,
        "learning_rate": 0.003, "warmup_epochs": 0.0, "mask_ratio": 0.75,
    }  # fmt: skip
    return MaskedSettings(**{**chosen, **changes})


@pytest.fixture(scope="module")
def run(toy: pa.Table, toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    return pretrain(toy, tmp_path_factory.mktemp("masked") / "a", settings(cache=toy_cache))


@pytest.mark.spec("attention-recognisers", "A5")
def test_it_learns_and_writes_a_run(run: PretrainResult) -> None:
    rows = read_curves(run.run / "curves.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["train_loss"] < rows[0]["train_loss"]
    assert rows[1]["val_loss"] < rows[0]["val_loss"]
    assert (run.epochs, run.resumed, run.train_videos, run.val_videos, run.unreadable) == (2, 0, 8, 2, 0)
    assert read_json(run.run / "settings.json")["command"] == "pretrain"
    assert read_json(run.run / "settings.json")["settings"]["mask_ratio"] == 0.75
    picture = np.asarray(Image.open(run.picture))
    assert picture.std() > 10


@pytest.mark.spec("attention-recognisers", "A5")
def test_a_classifier_is_fine_tuned_from_the_encoder(
    run: PretrainResult, toy: pa.Table, toy_cache: Path, tmp_path: Path
) -> None:
    tuned = toy_settings(
        model="videomae:tiny", epochs=1, learning_rate=1e-9, init=run.run, cache=toy_cache, dropout=0.0
    )
    done = train(toy, tmp_path / "b", tuned)
    assert "but for the classifier, which starts anew" in done.notes[0]
    before, after = load_run(run.run).model.state_dict(), load_run(tmp_path / "b").model.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if name.startswith("head.classifier"):
            assert tensor.shape[0] == 1
            assert after[name].shape[0] == 2
        else:
            assert torch.allclose(tensor, after[name], atol=1e-5), name


def test_such_a_run_does_not_predict(run: PretrainResult, toy: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="no class yet: pre-trained without labels"):
        predict(load_run(run.run), toy, tmp_path / "p.parquet")


def test_a_stopped_run_goes_on_to_the_same_bits(
    run: PretrainResult, toy: pa.Table, toy_cache: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.batch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(toy, tmp_path / "b", settings(cache=toy_cache), on_progress=stop)
    done = pretrain(toy, tmp_path / "b", settings(cache=toy_cache))
    assert done.resumed == 1
    for name in ("last.safetensors", "curves.csv", "reconstructions.png"):
        assert (tmp_path / "b" / name).read_bytes() == (run.run / name).read_bytes(), name


def test_labels_are_not_read(toy: pa.Table, toy_cache: Path, run: PretrainResult, tmp_path: Path) -> None:
    rows = [
        {**{k: v for k, v in r.items() if k in row("", 0, "")}, "label": -1}
        for r in toy.select(list(row("", 0, ""))).to_pylist()
    ]
    path = tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", tables.made(toy))
    pretrain(tables.read(tables.VIDEOS, path), tmp_path / "b", settings(cache=toy_cache))
    assert (tmp_path / "b" / "last.safetensors").read_bytes() == (run.run / "last.safetensors").read_bytes()


def test_a_video_that_cannot_be_read_is_said(toy: pa.Table, tmp_path: Path) -> None:
    more = with_rows(toy, [row("gone", 0, "train"), row("bad", 0, "val", "unreadable", "cut")], tmp_path)
    done = pretrain(more, tmp_path / "b", settings(epochs=1))
    assert done.unreadable == 2
    assert "gone,missing,no such file" in (tmp_path / "b" / "unreadable.csv").read_text()


def test_wrong_use_is_a_sentence(run: PretrainResult, toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    for changes, sentence in (
        ({"model": "tsm:tiny"}, "only VideoMAE is pre-trained"),
        ({"head": "average"}, "pre-training has no head"),
        ({"mask_ratio": 0.01}, "of 16 places 0 would be hidden"),
        ({"height": 30}, "height of the clip must be a multiple of the patch's 8"),
    ):
        with pytest.raises(BadValue, match=sentence):
            pretrain(toy, tmp_path / "b", settings(**changes))
    assert not (tmp_path / "b").exists()
    with pytest.raises(BadValue, match=r"mask_ratio was 0.75 when"):
        pretrain(toy, run.run, settings(cache=toy_cache, mask_ratio=0.5))
    same = {k: v for k, v in settings(cache=toy_cache).__dict__.items() if k != "mask_ratio"}
    with pytest.raises(BadValue, match=r"'pre-training': is not the file"):
        train(toy, run.run, TrainSettings(**same))
    with pytest.raises(BadValue, match="no usable video is in this split"):
        pretrain(write_table(tmp_path, [row("g", 0, "test")]), tmp_path / "b", settings())


def module() -> MaskedModule:
    torch.manual_seed(0)
    model = videomae.build("tiny", 1, in_channels=2, frames=4, height=32, width=32)
    return MaskedModule(model, masked.Decoder("tiny", (2, 4, 32, 32)), (2, 4, 4), settings(), 10, {})  # type: ignore[arg-type]


def test_the_head_is_left_alone_and_vectors_do_not_decay() -> None:
    trained = module()
    groups = trained.configure_optimizers()["optimizer"].param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert groups[0]["betas"] == (0.9, 0.95)
    found = {id(p) for group in groups for p in group["params"]}
    head = {id(p) for p in trained.model.head.parameters()}
    assert not found & head
    assert found | head == {id(p) for p in trained.parameters()}
    assert id(trained.decoder.mask_token) in {id(p) for p in groups[1]["params"]}


def test_masks_change_with_the_step_and_a_batch_without_clips_moves_nothing() -> None:
    trained = module()
    assert torch.equal(trained.mask(2, 0, 1, 0), trained.mask(2, 0, 1, 0))
    assert not torch.equal(trained.mask(2, 0, 1, 0), trained.mask(2, 0, 2, 0))
    nothing = Batch(torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), ())
    loss = trained.training_step(nothing, 0)
    loss.backward()
    assert loss.item() == 0.0
    assert not any(p.grad.any() for p in trained.parameters() if p.grad is not None)


def test_the_picture_shows_what_was_hidden() -> None:
    trained = module()
    x_BCTHW = torch.randn(2, 2, 4, 32, 32)
    masked_BN = trained.mask(2, 0)
    seen, filled = reconstructions.fill_in(trained.encoder[0], trained.decoder, x_BCTHW, masked_BN, trained.grid)
    hidden = (
        masked.clips_of(masked_BN[..., None].expand(-1, -1, 2 * 8 * 8 * 2).float(), trained.grid, (2, 4, 32, 32)) > 0
    )
    assert torch.equal(seen.isnan(), hidden)
    assert torch.equal(seen[~hidden], x_BCTHW[~hidden])
    assert torch.equal(filled[~hidden], x_BCTHW[~hidden])
    assert filled.isfinite().all()
    assert not torch.equal(filled[hidden], x_BCTHW[hidden])
