"""`secondlook draw`: words, JSON, and sentences for mistakes."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from secondlook import cli

QUICK = ("--clips", "2", "--size", "32", "--frames", "12", "--workers", "1")


def run(*words: object):
    return CliRunner().invoke(cli.build_app(), ["draw", *map(str, words)])


def test_json_words_and_going_on(tmp_path):
    done = run(tmp_path / "drawn", *QUICK, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["clips"], said["groups"], said["failed_rows"], said["settings"]["size"]) == (2, 1, 0, 32)
    assert len(list((tmp_path / "drawn" / "videos").glob("*.mp4"))) == 2
    again = run(tmp_path / "drawn", *QUICK)
    assert again.exit_code == 0, again.output
    assert "2 clips in 1 scenes" in again.stdout
    assert "secondlook index" in again.stdout


def test_a_cue_is_counted(tmp_path):
    words = (*QUICK, "--cue", "moving something up", "--cue-share", "1", "--cue-elsewhere", "1")
    done = run(tmp_path / "drawn", *words)
    assert done.exit_code == 0, done.output
    assert "2 carry the mark planted for 'Moving something up'" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--cue", "Moving somthing up"), "Did you mean 'Moving something up'"),
        (("--wrong-labels", "7"), "5 % is 0.05"),
        (("--clips", "0"), "at least 1"),
        (("--size", "31"), "Give --size 112"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.setattr(sys, "argv", ["secondlook", "draw", str(tmp_path / "drawn"), *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


def test_help_has_an_example():
    assert "Example:" in run("--help").stdout
