"""The verb `stream`: JSON lines when piped, one live line on a terminal, and sentences for what cannot be."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondlook import cli
from secondlook.errors import BadValue, MissingFile
from tests.predict.streaming_runs import LABELS, make_model, write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "a", make_model("tsm:tiny-online", sampling="dense"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, draw_video: Callable[..., Path]) -> Path:
    return draw_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=12)


def lines(*arguments: object) -> list[dict]:
    said = CliRunner().invoke(cli.build_app(), ["stream", *map(str, arguments)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_one_json_line_a_frame_when_piped(run_folder: Path, video: Path) -> None:
    said = lines(video, "--model", run_folder, "--top", 2)
    assert [s["frame"] for s in said] == list(range(12))
    assert [s["time_s"] for s in said] == pytest.approx([t / 12 for t in range(12)], abs=1e-4)
    for entry in said:
        first, second = entry["top"]
        assert first["name"] == LABELS.names[first["index"]]
        assert 1 >= first["probability"] >= second["probability"] >= 0
    assert said == lines(video, "--model", run_folder, "--top", 2, "--json")


def test_every_says_the_last_frame_too(run_folder: Path, video: Path) -> None:
    whole = lines(video, "--model", run_folder)
    assert lines(video, "--model", run_folder, "--every", 5) == [whole[i] for i in (0, 5, 10, 11)]
    assert [s["frame"] for s in lines(video, "--model", run_folder, "--start", 1, "--stride", 4)] == [1, 5, 9]
    assert len(lines(video, "--model", run_folder, "--limit", 3)) == 3
    assert len(whole[0]["top"]) == 3
    assert len(lines(video, "--model", run_folder, "--top", 99)[0]["top"]) == 5


def test_a_line_that_lives_on_a_terminal(run_folder: Path, video: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "secondlook", "stream", str(video), "--model", str(run_folder)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment) as process:
        os.close(terminal)
        said = b""
        while True:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
        assert process.wait(60) == 0, process.stderr.read() if process.stderr else ""
    os.close(controller)
    text = said.decode()
    assert text.count("frame ") >= 12, "written again for each frame"
    assert "frame 11" in text
    assert "%" in text
    assert "{" not in text


def test_what_cannot_be_is_a_sentence(run_folder: Path, video: Path, tmp_path: Path) -> None:
    def fails(*arguments: object) -> None:
        CliRunner().invoke(cli.build_app(), ["stream", *map(str, arguments)], catch_exceptions=False)

    with pytest.raises(MissingFile):
        fails(tmp_path / "none.mp4", "--model", run_folder)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:300])
    with pytest.raises(BadValue, match="this video cannot be used"):
        fails(broken, "--model", run_folder)
    other = write_run(tmp_path / "other", make_model("resnet3d:tiny"))
    with pytest.raises(BadValue, match=r"needs the whole clip at once.+tsm:r18-online"):
        fails(video, "--model", other)
    with pytest.raises(MissingFile):
        fails(video, "--model", tmp_path / "nowhere")


def test_help_has_an_example() -> None:
    said = CliRunner().invoke(cli.build_app(), ["stream", "--help"])
    assert "secondlook stream clip.mp4 --model runs/a" in said.output
