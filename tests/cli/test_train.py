"""The verb `train`: exit codes, what it says, and its sentences for wrong use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.errors import BadValue
from secondlook.predict.weights import load_run
from tests.train.conftest import toy, toy_cache  # noqa: F401 - fixtures
from tests.train.toy import row, with_rows

SMALL = ["--model", "tsm:tiny", "--frames", "4", "--size", "32x32", "--batch-size", "4", "--workers", "0"]


def table_of(videos: pa.Table) -> str:
    return str(Path(tables.made(videos)["root"]) / "videos.parquet")


def test_a_run_is_trained_and_gone_on_with(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    arguments = [
        "train", table_of(toy), "-o", str(tmp_path / "a"), "--epochs", "2", "--lr", "0.003", "--cache", str(toy_cache),
        *SMALL,
    ]  # fmt: skip
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 0, said.output
    assert "tsm:tiny, 2 epochs on 8 videos; best epoch 2: validation top-1" in said.stdout
    assert "epoch 1/2" in said.stderr
    assert "\x1b[" not in said.stderr + said.stdout  # no colour where nobody looks
    again = CliRunner().invoke(cli.build_app(), [*arguments, "--json"])
    result = json.loads(again.stdout)
    assert result["resumed"] == result["epochs"] == 2
    assert result["failed_rows"] == 0
    with pytest.raises(BadValue, match=r"epochs was 2 when"):
        CliRunner().invoke(cli.build_app(), [*arguments, "--epochs", "3"], catch_exceptions=False)


def test_unreadable_videos_make_the_exit_code_1(toy: pa.Table, tmp_path: Path) -> None:  # noqa: F811
    with_rows(toy, [row("gone", 0, "train")], tmp_path)
    videos = str(tmp_path / "videos.parquet")
    arguments = ["train", videos, "-o", str(tmp_path / "runs" / "a"), "--epochs", "1", *SMALL]
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 1
    assert "1 videos could not be used" in said.stdout
    assert "gone,missing,no such file" in (tmp_path / "runs" / "a" / "unreadable.csv").read_text()
    assert (tmp_path / "runs" / ".frame-cache").is_dir()


def test_wrong_use_is_a_sentence_and_exit_code_2(
    toy: pa.Table,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for more, sentence in (
        (["--size", "112"], "'112': a size is written HEIGHTxWIDTH, in pixels. For example --size 112x112."),
        (["--model", "tms:r18"], "Did you mean 'tsm'"),
        (["--batch-size", "0"], "0: batch size must be at least 1."),
    ):
        monkeypatch.setattr(sys, "argv", ["secondlook", "train", table_of(toy), "-o", str(tmp_path / "a"), *more])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_real_ctrl_c_leaves_a_usable_run(toy: pa.Table, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "a"
    command = [
        sys.executable, "-m", "secondlook", "train", table_of(toy), "-o", str(run), "--epochs", "500", *SMALL,
        "--workers", "1", "--cache", str(tmp_path / "frames"),
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
        # Tests may themselves run in the background of a script, where a shell ignores ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (run / "checkpoints" / "last.ckpt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    said, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on with it" in complaint
    assert "Traceback" not in complaint + said
    assert load_run(run).labels.names == ("dark", "bright")
