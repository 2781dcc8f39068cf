import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.cards import HeatMap
from secondlook.labels import LabelSpace
from secondlook.predict.weights import build_model, find_card, save_weights, write_json

LABELS = LabelSpace.from_names(["Rolling left", "Rolling right", "Covering"])


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    card = find_card("tsm:tiny")
    save_weights(build_model(card, 3, seed=0), folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LABELS.to_dict())
    return folder


def explain(*arguments, code=0):
    result = CliRunner().invoke(cli.build_app(), ["explain", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout


def sentence(monkeypatch, capsys, *arguments):
    """What `secondlook explain` says of a mistake."""
    monkeypatch.setattr(sys, "argv", ["secondlook", "explain", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_a_clip_gives_a_strip_a_video_and_an_npz(run_folder, tmp_path, draw_video):
    clip = draw_video(tmp_path / "clip.mp4")
    words = explain(run_folder, clip, "--method", "grad_cam", "-o", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["heat.npz", "overlay.mp4", "strip.png"]
    for name in ("strip.png", "overlay.mp4", "heat.npz"):
        assert str(tmp_path / "out" / name) in words
    lines = [line for line in words.splitlines() if "%" in line]
    assert len(lines) == 3
    assert "<- explained" in lines[0]
    assert sum(float(line.split()[1].rstrip("%")) for line in lines) == pytest.approx(100, abs=0.2)


@pytest.mark.spec("label-reassessment", "X5")
def test_any_layer_and_a_grid_of_all_layers(run_folder, tmp_path, draw_video):
    clip = draw_video(tmp_path / "clip.mp4")
    plain = json.loads(explain(run_folder, clip, "--no-video", "--json", "-o", tmp_path / "plain"))
    deep = json.loads(
        explain(
            run_folder, clip, "--layer", "layer2.0.conv2", "--layers", "all", "--weights", "channel_time", "--gif",
            "--pictures", "--json", "-o", tmp_path / "deep",
        )
    )  # fmt: skip
    assert plain["predicted"] == deep["predicted"]
    assert plain["module"] == "layer4"
    assert deep["module"] == "layer2.0.conv2"
    assert set(deep["paths"]) == {"strip", "video", "gif", "pictures", "layers", "heat"}
    assert set(plain["paths"]) == {"strip", "heat"}
    from PIL import Image

    with Image.open(deep["paths"]["layers"]) as grid:
        assert grid.width > 6 * 176  # the video and five stages
    heat = HeatMap.load(deep["paths"]["heat"])
    assert heat.notes["weights"] == "channel_time"
    assert heat.notes["grid"] == [12, 8, 8]


def test_the_label_can_be_named(run_folder, tmp_path, draw_video):
    clip = draw_video(tmp_path / "clip.mp4")
    for label in ("covering", "2"):
        found = json.loads(explain(run_folder, clip, "--label", label, "--no-video", "--json", "-o", tmp_path / "out"))
        assert (found["label"], found["label_name"], found["failed_rows"]) == (2, "Covering", 0)


def test_a_table_gives_a_list_and_exit_code_1_with_failed_rows(run_folder, tmp_path, draw_video):
    for name in ("a", "b"):
        draw_video(tmp_path / "data" / f"{name}.mp4")
    masks = np.zeros((12, 48, 64), np.uint8)
    masks[:, 24:30, :30] = 1
    np.savez_compressed(tmp_path / "data" / "truth.npz", masks_THW=masks)
    common = {"group": "", "status": "unchecked", "reason": "", "label": 2, "truth_path": "truth.npz"}
    rows = [
        {"video_id": "a", "path": "a.mp4", "split": "test", **common},
        {"video_id": "gone", "path": "gone.mp4", "split": "test", **common},
        {"video_id": "b", "path": "b.mp4", "split": "train", **common},
    ]
    made = {"root": str(tmp_path / "data"), "label_space": LABELS.to_dict()}
    table = tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made)
    words = explain(run_folder, table, "--split", "test", "--label", "given", "--no-video", code=1)
    assert "explained 1 of 2 videos" in words
    assert "gone: missing: " in words
    assert "uniform" in words
    listed = json.loads((run_folder / "explain" / "videos" / "explanations.json").read_text())
    assert [(e["video_id"], e["run"], e["status"]) for e in listed["explanations"]] == [
        ("a", "a", "ok"),
        ("gone", "a", "missing"),
    ]
    assert listed["explanations"][0]["label_name"] == "Covering"
    assert listed["made"]["command"] == "explain"
    assert str(table) in listed["made"]["inputs"]
    facts = json.loads(explain(run_folder, table, "--limit", "1", "--no-video", "--json", "-o", tmp_path / "one"))
    assert facts["videos"] == 1
    assert facts["failed_rows"] == 0


def test_mistakes_are_sentences(run_folder, tmp_path, draw_video, monkeypatch, capsys):
    def say(*arguments):
        return sentence(monkeypatch, capsys, *arguments)

    clip = draw_video(tmp_path / "clip.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    assert "not_a_video" in say(run_folder, bad)
    assert "does not exist" in say(run_folder, tmp_path / "gone.mp4")
    assert "does not exist" in say(tmp_path / "no-run", clip)
    assert "Did you mean 'layer4'" in say(run_folder, clip, "--layer", "layer5")
    assert "'Rolling left'" in say(run_folder, clip, "--label", "roling left")
    assert "no given label" in say(run_folder, clip, "--label", "given")
    assert "'grad_cam'" in say(run_folder, clip, "--method", "grad-cam")
    assert "channel, channel_time" in say(run_folder, clip, "--weights", "frame")
    assert "'inferno'" in say(run_folder, clip, "--colour-map", "infernal")
    assert not (run_folder / "explain").exists()
