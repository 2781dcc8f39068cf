"""The verb `index`: words, JSON, exit codes, and sentences for wrong use."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from tests.datasets.trees import csv_rows, put, rows_by_id

RUNNER = CliRunner()


def index(*arguments):
    return RUNNER.invoke(cli.build_app(), ["index", *map(str, arguments)])


@pytest.fixture
def data(tmp_path):
    return put(tmp_path / "data", [f"{name}/{i}.mp4" for name in ("left", "right") for i in range(20)])


def test_it_says_what_it_wrote(data, tmp_path):
    result = index(data, "--dataset", "folder", "-o", tmp_path / "v.parquet")
    assert result.exit_code == 0
    for text in (
        "v.parquet: 40 videos, 2 classes",
        "splits (by seed): test 6, train 28, val 6",
        "status: unchecked 40",
        "balance: every class has 20 clips",
        "clips will not be mirrored (--not-directional overrides)",
    ):
        assert text in result.stdout


def test_the_same_as_json(data, tmp_path):
    result = index(data, "-d", "folder", "-o", tmp_path / "v.parquet", "--json", "--not-directional", "--seed", 3)
    said = json.loads(result.stdout)
    assert (said["videos"], said["classes"], said["directional"], said["failed_rows"]) == (40, 2, False, 0)
    assert said["splits"] == {"test": 6, "train": 28, "val": 6}
    assert said["balance"]["clips"] == {"left": 20, "right": 20}
    table = tables.read(tables.VIDEOS, tmp_path / "v.parquet")
    assert said["fingerprint"] == tables.made(table)["fingerprint"]
    assert (tables.made(table)["seed"], tables.label_space(table).directional) == (3, False)


def test_failed_rows_make_the_exit_code_one(tmp_path, draw_video):
    root = tmp_path / "data"
    draw_video(root / "run/good.mp4", frames=4)
    put(root, {"run/bad.mp4": b"no video at all", "run/none.mp4": b""})
    out = tmp_path / "v.parquet"
    result = index(root, "--check", "-o", out, "--workers", 1, "--timeout", 20, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["statuses"] == {"empty": 1, "not_a_video": 1, "ok": 1}
    assert (said["failed_rows"], said["decoded"]) == (2, 2)
    assert {row["path"] for row in csv_rows(tmp_path / "v.parquet.quarantine.csv")} == {"run/bad.mp4", "run/none.mp4"}
    assert said["quarantine"] == str(out) + ".quarantine.csv"
    (root / "run/bad.mp4").unlink()
    (root / "run/none.mp4").unlink()
    assert index(root, "--check", "-o", out).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{data}", "--dataset", "foldr"], "dataset 'foldr' is not known. Did you mean 'folder'?"),
        (["{data}/none", "--dataset", "folder"], "none' does not exist. Give the folder that the dataset lies in."),
        (["{data}/left/1.mp4"], "1.mp4': is a file, not a folder."),
        (["{data}/left"], "left': holds no class folders."),
        (["{data}", "--splits", "70/40/10"], "'70/40/10': splits must sum to 100 (or 1), these sum to 120."),
        (["{data}", "--split", "fold0"], "split 'fold0' is not known. Known: none."),
        (["{data}", "--exclude", "{data}/list.txt"], "list.txt' does not exist."),
        (["{data}", "--carve-val", "0.1"], "there is no published training split to carve from."),
        (["{data}", "--dataset", "hmdb51"], "test_train_splits; unpack them into this folder."),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_two(data, tmp_path, monkeypatch, capsys, arguments, sentence):
    given = [text.format(data=data) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["secondlook", "index", *given, "-o", str(tmp_path / "v.parquet")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("v.parquet*"))


def test_the_help_has_an_example():
    result = index("--help")
    assert result.exit_code == 0
    assert "Example: " in result.stdout
    assert "secondlook index" in result.stdout


@pytest.mark.real_data
def test_egogestar_fold0_decodes_whole(shared_data, tmp_path):
    out = tmp_path / "v.parquet"
    result = index(shared_data / "egogestar", "-d", "folder", "--split", "fold0", "--check", "-o", out, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["splits"] == {"none": 20, "test": 53, "train": 164}
    assert (said["statuses"], said["decoded"], said["groups_in_two_splits"]) == ({"ok": 237}, 237, 0)
    rows = rows_by_id(out)
    for clip in csv_rows(shared_data / "egogestar" / "meta.csv"):
        row = rows[clip["file"].removesuffix(".mp4")]
        assert row["frames"] == int(clip["c_frames"])
        assert (row["width"], row["height"]) == (int(clip["c_w"]), int(clip["c_h"]))
        assert row["fps"] == pytest.approx(float(clip["c_fps"]), rel=0.01)
        assert row["group"] == clip["group"]
