"""Fixtures of the rooms `train` and `predict`: the toy videos, their frame cache, and one trained run, made once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from secondlook.train.loop import train
from tests.train.toy import draw_toy, toy_settings


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The videos table of the toy problem."""
    return draw_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def toy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame cache that all tests share."""
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="session")
def toy_run(toy: pa.Table, toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained without a stop."""
    run = tmp_path_factory.mktemp("runs") / "a"
    train(toy, run, toy_settings(cache=toy_cache))
    return run
