"""The verb `evaluate`: the accuracies it prints and writes, and how it fails."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook.cli import build_app, main
from tests.audit import build


def run(*arguments):
    return CliRunner().invoke(build_app(), ["evaluate", *map(str, arguments)])


def error_of(monkeypatch, capsys, *arguments):
    """The sentence on stderr of a run that ends with 2."""
    monkeypatch.setattr("sys.argv", ["secondlook", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def tables_on_disk(tmp_path):
    """Ten videos given c0; a is right for 4, b for 6; people add c1 to three of them that both took for c1."""
    given_N = [0] * 10
    predicted = {"a": [0] * 4 + [1] * 6, "b": [0] * 6 + [1] * 4}
    for name, classes in predicted.items():
        table = build.predictions(np.eye(7)[classes], given_N, model=f"toy:{name}")
        build.save(table, tmp_path / f"{name}.parquet")
    rows = {f"v{i:05d}": (0, {0, 1}) for i in (7, 8, 9)} | {"v00000": (0, set())}
    build.save(build.labels(rows, 7), tmp_path / "labels.parquet")
    true_labels = [[0, 1]] * 10
    group = [f"s{i // 2}" for i in range(10)]
    build.save(build.videos(given_N, 7, true_labels=true_labels, group=group), tmp_path / "videos.parquet")
    return tmp_path


def test_the_printed_table(tables_on_disk):
    folder = tables_on_disk
    done = run(folder / "a.parquet", folder / "b.parquet", "--labels", folder / "labels.parquet", "--videos",
               folder / "videos.parquet", "-o", folder / "scores.json")  # fmt: skip
    assert done.exit_code == 0, done.output
    said = done.stdout
    assert "Accuracy on 10 videos, with 95% intervals (2000 resamples of 5 groups)" in said
    (line,) = (x for x in said.splitlines() if x.startswith("toy:a  top1") and "/" in x)
    assert "33.33 % [" in line  # of 9: one was dropped
    assert "3/9" in line
    assert "66.67 % [" in line
    assert "6/9" in line
    assert "+33.33 [" in line
    assert "100.00 % [100.0, 100.0]" in line
    assert (
        "reviewed videos: 4, of which with another label set than the given label: 3, dropped (left out of ReaL): 1"
        in said
    )
    assert "ReaL with dropped videos counted by their given label: toy:a top1 70.00 %" in said
    assert "ReaL cannot be lower than original" in said
    assert "toy:a - toy:b" in said
    assert "(exact)" in said
    assert "Label sets against the true ones" in said
    assert said.rstrip().endswith("scores.json")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["models"][0]["top1"]["real"]["count"] == 6
    assert scores["made"]["command"] == "evaluate"
    assert len(scores["made"]["inputs"]) == 4
    assert "\x1b" not in said  # piped: no colours, no lines
    assert "─" not in said


def test_json_is_the_scores(tables_on_disk):
    folder = tables_on_disk
    done = run(folder / "a.parquet", "--json", "--top-k", 2, "--resamples", 50, "--confidence", 0.8, "--seed", 3)
    result = json.loads(done.stdout)
    assert result["metrics"] == ["top1", "top2"]
    assert result["bootstrap"] == {"resamples": 50, "confidence": 0.8, "seed": 3, "unit": "video", "units": 10}
    assert result["review"] is None
    assert result["failed_rows"] == 0
    assert not (folder / "scores.json").exists()


def test_without_labels_only_the_original_is_printed(tables_on_disk):
    done = run(tables_on_disk / "a.parquet")
    assert done.exit_code == 0
    assert "40.00 % [" in done.stdout
    assert "ReaL" not in done.stdout
    assert "McNemar" not in done.stdout


def test_files_repeat(tables_on_disk):
    folder = tables_on_disk
    for _ in range(2):
        run(folder / "a.parquet", "--labels", folder / "labels.parquet", "-o", folder / "scores.json")
        text = (folder / "scores.json").read_bytes()
    run(folder / "a.parquet", "--labels", folder / "labels.parquet", "-o", folder / "again.json")
    assert (folder / "again.json").read_bytes() == text


def test_failed_rows_give_exit_code_one(tmp_path):
    build.save(build.predictions(np.eye(3), range(3), status={1: "missing"}), tmp_path / "a.parquet")
    done = run(tmp_path / "a.parquet")
    assert done.exit_code == 1
    assert "left out: 1 missing (v00001)" in done.stdout
    assert "Accuracy on 2 videos" in done.stdout
    assert "k is 3, not 5" in done.stdout


def test_wrong_use_is_a_sentence(tables_on_disk, tmp_path, monkeypatch, capsys):
    folder = tables_on_disk
    a = folder / "a.parquet"
    other = build.save(build.labels({"x": (0, {0})}, 7), folder / "other.parquet")
    assert "none of the 1 videos" in error_of(monkeypatch, capsys, a, "--labels", other)
    assert "is a table of videos" in error_of(monkeypatch, capsys, a, "--labels", folder / "videos.parquet")
    assert "top-k must be at least 1" in error_of(monkeypatch, capsys, a, "--top-k", 0)
    assert "resamples must be at least 1" in error_of(monkeypatch, capsys, a, "--resamples", 0)
    assert "between 0 and 1" in error_of(monkeypatch, capsys, a, "--confidence", 95)
    assert "does not exist" in error_of(monkeypatch, capsys, a, "--videos", folder / "no.parquet")
    views = build.predictions(np.eye(3), range(3)).slice(0, 3)
    build.save(views, folder / "views.parquet")
    assert "no video rows (view -1)" in error_of(monkeypatch, capsys, folder / "views.parquet")
    build.save(
        build.predictions(np.eye(7), range(7), labels=build.space(7), video_ids=list("tuvwxyz")), folder / "z.parquet"
    )
    assert "no video in common" in error_of(monkeypatch, capsys, a, folder / "z.parquet")


def test_help_has_an_example():
    done = run("--help")
    assert done.exit_code == 0
    assert "secondlook evaluate a.parquet" in done.stdout
