"""`secondlook serve`: says where it is, hands out the first invitation once, and ends when told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from secondlook import cli
from secondlook.annotate.workplace import Workplace
from secondlook.cli import _serving
from secondlook.errors import BadValue


def test_first_start_then_an_owner_then_ctrl_c(tmp_path: Path) -> None:
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    (tmp_path / "work").mkdir()
    with out.open("w") as said, err.open("w") as logged:
        server = subprocess.Popen(
            [sys.executable, "-m", "secondlook", "serve", str(tmp_path / "work"), "--port", "0", "--warm", "0"],
            stdout=said,
            stderr=logged,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            deadline = time.monotonic() + 60
            while "/join/" not in out.read_text() and server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            found = re.search(r"(http://127\.0\.0\.1:\d+)/join/([\w-]{43})", out.read_text())
            assert found is not None, err.read_text()
            link, token = found[0], found[2]
            for _ in range(100):  # the line is printed just before the first request is answered
                try:
                    page = httpx.get(link)
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert "invited" in page.text
            assert httpx.post(link, data={"nickname": "Ann"}).status_code == 200
        finally:
            server.send_signal(signal.SIGINT)
            code = server.wait(30)
    assert code == 0, err.read_text()
    logged_text = err.read_text()
    assert logged_text.endswith("stopped\n")
    assert "Traceback" not in logged_text
    assert "/join/{token}" in logged_text
    assert token not in logged_text
    with Workplace.open(tmp_path / "work" / "annotations") as workplace:
        assert [account.role for account in workplace.accounts.all()] == ["owner"]
        assert _serving.say_where(workplace, "http://x") == ""  # there is an owner, so no invitation


def test_port_in_use_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadValue, match=r"in use.*--port"):
            _serving.serve(_serving.Options(tmp_path, "127.0.0.1", port, "", "", "", 480, 10**9, 0, open=False))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "256.1.1.1"])
def test_foreign_address(host: str) -> None:
    with pytest.raises(BadValue, match="no address of this machine"):
        _serving.listen(host, 0)


def test_which_folder_is_the_workplace(tmp_path: Path) -> None:
    assert _serving.workplace_folder(tmp_path) == tmp_path / "annotations"
    Workplace.create(tmp_path / "own").close()
    assert _serving.workplace_folder(tmp_path / "own") == tmp_path / "own"


def test_help_has_an_example_and_wrong_use_a_sentence(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli.build_app(), ["serve", "--help"], env={"COLUMNS": "200"})
    assert "secondlook serve work --port 8000" in said.output
    wrong = CliRunner().invoke(cli.build_app(), ["serve", str(tmp_path / "nowhere")])
    assert "does not exist" in str(wrong.exception)
    wrong = CliRunner().invoke(cli.build_app(), ["serve", str(tmp_path), "--public-url", "look.example.org"])
    assert "web address" in str(wrong.exception)


def test_browser_opens_only_where_a_person_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    assert not _serving.has_desktop()
    monkeypatch.setenv("DISPLAY", ":0")
    assert _serving.has_desktop()
    monkeypatch.setenv("SSH_CONNECTION", "somewhere")
    assert not _serving.has_desktop()
