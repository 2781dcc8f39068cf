"""The verb `study`: lists, shows, and runs a study whose networks are really trained, is stopped and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from secondlook import cli
from secondlook.study import schema

STUDY = """
name: mini
title: Two heads
source: {document: late-temporal-bert, table: "3.3"}
dataset: hmdb51
baseline: average
rows:
  - {name: average, train: {model: "frames_as_channels:tiny"}, printed: {top1: 47.1}}
  - {name: wrong, train: {model: "frames_as_chanels:tiny"}}
  - {name: early, train: {model: "karpathy:tiny-early"}, printed: {top1: 49.17}}
tiny: {data: [drawn], train: {epochs: 1, size: 28x32, frames: 12}, seeds: [0]}
"""


def say(*words: str) -> dict:
    said = CliRunner().invoke(cli.build_app(), ["study", *words, "--json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    told: dict = json.loads(said.stdout)
    return told


def test_list_and_show_tell_every_study() -> None:
    told = {study["study"]: study for study in say("list")["studies"]}
    assert set(told) == set(schema.names())
    assert told["two-stream"]["needs"][0] == "hmdb51"
    assert "flow" in told["two-stream"]["needs"]
    said = CliRunner().invoke(cli.build_app(), ["study", "show", "heads"], catch_exceptions=False)
    for words in ("51.04", "72.20", "Conv. GRU", "--head conv_gru", "erratum"):
        assert words in said.stdout
    assert say("show", "heads")["rows"][0]["printed"]["top1"] == 44.31


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "103")
@pytest.mark.spec("attention-recognisers", "A8")
def test_a_study_is_stopped_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "mini.yaml").write_text(STUDY)
    command = [
        sys.executable,
        "-m",
        "secondlook",
        "study",
        "run",
        "mini.yaml",
        "--tiny",
        "--scenes",
        "5",
        "--jobs",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = tmp_path / "studies" / "mini" / "drawn" / "all" / "seed0" / "average"
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        until = time.monotonic() + 120
        while not (first / "predictions.parquet").is_file() and time.monotonic() < until and child.poll() is None:
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[0].decode()
    assert child.returncode == 130, said
    assert "goes on with it" in said
    when = (first / "run" / "last.safetensors").stat().st_mtime_ns
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert again.returncode == 1, again.stderr
    assert (first / "run" / "last.safetensors").stat().st_mtime_ns == when
    read = pd.read_csv(tmp_path / "studies" / "mini" / "results.csv").set_index("row")
    assert list(read["status"]) == ["done", "failed", "done"]
    assert "frames_as_channels" in read.loc["wrong", "reason"]
    assert read.loc["average", "params"] > 0
    assert read.loc["average", "macs"] > 0
    assert read.loc["early", "n"] > 0
    assert "47.1" in (tmp_path / "studies" / "mini" / "study.md").read_text()
    assert (tmp_path / "studies" / "mini" / "charts" / "drawn-loss.png").is_file()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("run", "heads"), "at its own scale needs hmdb51"),
        (("run", "heads", "--tiny", "--seeds", "a"), "whole numbers"),
        (("run", "heads", "--tiny", "--rows", "lstmm"), "'lstm'"),
        (("run", "sota", "--tiny", "--rows", "evanet"), "published number"),
        (("show", "headds"), "'heads'"),
        (("show", "no.yaml"), "does not exist"),
    ],
)
def test_wrong_use_is_told_in_words(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--scenes", "5") if "--tiny" in words else ()
    said = CliRunner().invoke(cli.build_app(), ["study", *words, *small])
    assert said.exit_code != 0
    assert why in str(said.exception) + said.output
