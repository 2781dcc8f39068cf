"""The verb `pretrain`: what it says, exit codes, and its sentences for wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli
from secondlook.errors import BadValue
from tests.cli.test_train import table_of
from tests.train.conftest import toy, toy_cache  # noqa: F401 - fixtures

SMALL = ["--model", "videomae:tiny", "--frames", "4", "--size", "32x32", "--batch-size", "4", "--workers", "0"]


@pytest.mark.spec("attention-recognisers", "A5")
def test_pre_trains_and_fine_tunes(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    more = [*SMALL, "--epochs", "1", "--cache", str(toy_cache)]
    arguments = ["pretrain", table_of(toy), "-o", str(tmp_path / "a"), *more]
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 0, said.output
    assert "videomae:tiny, 1 epochs on 8 videos; loss " in said.stdout
    assert f"--init {tmp_path / 'a'}" in said.stdout.replace("\n", "")
    assert "epoch 1/1  train_loss" in said.stderr
    again = json.loads(CliRunner().invoke(cli.build_app(), [*arguments, "--json"]).stdout)
    assert again["resumed"] == again["epochs"] == 1
    assert Path(again["picture"]).is_file()
    tuned = ["train", table_of(toy), "-o", str(tmp_path / "b"), "--init", str(tmp_path / "a"), *more]
    said = CliRunner().invoke(cli.build_app(), tuned)
    assert said.exit_code == 0, said.output
    assert "but for the classifier, which starts anew" in said.stdout


def test_wrong_use_is_a_sentence(toy: pa.Table, tmp_path: Path) -> None:  # noqa: F811
    for more, sentence in (
        (["--model", "tsm:tiny"], "only VideoMAE is pre-trained by masking"),
        (["--mask-ratio", "1"], "some must be, and some must not"),
        (["--model", "videomae:tny"], "Did you mean 'videomae:tiny'"),
        (["--batch-size", "0"], "batch size must be at least 1"),
    ):
        arguments = ["pretrain", table_of(toy), "-o", str(tmp_path / "a"), *SMALL, *more]
        with pytest.raises((BadValue, LookupError), match=sentence):
            CliRunner().invoke(cli.build_app(), arguments, catch_exceptions=False)
    assert not (tmp_path / "a").exists()
