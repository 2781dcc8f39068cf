"""Predictions against a slow twin that reads one view at a time; resuming; and videos that cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.predict import parts
from secondlook.predict.run import PredictSettings, predict
from secondlook.predict.views import Views
from secondlook.predict.weights import LoadedModel, build_model, find_card, load_run, save_weights, with_clip
from secondlook.video.transform import crop_names, input_clip
from tests.train.toy import LABELS, row, with_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """An untrained network that crops, so that there are three views of a frame."""
    card = with_clip(find_card("tsm:tiny"), fit="crop", frames=4, height=24, width=24, short_side=32, sampling="dense")
    network = build_model(card, 2).eval()
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    save_weights(network, path)
    return LoadedModel(network, card, LABELS, path)


def settings(**changes: Any) -> PredictSettings:
    return PredictSettings(**{"split": "all", "workers": 0, "batch_size": 4, **changes})


def rows_of(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["video_id"], r["view"]): r for r in tables.read(tables.PREDICTIONS, path).to_pylist()}


def slow_views(model: LoadedModel, videos: pa.Table, number: int, views: Views) -> list[list[float]]:
    path = Path(tables.made(videos)["root"]) / videos["path"][number].as_py()
    logits = []
    for view in range(views.clips):
        for crop in crop_names(model.card.clip, views.crops):
            x_CTHW = input_clip(path, model.card.clip, crop=crop, view=view, views=views.clips).x_CTHW
            with torch.no_grad():
                logits.append(model.model(x_CTHW[None])[0].tolist())
    return logits


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "76")
def test_ten_by_three_views_average_probabilities_also_of_uneven_videos(
    model: LoadedModel, toy: pa.Table, tmp_path: Path
) -> None:
    views = Views(10, 3)
    done = predict(model, toy, tmp_path / "a.parquet", settings(views=views, batch_size=8, split="test"))
    assert done.views == "10x3"
    found = rows_of(tmp_path / "a.parquet")
    test = [i for i, split in enumerate(toy["split"].to_pylist()) if split == "test"]
    for number in test:
        name = toy["video_id"][number].as_py()
        twin_VK = np.array(slow_views(model, toy, number, views))
        got_VK = np.array([found[name, view]["logits"] for view in range(30)])
        np.testing.assert_allclose(got_VK, twin_VK, atol=1e-5)
        mean_K = (np.exp(twin_VK) / np.exp(twin_VK).sum(1, keepdims=True)).mean(0)
        video_K = np.exp(found[name, -1]["logits"])
        np.testing.assert_allclose(video_K / video_K.sum(), mean_K, atol=1e-5)
        assert [found[name, view]["crop"] for view in range(3)] == ["left", "center", "right"]
        assert found[name, 29]["start_s"] > found[name, 0]["start_s"] == 0.0
    lengths = {len(input_clip_frames(toy, number)) for number in range(len(toy))}
    assert len(lengths) > 1
    assert len(found) == 31 * len(test)


def input_clip_frames(videos: pa.Table, number: int) -> np.ndarray:
    from secondlook.video.decode import decode

    return decode(Path(tables.made(videos)["root"]) / videos["path"][number].as_py()).frames_THWC


def test_the_network_never_sees_more_than_a_batch(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    sizes = []

    class Watching(torch.nn.Module):
        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x_BCTHW))
            return x_BCTHW.mean((1, 2, 3, 4))[:, None].repeat(1, 2)

    for batch_size in (1, 2, 7):
        predict(
            replace(model, model=Watching()), toy, tmp_path / f"{batch_size}.parquet",
            settings(views=Views(10, 3), batch_size=batch_size, split="test"),
        )  # fmt: skip
        assert max(sizes) <= batch_size
        assert sum(sizes) == 60
        sizes.clear()


def test_the_batch_size_does_not_change_the_logits(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    for batch_size in (1, 5):
        predict(model, toy, tmp_path / f"{batch_size}.parquet", settings(batch_size=batch_size))
    one, five = (tables.matrix(tables.read(tables.PREDICTIONS, tmp_path / f"{b}.parquet"), "logits") for b in (1, 5))
    np.testing.assert_allclose(one, five, atol=1e-5)
    assert len(one) == 2 * len(toy)


def test_a_trained_run_predicts_right_and_the_table_says_how(toy: pa.Table, toy_run: Path, tmp_path: Path) -> None:
    predict(load_run(toy_run), toy, tmp_path / "a.parquet", settings(split="test"))
    table = tables.read(tables.PREDICTIONS, tmp_path / "a.parquet")
    assert (tables.matrix(table, "logits").argmax(1) == table["label"].to_numpy()).all()
    assert set(table["split"].to_pylist()) == {"test"}
    made = tables.made(table)
    assert tables.label_space(table) == LABELS
    assert made["card"]["clip"]["frames"] == 4
    assert made["model"] == "tsm:tiny"
    assert (made["run"], made["views"], made["fuse"]) == (str(toy_run), "1x1", "probabilities")
    assert made["fingerprint"] == "toy"
    assert made["inputs"] == {str(toy_run / "best.safetensors"): tables.file_sha256(toy_run / "best.safetensors")}


def test_a_video_that_cannot_be_used_keeps_its_row(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    more = [
        row("gone", 1, "test"), row("hung", 0, "test", "timeout", "it hung"),
        row("private", 0, "test", "excluded", "asked for"), row("unlabelled", -1, ""),
    ]  # fmt: skip
    videos = with_rows(toy.slice(0, 2), more, tmp_path)
    done = predict(model, videos, tmp_path / "a.parquet", settings(views=Views(2, 3)))
    found = rows_of(tmp_path / "a.parquet")
    assert done.videos == 6
    assert done.unusable == 3  # `private` was set aside on purpose
    assert len(found) == 2 * 7 + 4
    for name, status, reason in (
        ("gone", "missing", "no such file"), ("hung", "timeout", "it hung"), ("private", "excluded", "asked for"),
    ):  # fmt: skip
        line = found[name, -1]
        assert (line["status"], line["reason"]) == (status, reason)
        assert np.isnan(line["logits"]).all()
        assert np.isnan(line["start_s"])
    assert found["unlabelled", -1]["label"] == -1
    assert found["0_000", -1]["status"] == "ok"


class Stop(Exception):  # noqa: N818
    pass


def test_a_stopped_prediction_goes_on_to_the_same_bits(
    model: LoadedModel, toy: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_CLIPS", 10)  # parts of 5 videos
    videos = with_rows(toy, [row("gone", 1, "test")], tmp_path)
    whole, output = tmp_path / "whole.parquet", tmp_path / "a.parquet"
    chosen = settings(views=Views(2, 1), batch_size=4)
    predict(model, videos, whole, chosen)

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise Stop

    with pytest.raises(Stop):
        predict(model, videos, output, chosen, on_step=stop)
    assert not output.exists()
    assert (tmp_path / "a.parquet.parts").is_dir()
    done = predict(model, videos, output, chosen)
    assert done.resumed == 5
    assert output.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "a.parquet.parts").exists()

    again = predict(model, videos, output, chosen)
    assert again.resumed == again.videos == 13
    assert predict(model, videos, output, replace(chosen, fuse="logits")).resumed == 0
    with pytest.raises(Stop):
        predict(model, videos, output, chosen, on_step=stop)
    assert predict(model, videos, output, replace(chosen, views=Views(1, 1))).resumed == 0  # other parts: thrown away


def test_columns_are_in_the_order_of_the_table(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    swapped = LabelSpace.from_names(["bright", "dark"])
    predict(model, toy, tmp_path / "a.parquet", settings())
    predict(replace(model, labels=swapped), toy, tmp_path / "b.parquet", settings())
    a, b = (tables.read(tables.PREDICTIONS, tmp_path / f"{n}.parquet") for n in "ab")
    assert (tables.matrix(a, "logits") == tables.matrix(b, "logits")[:, ::-1]).all()
    assert tables.label_space(a) == tables.label_space(b) == LABELS


def test_cache_and_workers_do_not_change_the_bits(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [{}, {"workers": 2, "cache": tmp_path / "frames"}, {"cache": tmp_path / "frames"}]
    for number, way in enumerate(ways):
        predict(model, toy, tmp_path / f"{number}.parquet", settings(views=Views(3, 3), split="val", **way))
    first, *others = ((tmp_path / f"{number}.parquet").read_bytes() for number in range(3))
    assert all(first == other for other in others)


def test_wrong_use_is_a_sentence(model: LoadedModel, toy: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"'exam': no video is in this split .there are: 'test', 'train', 'val'"):
        predict(model, toy, tmp_path / "a.parquet", settings(split="exam"))
    with pytest.raises(BadValue, match=r"batch size must be at least 1"):
        settings(batch_size=0)
    with pytest.raises(BadValue, match=r"precision must be one of 32, bf16, 16"):
        settings(precision="64")
    with pytest.raises(BadValue, match=r"is no device of this machine"):
        predict(model, toy, tmp_path / "a.parquet", settings(device="cuda:99"))
    directional = replace(model, labels=LabelSpace.from_names(LABELS.names, directional=True))
    with pytest.raises(BadValue, match=r"ten crops are mirrored"):
        predict(directional, toy, tmp_path / "a.parquet", settings(views=Views(1, 10)))
