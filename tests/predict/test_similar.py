"""Videos that look alike to a network: the vector is what the classifier reads, the order that of the cosine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.predict.similar import classifier_input, embed, nearest
from secondlook.predict.weights import build_model, find_card, load_run, save_weights, with_clip, write_json
from secondlook.video.transform import input_clip

LABELS = LabelSpace.from_names(["a", "b"], "toy")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    card = replace(with_clip(find_card("resnet2d:tiny"), frames=4, height=32, width=40), head="bert")
    save_weights(build_model(card, 2, seed=0), folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LABELS.to_dict())
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, draw_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in (("one", 8), ("two", 20), ("copy", 8)):
        draw_video(folder / f"{name}.mp4", frames=frames)
    (folder / "bad.mp4").write_text("no video")
    rows = [
        {"video_id": name, "path": f"{name}.mp4", "label": i % 2, "split": "test", "group": "", "status": "unchecked",
         "reason": ""}
        for i, name in enumerate(("one", "two", "bad", "copy"))
    ]  # fmt: skip
    made = {"root": str(folder), "label_space": LABELS.to_dict()}
    return tables.write(tables.VIDEOS, rows, folder / "videos.parquet", made)


@pytest.fixture(scope="module")
def found(run_folder: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    path = tmp_path_factory.mktemp("out") / "embeddings.parquet"
    return embed(load_run(run_folder), tables.read(tables.VIDEOS, videos), path, batch_size=3, workers=0)


@pytest.mark.spec("late-temporal-bert", "F99")
def test_the_vector_is_the_class_token_after_the_encoder(run_folder: Path, videos: Path, found: pa.Table) -> None:
    loaded = load_run(run_folder)
    x_BCTHW = input_clip(videos.parent / "two.mp4", loaded.card.clip).x_CTHW[None]
    with torch.no_grad():
        token_D = loaded.model.head.outputs(loaded.model.features(x_BCTHW))[0, 0]
    assert torch.allclose(classifier_input(loaded.model, loaded.card, x_BCTHW)[0], token_D)
    assert np.allclose(found["vector"][1].as_py(), token_D.numpy(), atol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F99")
def test_the_nearest_is_the_copy_and_what_cannot_be_read_keeps_its_row(found: pa.Table) -> None:
    assert [n.video_id for n in nearest(found, "one", 5)] == ["copy", "two"]
    assert nearest(found, "one", 1)[0].cosine == pytest.approx(1.0, abs=1e-5)
    vectors = np.array(found["vector"].to_pylist())
    slow = vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    assert nearest(found, "one", 2)[1].cosine == pytest.approx(slow, abs=1e-5)
    assert found["status"].to_pylist() == ["ok", "ok", "not_a_video", "ok"]
    assert np.isnan(vectors[2]).all()


def test_what_cannot_be_asked(found: pa.Table) -> None:
    with pytest.raises(BadValue, match="could not be read"):
        nearest(found, "bad", 2)
    with pytest.raises(UnknownName, match="one"):
        nearest(found, "onee", 2)
    with pytest.raises(BadValue, match="at least 1"):
        nearest(found, "one", 0)


@pytest.mark.parametrize("name", ["resnet2d:tiny", "slowfast:tiny", "timesformer:tiny"])
def test_one_vector_a_clip_whatever_the_network(name: str) -> None:
    card = find_card(name)
    network = build_model(card, 3).eval()
    x_BCTHW = torch.randn(2, card.clip.channels, card.clip.frames, card.clip.height, card.clip.width)
    vector_BD = classifier_input(network, card, x_BCTHW)
    assert len(vector_BD) == 2
    classifier = network.get_submodule(card.explain.classifier)
    with torch.no_grad():
        assert torch.allclose(classifier(vector_BD), network(x_BCTHW), atol=1e-4)


def test_the_verb_draws_and_reads_its_table_again(run_folder: Path, videos: Path, tmp_path: Path) -> None:
    arguments = ["similar", str(run_folder), str(videos), "one", "-k", "2", "--workers", "0", "--json"]
    arguments += ["-o", str(tmp_path / "alike.png"), "--embeddings", str(tmp_path / "e.parquet")]
    told = []
    for _ in range(2):
        said = CliRunner().invoke(cli.build_app(), arguments, catch_exceptions=False)
        assert said.exit_code == 0, said.output
        told.append((json.loads(said.stdout), (tmp_path / "e.parquet").stat().st_mtime_ns))
    assert told[0] == told[1]
    assert [n["video_id"] for n in told[0][0]["neighbours"]] == ["copy", "two"]
    assert (tmp_path / "alike.png").stat().st_size > 1000
