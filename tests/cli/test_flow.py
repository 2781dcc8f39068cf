"""The verbs flow and pose, and what train and predict say to their tables."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.datasets._listing import row
from secondlook.labels import LabelSpace


@pytest.fixture
def videos(draw_video, tmp_path):
    root = tmp_path / "root"
    rows = []
    for i in range(8):
        draw_video(root / f"v{i}.mp4", frames=6, height=24, width=32)
        rows.append(row(f"v{i}", f"v{i}.mp4", i % 2, ("train", "val", "test")[min(i // 4, 1) + (i >= 6)]))
    (root / "bad.mp4").write_text("no video")
    rows.append(row("bad", "bad.mp4", 0, ""))
    made = {"root": str(root), "label_space": LabelSpace.from_names(["one", "two"]).to_dict()}
    tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made)
    return tmp_path / "videos.parquet"


def run(*words: object):
    return CliRunner().invoke(cli.build_app(), list(map(str, words)))


def said(monkeypatch, capsys, *words: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["secondlook", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), capsys.readouterr().err


def test_flow_then_train_then_predict(videos, tmp_path, monkeypatch, capsys):
    done = run("flow", videos, "-o", tmp_path / "flow", "--workers", 2, "--json")
    assert done.exit_code == 1, done.output
    about = json.loads(done.stdout)
    assert (about["rows"], about["prepared"], about["failed_rows"]) == (9, 8, 1)
    again = run("flow", videos, "-o", tmp_path / "flow", "--workers", 1)
    assert "0 videos made now, 8 already there" in again.stdout
    assert "1 not_a_video" in again.stdout
    recipe = ("--model", "resnet3d:tiny", "--modality", "flow", "--frames", 4, "--size", "16x16", "--epochs", 1)
    trained = run("train", tmp_path / "flow" / "videos.parquet", "-o", tmp_path / "run", *recipe, "--workers", 0)
    assert trained.exit_code == 0, trained.output
    predict = ("predict", tmp_path / "run", tmp_path / "flow" / "videos.parquet", "-o", tmp_path / "p.parquet")
    predicted = run(*predict, "--workers", 0)
    assert predicted.exit_code == 0, predicted.output
    made = tables.made(tables.read(tables.PREDICTIONS, tmp_path / "p.parquet"))
    assert made["card"]["clip"]["modality"] == "flow"
    code, words = said(monkeypatch, capsys, "predict", tmp_path / "run", videos, "-o", tmp_path / "q.parquet")
    assert (code, "secondlook flow videos.parquet" in words) == (2, True)
    code, words = said(monkeypatch, capsys, "train", tmp_path / "flow" / "videos.parquet", "-o", tmp_path / "r")
    assert (code, "--modality flow" in words) == (2, True)
    assert not (tmp_path / "q.parquet").exists()


def test_pose(videos, tmp_path, monkeypatch, capsys):
    points = tmp_path / "points"
    points.mkdir()
    for i in range(8):
        (points / f"v{i}.json").write_text(json.dumps([[[8.0, 9.0, 1.0] * 17]] * 6))
    done = run("pose", videos, "-o", tmp_path / "pose", "--keypoints", points, "--workers", 2, "--json")
    assert done.exit_code == 1, done.output
    about = json.loads(done.stdout)
    assert (about["prepared"], about["failed_rows"]) == (8, 1)
    table = tables.read(tables.VIDEOS, about["path"])
    assert tables.made(table)["shows"] == "pose"
    code, words = said(monkeypatch, capsys, "pose", videos, "-o", tmp_path / "pose2")
    assert (code, "--keypoints FOLDER" in words, "none comes with secondlook" in words) == (2, True, True)
    code, words = said(monkeypatch, capsys, "pose", videos, "-o", tmp_path / "pose2", "--estimator", "no.onnx")
    assert (code, "none comes with secondlook" in words) == (2, True)


@pytest.mark.parametrize(("flag", "value", "rule"), [("--method", "tvl2", "tvl1"), ("--bound", "0", "bound must lie")])
def test_wrong_use_is_a_sentence_and_exit_code_2(videos, tmp_path, monkeypatch, capsys, flag, value, rule):
    code, words = said(monkeypatch, capsys, "flow", videos, "-o", tmp_path / "flow", flag, value)
    assert code == 2
    assert rule in words


@pytest.mark.parametrize("verb", ["flow", "pose"])
def test_help_has_an_example(verb):
    assert f"secondlook {verb} videos.parquet" in run(verb, "--help").stdout
