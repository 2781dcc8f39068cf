"""`train --recipe` and `--effective-batch`: what they fill in, and that what a user gives comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.train import loop
from secondlook.train.settings import TrainSettings
from tests.train.conftest import toy  # noqa: F401 - fixture


class Enough(Exception):  # noqa: N818 (not an error)
    """The settings are known."""


@pytest.fixture
def asked(toy: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Settings that the verb makes of its arguments; nothing is trained."""
    seen: list[TrainSettings] = []

    def kept(videos: pa.Table, run: Path, settings: TrainSettings, **_: Any) -> None:
        seen.append(settings)
        raise Enough

    monkeypatch.setattr(loop, "train", kept)
    table = str(Path(tables.made(toy)["root"]) / "videos.parquet")

    def settings_of(*arguments: str) -> TrainSettings:
        words = ["train", table, "-o", str(tmp_path / "a"), "--model", "tsm:tiny", *arguments]
        with pytest.raises(Enough):
            CliRunner().invoke(cli.build_app(), words, catch_exceptions=False)
        return seen.pop()

    return settings_of


@pytest.mark.spec("late-temporal-bert", "F81")
@pytest.mark.parametrize(
    ("arguments", "accumulate"),
    [
        (["--batch-size", "8"], 16),
        (["--batch-size", "8", "--devices", "2"], 8),
        (["--batch-size", "8", "--devices", "2", "--nodes", "4"], 2),
        (["--batch-size", "12"], 11),
        (["--batch-size", "256"], 1),
    ],
)
def test_an_update_is_of_128_clips_on_all_devices_together(arguments: list[str], accumulate: int, asked: Any) -> None:
    assert asked("--effective-batch", "128", *arguments).accumulate == accumulate
    assert asked("--recipe", "late-temporal-bert", *arguments).accumulate == accumulate


@pytest.mark.spec("late-temporal-bert", "F79", "F83")
def test_a_recipe_fills_in_what_was_not_given(asked: Any) -> None:
    found = asked("--recipe", "late-temporal-bert")
    assert (found.optimizer, found.learning_rate, found.schedule, found.dropout) == ("sgd", 0.01, "plateau", 0.8)
    given = asked("--recipe", "late-temporal-bert", "--lr", "0.5", "--dropout", "0.1", "--accumulate", "3")
    assert (given.optimizer, given.learning_rate, given.dropout, given.accumulate) == ("sgd", 0.5, 0.1, 3)
    assert asked("--recipe", "late-temporal-bert", "--warmup", "1").warmup_epochs == 1
    assert found.warmup_epochs == 0


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "80")
def test_transfer_by_name(asked: Any) -> None:
    found = asked("--recipe", "transfer")
    assert (found.freeze, found.learning_rate, found.milestones) == (("backbone",), 0.01, (40, 60, 80))
