"""A training from end to end: what it writes, what it starts from, and what it does with videos it cannot read."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.cards import ModelCard
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from secondlook.predict.weights import load_run, read_weights
from secondlook.train.loop import train
from secondlook.train.record import CURVES, Progress, read_curves
from secondlook.train.settings import TrainSettings
from tests.train.test_data import labels_table
from tests.train.toy import LABELS, row, toy_settings, with_rows, write_table


def test_the_run_folder_holds_what_the_docs_say(toy_run: Path) -> None:
    assert {path.name for path in toy_run.iterdir()} == {
        "settings.json", "card.json", "labels.json", "split.json", "curves.csv", "tensorboard", "checkpoints",
        "best.safetensors", "last.safetensors", "dynamics.parquet",
    }  # fmt: skip
    assert {path.name for path in (toy_run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    settings = json.loads((toy_run / "settings.json").read_text())
    assert TrainSettings.from_dict(settings["settings"]).frames == 4
    assert ModelCard.from_dict(json.loads((toy_run / "card.json").read_text())).clip.height == 32
    assert LabelSpace.from_dict(json.loads((toy_run / "labels.json").read_text())) == LABELS


def test_curves_are_written_as_csv_and_for_tensorboard(toy_run: Path) -> None:
    with (toy_run / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CURVES
    assert [r["epoch"] for r in rows] == ["1", "2", "3", "4"]
    assert read_curves(toy_run / "curves.csv")[-1]["val_top1"] == 1.0
    events = b"".join(path.read_bytes() for path in (toy_run / "tensorboard").glob("events.*"))
    assert b"train_loss" in events
    assert b"val_top1" in events


def test_best_is_the_epoch_of_the_best_validation(toy_run: Path) -> None:
    rows = read_curves(toy_run / "curves.csv")
    best = max(rows, key=lambda r: (r["val_top1"], -r["val_loss"]))
    done = torch.load(toy_run / "checkpoints" / "best.ckpt", weights_only=True)["secondlook"]["epochs_done"]
    assert done == best["epoch"]
    kept = torch.load(toy_run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    exported = read_weights(toy_run / "best.safetensors")
    assert exported.keys() == {name.removeprefix("model.") for name in kept}
    assert all(torch.equal(exported[name.removeprefix("model.")], tensor) for name, tensor in kept.items())


def test_videos_that_cannot_be_read_are_listed_and_the_rest_is_trained_on(
    toy: pa.Table, toy_cache: Path, tmp_path: Path
) -> None:
    root = Path(tables.made(toy)["root"])
    (root / "videos" / "broken.mp4").write_bytes(b"this is no video" * 100)
    more = [
        row("broken", 0, "train"), row("gone", 1, "train"), row("gone_val", 1, "val"),
        row("known", 1, "train", "timeout", "decoding hung"), row("private", 1, "train", "excluded", "asked for"),
        row("not_ours", 1, "test", "unreadable", "broken"),
    ]  # fmt: skip
    videos = with_rows(toy, more, tmp_path)
    settings = toy_settings(cache=toy_cache, epochs=2, batch_size=1)
    done = train(videos, tmp_path / "b", settings)
    with (tmp_path / "b" / "unreadable.csv").open(newline="") as file:
        found = {r["video_id"]: (r["status"], r["reason"]) for r in csv.DictReader(file)}
    assert found.keys() == {"broken", "gone", "gone_val", "known", "private"}
    assert found["broken"][0] == "not_a_video"
    assert found["gone"] == ("missing", "no such file")
    assert found["known"] == ("timeout", "decoding hung")
    assert done.unreadable == 4  # a video that was set aside on purpose is no failure
    assert done.train_videos == 10
    assert done.last["train_loss"] < 2.0
    assert train(videos, tmp_path / "b", settings).unreadable == 4  # also where nothing is left to do


def test_without_validation_best_is_last_and_it_is_said(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    rows = [r for r in toy.to_pylist() if r["split"] != "val"]
    rows = [{k: v for k, v in r.items() if k in row("", 0, "")} for r in rows]
    videos = write_table(tmp_path, rows).replace_schema_metadata(toy.schema.metadata)
    done = train(videos, tmp_path / "b", toy_settings(cache=toy_cache, epochs=2))
    assert any("best weights are the last ones" in note for note in done.notes)
    assert (tmp_path / "b/best.safetensors").read_bytes() == (tmp_path / "b/last.safetensors").read_bytes()
    assert done.best["epoch"] == 2


def test_reassessed_sets_are_trained_on(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    both = {name: [0, 1] for name, split in zip(toy["video_id"].to_pylist(), toy["split"].to_pylist(), strict=True)
            if split == "val"}  # fmt: skip
    reassessed = labels_table(tmp_path, both)
    done = train(toy, tmp_path / "b", toy_settings(cache=toy_cache, epochs=1), reassessed=reassessed)
    assert done.last["val_top1"] == 1.0  # every answer is in the set
    for wrong in ({"label_smoothing": 0.1}, {"swap_left_right": True}):
        with pytest.raises(BadValue, match=f"{next(iter(wrong))} is not for training on label sets"):
            train(toy, tmp_path / "c", toy_settings(**wrong), reassessed=reassessed)


def test_a_run_can_start_from_another(toy: pa.Table, toy_cache: Path, toy_run: Path, tmp_path: Path) -> None:
    tiny = 1e-12
    settings = toy_settings(cache=toy_cache, epochs=1, init=toy_run, learning_rate=tiny, weight_decay=0.0)
    done = train(toy, tmp_path / "same", settings)
    assert any(note.startswith("all weights start from") for note in done.notes)
    start, end = load_run(toy_run).model.state_dict(), load_run(tmp_path / "same").model.state_dict()
    assert all(torch.allclose(start[n], end[n], atol=1e-6) for n in start if "running" not in n and "num_" not in n)

    three = LabelSpace.from_names(["dark", "bright", "neither"])
    made = tables.made(toy) | {"label_space": three.to_dict()}
    rows = [{k: v for k, v in r.items() if k in row("", 0, "")} for r in toy.to_pylist()]
    videos = tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", made))
    done = train(videos, tmp_path / "three", settings)
    assert any("but for the classifier, which starts anew: 2 labels there, 3 others here" in n for n in done.notes)
    end = load_run(tmp_path / "three").model.state_dict()
    assert torch.allclose(start["stem.conv.weight"], end["stem.conv.weight"], atol=1e-6)
    assert end["head.classifier.weight"].shape[0] == 3


def test_a_run_of_another_model_is_no_start(toy: pa.Table, toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"is a tsm:tiny and does not fit resnet3d:tiny: only one has"):
        train(toy, tmp_path / "b", toy_settings(model="resnet3d:tiny", init=toy_run))
    with pytest.raises(BadValue, match=r"stem.conv.weight is \(16, 2, 7, 7\) there, \(16, 3, 7, 7\) here"):
        train(toy, tmp_path / "b", toy_settings(modality="rgb", init=toy_run))
    with pytest.raises(MissingFile):
        train(toy, tmp_path / "b", toy_settings(init=tmp_path / "nothing"))
    with pytest.raises(MissingFile):
        train(toy, tmp_path / "b", toy_settings(weights=str(tmp_path / "nothing.pth")))
    assert not (tmp_path / "b").exists()


def test_a_loss_that_is_no_number_stops_the_training(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache, learning_rate=1e36, optimizer="sgd", epochs=3, warmup_epochs=0.0)
    with pytest.raises(BadValue, match=r"is no number any more. Give a lower --lr"):
        train(toy, tmp_path / "b", settings)


@pytest.mark.parametrize("model", ["tsm:r19", "tms:r18", "resnet3d:tinny"])
def test_an_unknown_model_is_a_sentence(model: str, toy: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean"):
        train(toy, tmp_path / "b", toy_settings(model=model))


def test_a_mirror_that_labels_forbid_is_said(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    directional = LabelSpace.from_names(LABELS.names, directional=True)
    made = tables.made(toy) | {"label_space": directional.to_dict()}
    rows = [{k: v for k, v in r.items() if k in row("", 0, "")} for r in toy.to_pylist()]
    videos = tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", made))
    done = train(videos, tmp_path / "b", toy_settings(cache=toy_cache, epochs=1, flip=0.5))
    assert "no clip is mirrored: some labels name a direction" in done.notes


def test_progress_counts_batches_and_epochs(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(toy, tmp_path / "b", toy_settings(cache=toy_cache, epochs=2), on_progress=seen.append)
    assert [(p.epoch, p.batch) for p in seen] == [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (2, 4)]
    assert {p.batches for p in seen} == {4}
    assert [p.curve.get("epoch") for p in seen if p.curve] == ["1", "2"]


def test_clips_that_the_network_cannot_take_are_refused_before_anything_is_written(
    toy: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(BadValue, match=r"'7x32x32': does not suit slowfast:tiny: .+ multiple of 4 frames"):
        train(toy, tmp_path / "a", toy_settings(model="slowfast:tiny", frames=7))
    assert not (tmp_path / "a").exists()
