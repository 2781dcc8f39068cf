"""`secondlook prepare`: exit codes, JSON and words."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from secondlook import cli, tables


@pytest.fixture
def videos(draw_video, tmp_path):
    """A table of two good videos and a text file that says it is one."""
    root = tmp_path / "root"
    draw_video(root / "a.mp4")
    draw_video(root / "b.avi", codec="mpeg4")
    (root / "c.mp4").write_text("no video")
    rows = [
        {"video_id": p[0], "path": p, "label": 0, "split": "test", "group": p, "status": "unchecked", "reason": ""}
        for p in ("a.mp4", "b.avi", "c.mp4")
    ]
    return tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", {"root": str(root)})


def run(*words: object):
    return CliRunner().invoke(cli.build_app(), ["prepare", *map(str, words)])


def test_json_and_exit_code(videos, tmp_path):
    done = run(videos, "-o", tmp_path / "new", "--short-side", 24, "--gop", 4, "--json")
    assert done.exit_code == 1, done.output
    said = json.loads(done.stdout)
    assert (said["rows"], said["prepared"], said["failed_rows"]) == (3, 2, 1)
    rows = tables.read(tables.VIDEOS, said["path"]).to_pylist()
    assert [(r["status"], r["height"], r["frames"]) for r in rows] == [
        ("ok", 24, 12), ("ok", 24, 12), ("not_a_video", None, None),
    ]  # fmt: skip
    again = run(videos, "-o", tmp_path / "new", "--short-side", 24, "--gop", 4, "--workers", 1)
    assert "0 videos made now, 2 already there" in again.stdout
    assert "1 rows have no usable video (1 not_a_video)" in again.stdout


def test_all_well_is_exit_code_0(videos, tmp_path):
    table = tables.read(tables.VIDEOS, videos).slice(0, 2)
    tables.write(tables.VIDEOS, table, tmp_path / "good.parquet", tables.made(table))
    done = run(tmp_path / "good.parquet", "-o", tmp_path / "new", "--proxy")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "a.mp4").read_bytes() == (tmp_path / "root" / "a.mp4").read_bytes()
    assert (tmp_path / "new" / "b.avi.mp4").is_file()


def test_wrong_use_is_a_sentence_and_exit_code_2(videos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["secondlook", "prepare", str(videos), "-o", str(tmp_path / "n"), "--crf", "99"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "crf must lie in 0..51" in capsys.readouterr().err


def test_help_has_an_example():
    assert "secondlook prepare videos.parquet" in run("--help").stdout


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--engine", "rey"), "engine 'rey' is not known. Did you mean 'ray'?"),
        (("--ray-workers", "3"), "3: --ray-workers is for --engine ray. Add --engine ray."),
        (("--engine", "ray", "--ray-address", "nowhere"), "'nowhere': is no address of a Ray cluster."),
        (("--engine", "ray", "--ray-address", "127.0.0.1:1"), "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_wrong_engines_are_sentences(videos, tmp_path, wrong, words):
    done = run(videos, "-o", tmp_path / "new", *wrong)
    assert done.exit_code == 1
    assert words in str(done.exception)
