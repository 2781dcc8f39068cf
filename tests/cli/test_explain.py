import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.cards import HeatMap
from secondlook.labels import LabelSpace
from secondlook.predict.weights import build_model, find_card, save_weights, write_json

LABELS = LabelSpace.from_names(["Rolling left", "Rolling right", "Covering"])


def a_run(folder, model, labels=LABELS):
    """A run folder with random weights."""
    folder.mkdir(parents=True)
    card = find_card(model)
    save_weights(build_model(card, len(labels), seed=0), folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", labels.to_dict())
    return folder


def videos_of(tmp_path, draw_video, names):
    """A videos table; every other one is `Rolling left`, the rest `Rolling right`; `gone` is not there."""
    rows = []
    for n, name in enumerate(names):
        if name != "gone":
            draw_video(tmp_path / "data" / f"{name}.mp4", frames=12 + 4 * n, width=64 + 8 * n)
        row = {"video_id": name, "path": f"{name}.mp4", "split": "test", "label": n % 2}
        rows.append(row | {"group": "", "status": "unchecked", "reason": ""})
    made = {"root": str(tmp_path / "data"), "label_space": LABELS.to_dict()}
    return tables.write(tables.VIDEOS, rows, tmp_path / "some.parquet", made)


@pytest.fixture
def run_folder(tmp_path):
    return a_run(tmp_path / "runs" / "a", "tsm:tiny")


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


@pytest.mark.spec("label-reassessment", "X5", "X7")
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
    grid = {"layers", "layers-video", "layers-gif", "layers-heat"}
    assert set(deep["paths"]) == {"strip", "video", "gif", "pictures", "heat"} | grid
    assert set(plain["paths"]) == {"strip", "heat"}
    from PIL import Image

    with Image.open(deep["paths"]["layers"]) as picture:
        assert picture.width > 6 * 176  # the video and five stages
    with Image.open(deep["paths"]["layers-gif"]) as film:
        assert film.n_frames == 12
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
    assert "twice" in say(run_folder, clip, "--method", "grad_cam,grad_cam")
    assert "'weights'" in say(run_folder, clip, "--option", "weight=channel")
    assert "channel, channel_time" in say(run_folder, clip, "--option", "weights=frame")
    assert "a whole number" in say(run_folder, clip, "--method", "occlusion", "--option", "overlap=x")
    said = say(run_folder, clip, "--method", "attention_rollout")
    assert "grad_cam" in said.partition("Methods that fit: ")[2]
    assert "no pathways" in say(run_folder, clip, "--pathways", "all")
    assert "no layer grid" in say(run_folder, clip, "--method", "gradient", "--layers", "all")
    assert "nothing to explain" in say(run_folder)
    assert "below 1" in say(run_folder, clip, "--hotspots", "--threshold", "1")
    assert "clip or frame" in say(run_folder, clip, "--hotspots", "--relative", "video")
    assert "two classes" in say(run_folder, clip, "--pair", "Covering", "covering")
    assert "'Covering'" in say(run_folder, clip, "--pair", "Rolling left", "Coverin")
    assert "channel, channel_time" in say(run_folder, clip, "--weights", "frame")
    assert "'inferno'" in say(run_folder, clip, "--colour-map", "infernal")
    assert not (run_folder / "explain").exists()


@pytest.mark.spec("label-reassessment", "X7")
def test_strips_films_and_grids_of_layers_pathways_classes_and_methods(tmp_path, draw_video):
    """Figures V8 to V12 from the command line: PNG, MP4, and a heat map in the video's frames a column."""
    run_folder = a_run(tmp_path / "runs" / "slowfast", "slowfast:tiny")
    clip = draw_video(tmp_path / "clip.mp4", frames=20, height=60, width=100)
    found = json.loads(
        explain(
            run_folder, clip, "--method", "grad_cam,gradient", "--layers", "slow.layer1,slow.layer2,fast.layer1",
            "--pathways", "all", "--classes", "predicted,Covering,rolling left", "--hotspots", "--json",
            "--option", "weights=channel_time", "--option", "channels=sum", "-o", tmp_path / "out",
        )
    )  # fmt: skip
    paths = found["paths"]
    grids = {"methods", "layers-slow", "layers-fast", "pathways", "classes", "classes-gradient"}
    each = {"strip", "video", "heat", "hotspots", "frame", "relevance"}
    expected = each | {f"{kind}-gradient" for kind in each} | grids
    expected |= {f"{g}-{kind}" for g in grids for kind in ("video", "heat")} - {"methods-heat"}
    assert set(paths) == expected
    from PIL import Image

    for kind, path in paths.items():
        if path.endswith(".png"):
            with Image.open(path) as image:
                assert image.width >= 440, kind
    columns = {kind: sorted(p.name for p in Path(paths[f"{kind}-heat"]).iterdir()) for kind in grids - {"methods"}}
    assert columns["pathways"] == ["01-Slow.npz", "02-Fast.npz"]
    assert columns["layers-slow"] == ["01-slow.layer1.npz", "02-slow.layer2.npz"]
    assert columns["layers-fast"] == ["01-fast.layer1.npz"]
    assert {name[3:] for name in columns["classes"]} >= {"Covering.npz", "Rolling_left.npz"}
    for kind in columns:
        for name in columns[kind]:
            assert HeatMap.load(Path(paths[f"{kind}-heat"]) / name).heat_THW.shape == (16, 60, 100)
    main, other = HeatMap.load(paths["heat"]), HeatMap.load(paths["heat-gradient"])
    assert (main.method, main.notes["weights"], other.method) == ("grad_cam", "channel_time", "gradient")
    assert other.signed


def test_two_networks_on_one_clip_are_matched_by_class_name(run_folder, tmp_path, draw_video):
    clip = draw_video(tmp_path / "clip.mp4", frames=30)
    names = ["unheard of", "Covering", "Rolling right"]
    other = a_run(tmp_path / "runs" / "b", "slowfast:tiny", LabelSpace.from_names(names))
    found = json.loads(
        explain(
            run_folder, clip, "--label", "covering", "--against", other, "--no-video", "--layer", "layer3", "--json",
            "-o", tmp_path / "out",
        )
    )  # fmt: skip
    assert set(found["paths"]) == {"strip", "heat", "models", "models-heat"}
    heats = [HeatMap.load(path) for path in sorted((tmp_path / "out" / "models").iterdir())]
    assert [heat.label for heat in heats] == [2, 1]
    assert [len(heat.heat_THW) for heat in heats] == [12, 16]
    assert heats[0].module == "layer3"


def test_networks_without_the_class_and_tables_are_refused(run_folder, tmp_path, draw_video, monkeypatch, capsys):
    clip = draw_video(tmp_path / "clip.mp4")
    other = a_run(tmp_path / "runs" / "b", "tsm:tiny", LabelSpace.from_names(["something else", "and another"]))
    said = sentence(monkeypatch, capsys, run_folder, clip, "--against", other, "-o", tmp_path / "out")
    assert "is not known" in said
    assert not (tmp_path / "out").exists()
    table = videos_of(tmp_path, draw_video, ["a"])
    assert "one clip" in sentence(monkeypatch, capsys, run_folder, table, "--against", other)


def test_a_pair_of_classes_on_the_clip_of_each_that_is_most_taken_for_the_other(run_folder, tmp_path, draw_video):
    table = videos_of(tmp_path, draw_video, ["a", "b", "c", "d", "gone"])
    pair = ("--pair", "Rolling left", "Rolling right", "--no-video", "--json")
    found = json.loads(explain(run_folder, table, *pair, "-o", tmp_path / "pair"))
    assert set(found["paths"]) == {"pair", "pair-heat"}
    from secondlook.explain._hooks import logits_of
    from secondlook.predict.weights import load_run
    from secondlook.video.transform import input_clip

    loaded = load_run(run_folder)
    logits = {
        name: logits_of(
            loaded.model, input_clip(tmp_path / "data" / f"{name}.mp4", loaded.card.clip).x_CTHW[None]
        )[0].tolist()
        for name in "abcd"
    }  # fmt: skip
    lefts, rights = "ac", "bd"
    assert found["videos"] == [
        max(lefts, key=lambda name: logits[name][1] - logits[name][0]),
        max(rights, key=lambda name: logits[name][0] - logits[name][1]),
    ]
    heats = [HeatMap.load(path) for path in sorted((tmp_path / "pair" / "pair").iterdir())]
    assert [heat.label for heat in heats] == [0, 1, 0, 1]
    alone = json.loads(explain(run_folder, tmp_path / "data" / "a.mp4", *pair, "-o", tmp_path / "alone"))
    assert len(list((tmp_path / "alone" / "pair").iterdir())) == 2
    assert alone["videos"] == ["a.mp4"]


def test_a_pair_never_leaves_the_folder_of_the_videos(run_folder, tmp_path, draw_video, monkeypatch, capsys):
    table = videos_of(tmp_path, draw_video, ["a", "b"])
    draw_video(tmp_path / "outside.mp4")
    rows = tables.read(tables.VIDEOS, table)
    outside = [{**row, "path": "../outside.mp4"} if row["video_id"] == "a" else row for row in rows.to_pylist()]
    tables.write(tables.VIDEOS, outside, tmp_path / "way_out.parquet", tables.made(rows))
    said = sentence(
        monkeypatch, capsys, run_folder, tmp_path / "way_out.parquet", "--pair", "Rolling left", "Rolling right"
    )
    assert "none of the chosen videos of this class can be read" in said


def test_a_table_with_several_methods(run_folder, tmp_path, draw_video):
    table = videos_of(tmp_path, draw_video, ["a"])
    found = json.loads(
        explain(run_folder, table, "--method", "grad_cam,gradient", "--no-video", "--json", "-o", tmp_path / "out")
    )
    assert set(found["methods"]) == {"grad_cam", "gradient"}
    for method in ("grad_cam", "gradient"):
        assert (tmp_path / "out" / method / "a" / "strip.png").is_file()


def test_the_methods_that_fit_are_listed_with_their_options(run_folder):
    words = explain(run_folder, "--list")
    fits, _, others = words.partition("the others do not:")
    assert "  grad_cam " in fits
    assert "--option weights=channel (channel, channel_time)" in fits
    assert "  attention_rollout " in others
    found = json.loads(explain(run_folder, "--list", "--json"))
    assert found["methods"]["grad_cam"]["fits"]
    assert found["methods"]["attention_rollout"]["reason"]


def test_names_with_commas_and_names_for_the_shell():
    from secondlook.cli._explaining import complete_methods, split_names

    labels = LabelSpace.from_names(["Putting, then taking", "Taking", "Putting"])
    assert split_names("predicted, putting, then taking ,Putting", labels) == (
        "predicted", "putting, then taking", "Putting",
    )  # fmt: skip
    assert split_names(" a ,,b ") == ("a", "b")
    assert "lrp,grad_cam" in complete_methods("lrp,grad_c")
    assert "gradient" not in complete_methods("grad_c")


def test_layers_that_a_method_cannot_read_are_left_out_and_named(run_folder, tmp_path, draw_video):
    clip = draw_video(tmp_path / "clip.mp4")
    found = json.loads(
        explain(
            run_folder, clip, "--method", "saliency_tubes", "--layers", "layer1,layer4", "--no-video", "--json",
            "-o", tmp_path / "out",
        )
    )  # fmt: skip
    assert len(list((tmp_path / "out" / "layers").glob("*.npz"))) == 1
    (line,) = found["left_out"]
    assert line.startswith("saliency_tubes: 'layer1': gives")
