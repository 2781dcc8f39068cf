import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.labels import LabelSpace
from secondlook.predict.weights import build_model, find_card, save_weights, write_json

LABELS = LabelSpace.from_names(["Rolling left", "Rolling right", "Covering"])
QUICK = ("--steps", "3", "--blocks", "2,3,3", "--levels", "2", "--sanity-clips", "1", "--cost-clips", "1")


def run_of(folder, seed):
    folder.mkdir(parents=True)
    card = find_card("tsm:tiny")
    save_weights(build_model(card, 3, seed=seed), folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LABELS.to_dict())
    return folder


@pytest.fixture
def runs(tmp_path):
    return [run_of(tmp_path / "runs" / name, seed) for seed, name in enumerate("ab")]


@pytest.fixture
def table(tmp_path, draw_video):
    draw_video(tmp_path / "data" / "a.mp4")
    masks = np.zeros((12, 48, 64), np.uint8)
    masks[:, 24:30, :30], masks[:, 10:14, 20:24] = 1, 4
    np.savez_compressed(tmp_path / "data" / "truth.npz", masks_THW=masks)
    common = {"group": "", "status": "unchecked", "reason": "", "label": 2, "truth_path": "truth.npz"}
    rows = [
        {"video_id": "a", "path": "a.mp4", "split": "test", **common},
        {"video_id": "gone", "path": "gone.mp4", "split": "val", **common},
    ]
    made = {"root": str(tmp_path / "data"), "label_space": LABELS.to_dict()}
    return tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made)


def call(*arguments, code=0):
    result = CliRunner().invoke(cli.build_app(), ["evaluate-explanations", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.spec("layerwise-relevance", "R6")
def test_a_table_of_methods_and_sentences_for_two_runs(runs, table, tmp_path):
    out = tmp_path / "scores"
    words = call(*runs, table, "--methods", "grad_cam,gradient", "-o", out, *QUICK)
    for part in ("a (tsm:tiny), best first", "b (tsm:tiny), best first", "deletion gain", "random net", "forwards"):
        assert part in words
    assert "mean rank over" in words
    assert "methods find the heat on the planted cue" in words
    assert str(out / "explanation_scores.json") in words
    result = json.loads((out / "explanation_scores.json").read_text())
    assert [(s["model"], s["method"], s["clips"]) for s in result["scores"]] == [
        ("a", "grad_cam", 1), ("a", "gradient", 1), ("b", "grad_cam", 1), ("b", "gradient", 1),
    ]  # fmt: skip
    assert result["made"]["command"] == "evaluate-explanations"
    assert str(table) in result["made"]["inputs"]
    assert result["made"]["settings"]["perturbing"]["blocks"] == [2, 3, 3]
    # once more: the same numbers, the times too, since nothing is measured again
    facts = json.loads(call(*runs, table, "--methods", "grad_cam,gradient", "-o", out, *QUICK, "--json"))
    assert facts["failed_rows"] == 0
    assert json.loads((out / "explanation_scores.json").read_text()) == result


def test_a_video_that_is_gone_is_a_failed_row(runs, table, tmp_path):
    arguments = ("--methods", "grad_cam", "--measures", "bias", "--split", "all", "-o", tmp_path / "scores")
    words = call(runs[0], table, *arguments, code=1)
    assert "gone: missing" in words


def test_two_runs_of_one_name_are_kept_apart(runs, table, tmp_path):
    other = run_of(tmp_path / "more" / "a", 5)
    options = ("--methods", "grad_cam", "--measures", "bias", "-o", tmp_path / "scores", "--json")
    facts = json.loads(call(runs[0], other, table, *options))
    assert [t["model"] for t in facts["trust"]] == [str(runs[0]), str(other)]


def test_mistakes_are_sentences(runs, table, tmp_path, monkeypatch, capsys):
    def say(*arguments):
        monkeypatch.setattr(sys, "argv", ["secondlook", "evaluate-explanations", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    out = ("-o", tmp_path / "scores")
    assert "then a videos table" in say(runs[0], *out)
    assert "then a videos table" in say(table, *out)
    assert "does not exist" in say(runs[0], tmp_path / "gone.parquet", *out)
    assert "does not exist" in say(tmp_path / "gone", table, *out)
    assert "'grad_cam'" in say(runs[0], table, *out, "--methods", "grad-cam")
    assert "'sanity'" in say(runs[0], table, *out, "--measures", "sanety")
    assert "three numbers" in say(runs[0], table, *out, "--blocks", "4,4")
    assert "blur, mean, black" in say(runs[0], table, *out, "--fill", "noise")
    assert not (tmp_path / "scores").exists()


def test_the_help_has_an_example():
    assert "Example: secondlook evaluate-explanations" in " ".join(call("--help").split()).replace("`", "")
