"""The verb `figure`: pictures of real runs and clips, whose numbers are those of the networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from secondlook import cli
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.predict.weights import build_model, find_card, load_run, save_weights, with_clip, write_json
from secondlook.video.transform import input_clip


def say(*arguments: object) -> dict:
    said = CliRunner().invoke(cli.build_app(), ["figure", *map(str, arguments), "--json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    told: dict = json.loads(said.stdout)
    Image.open(told["picture"]).verify()
    return told


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, draw_video: Callable[..., Path]) -> Path:
    return draw_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=20)


def write_run(folder: Path, head: str, **options: object) -> Path:
    card = with_clip(find_card("resnet2d:tiny"), frames=6, height=32, width=40)
    card = replace(card, head=head, options={**card.options, **options})
    network = build_model(card, 3, seed=1)
    folder.mkdir(parents=True)
    save_weights(network, folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LabelSpace.from_names(["a", "b", "c"], "toy").to_dict())
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {head: write_run(folder / head, head) for head in ("bert", "average")}


@pytest.mark.spec("late-temporal-bert", "F94")
def test_crops(video: Path, tmp_path: Path) -> None:
    told = say("crops", video, "-o", tmp_path / "crops.png", "--size", "32x32", "--short-side", "48")
    assert told["boxes"][:2] == [[8, 16, 32, 32], [0, 0, 32, 32]]
    assert len(told["boxes"]) == 13
    with pytest.raises(BadValue, match="does not fit in a frame"):
        say("crops", video, "-o", tmp_path / "crops.png", "--size", "64x64", "--short-side", "48")


@pytest.mark.spec("late-temporal-bert", "F96")
def test_attention_is_that_of_the_class_token(runs: dict[str, Path], video: Path, tmp_path: Path) -> None:
    told = say("attention", runs["bert"], video, "-o", tmp_path / "attention.png")
    loaded = load_run(runs["bert"])
    x_CTHW = input_clip(video, loaded.card.clip).x_CTHW
    with torch.no_grad():
        head = loaded.model.head
        weights_BLHNN = head.attention_weights(loaded.model.features(x_CTHW[None]))
    assert np.allclose(told["weights"], weights_BLHNN[0, -1, :, 0, 1:].numpy(), atol=1e-6)
    assert told["times_s"] == sorted(told["times_s"])
    with pytest.raises(BadValue, match="head without tokens"):
        say("attention", runs["average"], video, "-o", tmp_path / "attention.png")


@pytest.mark.spec("late-temporal-bert", "F96")
def test_similarity_is_the_cosine_of_tokens_and_features(runs: dict[str, Path], video: Path, tmp_path: Path) -> None:
    told = say("similarity", runs["average"], runs["bert"], video, "-o", tmp_path / "tokens.png")
    student, teacher = load_run(runs["bert"]).model, load_run(runs["average"]).model
    x_BCTHW = input_clip(video, load_run(runs["bert"]).card.clip).x_CTHW[None]
    with torch.no_grad():
        y_TD = student.head.frame_outputs(student.features(x_BCTHW))[0].numpy()
        z_TD = teacher.features(x_BCTHW)[0].mean((2, 3)).T.numpy()
    slow = [[float(y @ z / np.linalg.norm(y) / np.linalg.norm(z)) for z in z_TD] for y in y_TD]
    assert np.allclose(told["cosine"], slow, atol=1e-5)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "88")
def test_starts_are_those_of_the_sampler(tmp_path: Path) -> None:
    told = say("starts", "--frames", 100, "--draws", 2000, "-o", tmp_path / "starts.png")
    assert told["mean"] == pytest.approx(25, abs=1.5)


@pytest.mark.spec("late-temporal-bert", "F95")
def test_modalities_have_a_row_each(video: Path, tmp_path: Path) -> None:
    told = say("modalities", video, "--columns", "3", "-o", tmp_path / "rows.png")
    assert told["rows"] == ["RGB", "flow across", "flow down"]
    assert told["frames"] == [3, 10, 16]
    told = say("modalities", video, "--pose", video, "--columns", "2", "-o", tmp_path / "rows.png")
    assert told["rows"][-1] == "pose"
    with pytest.raises(BadValue, match="holds no flow"):
        say("modalities", video, "--flow", video, "-o", tmp_path / "rows.png")


def test_shift_and_what_cannot_be(tmp_path: Path) -> None:
    say("shift", "-o", tmp_path / "shift.png", "--online")
    with pytest.raises(BadValue, match="no more than all"):
        say("shift", "-o", tmp_path / "shift.png", "--fraction", "0.75")
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    with pytest.raises(BadValue, match="cannot be used"):
        say("crops", text, "-o", tmp_path / "crops.png")
