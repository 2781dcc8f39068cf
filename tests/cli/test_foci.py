"""`secondlook foci`: from a folder of explanations to clusters, classes and deciding frames, with pictures."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from secondlook import cli
from secondlook.cards import HeatMap
from secondlook.explain._entries import Writer
from secondlook.labels import LabelSpace

LABELS = LabelSpace.from_names(["fall", "jump [something] over something", "wave"])


def write_set(folder, draw_video, clips=10, cheats=6, videos=True):
    """Three classes whose heat follows the middle, later by class; some clips of class 1 look at the upper left."""
    rng = np.random.default_rng(0)
    rows, columns = (np.arange(48) + 0.5) / 48, (np.arange(64) + 0.5) / 64
    if videos:
        draw_video(folder / "data" / "clip.mp4")
    entries = []
    for k in range(3):
        for i in range(clips):
            cheat = k == 1 and i < cheats
            y, x = rng.normal(0.08, 0.01, 2) if cheat else rng.normal(0.55, 0.12, 2)
            width = 0.08 if cheat else 0.15
            space_HW = np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
            heat_THW = (np.exp(-((np.arange(6) - 2 * k) ** 2))[:, None, None] * space_HW).astype(np.float32)
            name = f"{k}_{i:02d}"
            (folder / name).mkdir(parents=True, exist_ok=True)
            times = np.arange(6) * 2
            HeatMap(heat_THW / heat_THW.max(), times, times / 12, "grad_cam", k, "layer4").save(
                folder / name / "heat.npz"
            )
            entries.append({
                "video_id": name, "method": "grad_cam", "status": "ok", "reason": "", "path": "clip.mp4",
                "split": "test", "run": "a", "label": k, "label_name": LABELS.names[k],
                "paths": {"heat": f"{name}/heat.npz"}, "measures": None, "peak_s": k / 3, "no_heat": False,
                "action_start_s": 0.25, "action_end_s": 0.5,
            })  # fmt: skip
    made = {"command": "explain", "root": str(folder / "data"), "label_space": LABELS.to_dict()}
    with Writer(folder, made, measured=True) as writer:
        for entry in entries:
            writer.add(entry)
        writer.finish({})
    return folder


def foci(*arguments, code=0):
    result = CliRunner().invoke(cli.build_app(), ["foci", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout


def sentence(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["secondlook", "foci", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.spec("layerwise-relevance", "R8")
def test_the_planted_cue_comes_first_in_words_numbers_and_pictures(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video)
    words = foci(heat, "-o", tmp_path / "foci")
    facts = json.loads((tmp_path / "foci" / "foci.json").read_text())
    first = facts["clusters"][0]
    assert first["clips"] == [f"1_{i:02d}" for i in range(6)]
    assert first["shares"] == {LABELS.names[1]: 1.0}
    assert first["held"] == {LABELS.names[1]: 0.6}
    assert "upper left" in first["reason"]
    assert first["reason"] in words
    assert facts["made"]["command"] == "foci"
    assert str(heat / "explanations.parquet") in facts["made"]["inputs"]
    names = {p.name for p in (tmp_path / "foci").iterdir()}
    sheets = {f"cluster-{n + 1:02d}.png" for n in range(len(facts["clusters"]))}
    assert names == {"foci.json", "classes.png", "deciding.png", *sheets}
    with Image.open(tmp_path / "foci" / "cluster-01.png") as sheet:
        assert sheet.width == 720 or sheet.width > 5 * 176
        sheet_HWC = np.asarray(sheet)
    # The example's frame is the video's own, not grey: the white square of the drawn clip is there.
    plain_HWC = sheet_HWC[70:200, 200:360]
    assert (plain_HWC.min(axis=2) > 240).any()
    with Image.open(tmp_path / "foci" / "classes.png") as sheet:
        assert sheet.width >= 4 * 176


def test_numbers_of_classes_and_of_deciding_frames(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video)
    facts = json.loads(foci(heat, "--no-pictures", "--json", "-o", tmp_path / "foci"))
    assert [c["name"] for c in facts["classes"]] == list(LABELS.names)
    assert max(facts["classes"], key=lambda c: c["distance"])["name"] == LABELS.names[1]
    decide = {d["name"]: d for d in facts["deciding"]}
    assert decide["all"]["clips"] == 30
    medians = [decide[name]["median_peak"] for name in LABELS.names]
    assert medians == pytest.approx([0.5 / 6, 2.5 / 6, 4.5 / 6], abs=1e-6)
    assert [decide[name]["outside"] for name in LABELS.names] == [1, 0, 1]  # best at 0, 1/3 and 2/3 s of 0.25 to 0.5 s
    assert decide["all"]["outside_by_chance"] == pytest.approx(4 / 6, abs=1e-6)
    assert [p.name for p in (tmp_path / "foci").iterdir()] == ["foci.json"]


def test_a_second_time_gives_the_same_and_the_list_serves_where_there_is_no_table(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video)
    one, again = (json.loads(foci(heat, "--no-pictures", "--json", "-o", tmp_path / "foci")) for _ in range(2))
    assert one == again
    (heat / "explanations.parquet").unlink()
    assert json.loads(foci(heat, "--no-pictures", "--json", "-o", tmp_path / "foci")) == one
    listed = json.loads((heat / "explanations.json").read_text())
    for entry in listed["explanations"]:  # as it was written before there was a table
        del entry["path"], entry["action_start_s"], entry["action_end_s"]
    (heat / "explanations.json").write_text(json.dumps({**listed, "made": {"command": "explain"}}))
    old = json.loads(foci(heat, "--no-pictures", "--json", "-o", tmp_path / "foci"))
    assert old["clusters"] == one["clusters"]
    assert old["deciding"][0]["action_known"] == 0


def test_options_reach_the_clusters(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video, clips=12)
    plain = ("--no-pictures", "--json", "-o", tmp_path / "foci")
    assert len(json.loads(foci(heat, "--clusters", 3, *plain))["clusters"]) == 3
    by_class = json.loads(foci(heat, "--by", "class", *plain))
    assert all(len(c["shares"]) == 1 for c in by_class["clusters"])
    assert sum(c["size"] for c in by_class["clusters"]) == 36
    assert json.loads(foci(heat, "--grid", "2x4x5", *plain))["grid"] == [2, 4, 5]
    with_time = json.loads(foci(heat, "--with-time", "--metric", "euclidean", "--neighbours", 5, *plain))
    assert with_time["clusters_status"] == "ok"


def test_too_few_clips_have_a_status_in_words_and_the_rest_is_done(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video, clips=2, cheats=1)
    words = foci(heat)
    assert "clusters: too few clips: clusters need at least 12, there are 6" in words
    facts = json.loads((heat / "foci" / "foci.json").read_text())
    assert facts["clusters"] == []
    assert len(facts["classes"]) == 3
    assert {p.name for p in (heat / "foci").iterdir()} == {"foci.json", "classes.png", "deciding.png"}


def test_clips_that_cannot_be_used_are_left_out_with_a_status(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video, videos=False)
    (heat / "0_00" / "heat.npz").unlink()
    (heat / "0_01" / "heat.npz").write_bytes(b"broken")
    cold = HeatMap(np.zeros((2, 4, 4), np.float32), np.arange(2), np.arange(2) / 2, "grad_cam", 0)
    cold.save(heat / "0_02" / "heat.npz")
    words = foci(heat, code=1)  # the videos are not there either: heat is drawn on grey
    facts = json.loads((heat / "foci" / "foci.json").read_text())
    assert {row["video_id"]: row["status"] for row in facts["left_out"]} == {
        "0_00": "unreadable", "0_01": "unreadable", "0_02": "no_heat",
    }  # fmt: skip
    assert facts["clips"] == 27
    assert "left out: 3 clips" in words


def test_a_method_that_speaks_about_time_alone_has_no_places(tmp_path, draw_video):
    heat = write_set(tmp_path / "heat", draw_video)
    for path in heat.glob("*/heat.npz"):
        found = HeatMap.load(path)
        mass_T11 = found.heat_THW.max(axis=(1, 2), keepdims=True)
        even_THW = np.broadcast_to(mass_T11, found.heat_THW.shape).copy()
        times = (found.frame_index_T, found.frame_time_s_T)
        HeatMap(even_THW, *times, "grad_cam", found.label, notes={"temporal": True}).save(path)
    words = foci(heat, "--no-pictures")
    assert "no places: grad_cam says when a network looks, not where" in words


def test_mistakes_are_sentences(tmp_path, draw_video, monkeypatch, capsys):
    def say(*arguments):
        return sentence(monkeypatch, capsys, *arguments)

    (tmp_path / "empty").mkdir()
    assert "Make it with `secondlook explain" in say(tmp_path / "empty")
    assert "does not exist" in say(tmp_path / "none")
    heat = write_set(tmp_path / "several" / "grad_cam", draw_video)
    assert "several methods: grad_cam" in say(tmp_path / "several")
    assert "4x8x8" in say(heat, "--grid", "4x8")
    assert "hellinger or euclidean" in say(heat, "--metric", "cosine")
    assert "by all or by class" in say(heat, "--by", "method")
    assert "from 1 to 29" in say(heat, "--neighbours", "30")
    for path in heat.glob("*/heat.npz"):
        path.unlink()
    assert "no heat map that can be used, of 30 videos" in say(heat)
    (heat / "explanations.parquet").unlink()
    (heat / "explanations.json").write_text("{")
    assert "is not a list of explanations" in say(heat)


def test_help_has_an_example():
    words = CliRunner().invoke(cli.build_app(), ["foci", "--help"], env={"COLUMNS": "200"}).output
    assert "Example: secondlook foci" in words.replace("`", "")
