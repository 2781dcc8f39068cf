"""Every code block of the docs runs: bash and python blocks of a page in order, in one empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.warm_commands import PYTHON, write_client

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUNNABLE = {"bash", "python"}
SHOWN_ONLY = {"text", "json"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of every fenced block."""
    return [(m[1], m[2]) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_block_says_what_it_is(page):
    assert {language for language, _ in blocks(page)} <= RUNNABLE | SHOWN_ONLY


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that runs `secondlook` without starting it anew (`warm_commands`)."""
    address = str(tmp_path_factory.mktemp("commands") / "socket")
    program = [sys.executable, str(Path(__file__).with_name("warm_commands.py")), address]
    server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield address
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [p for p in PAGES if any(b[0] in RUNNABLE for b in blocks(p))], ids=lambda p: p.stem)
def test_code_blocks_run(page, tmp_path, commands):
    """`make` inside a block is checked by a dry run, so that a page may say `make demo` without starting it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "make").write_text(f'#!/bin/sh\nexec /usr/bin/env -i PATH=/usr/bin:/bin make -n -C "{ROOT}" "$@"\n')
    (tools / "make").chmod(0o755)
    for program in ("secondlook", PYTHON):
        write_client(tools / program, commands)
    here = tmp_path / "here"
    here.mkdir()
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for language, code in blocks(page):
        if language not in RUNNABLE:
            continue
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [str(tools / PYTHON), code]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{page.name}:\n{code}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
