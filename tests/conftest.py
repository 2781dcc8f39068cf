"""Fixtures that every room's tests share: real clips where they are there, and tiny videos drawn by code."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def spec_items() -> set[tuple[str, str]]:
    """Every (specification, item) that `make spec` knows; empty where the specifications are not beside the project."""
    path = SHARED / "specs" / "items.tsv"
    if not path.is_file():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["specification"], row["item"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }


def pytest_configure() -> None:
    """Ctrl-C, which some tests send, is ignored in what a shell starts in the background: it is listened to again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark that names no known item is an error."""
    known = spec_items()
    if not known:
        return
    for item in items:
        for mark in item.iter_markers("spec"):
            specification, *numbers = (str(a) for a in mark.args)
            for number in numbers:
                if (specification, number) not in known:
                    raise pytest.UsageError(f"{item.nodeid}: spec mark names no known item: {specification} {number}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips; tests that need it are skipped where it is not there."""
    folder = SHARED / "data"
    if not (folder / "README.md").is_file():
        pytest.skip("the real clips (../shared/data) are not beside the project")
    return folder


@pytest.fixture(scope="session")
def draw_video() -> Callable[..., Path]:
    """Writes a tiny video: frame t is flat grey `10 + 10 t` (modulo 240) with a white square that moves right."""

    def draw(
        path: Path,
        frames: int = 12,
        height: int = 48,
        width: int = 64,
        fps: int = 12,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
    ) -> Path:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options or {})
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for t in range(frames):
                pixels_HWC = np.full((height, width, 3), (10 + 10 * t) % 240, dtype=np.uint8)
                left = (2 * t) % max(width - 8, 1)
                pixels_HWC[height // 2 : height // 2 + 6, left : left + 6] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels_HWC, format="rgb24")))
            container.mux(stream.encode())
        return path

    return draw


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium that Playwright drives: `SECONDLOOK_BROWSER`, or the one that is installed; `none` goes without.

    Of one module, because an event loop runs in this thread as long as the browser is open.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    installed = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), "none"
    )
    program = os.environ.get("SECONDLOOK_BROWSER") or installed
    if program == "none":
        pytest.skip("no browser is here: name one with SECONDLOOK_BROWSER")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=shutil.which(program) or program, args=arguments)
        yield opened
        opened.close()
