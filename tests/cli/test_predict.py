"""The verb `predict`: exit codes, what it says, and scores made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.errors import BadValue
from tests.train.conftest import toy, toy_cache, toy_run  # noqa: F401 - fixtures
from tests.train.toy import row, with_rows


def test_a_split_is_predicted(toy: pa.Table, toy_run: Path, toy_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    videos = str(Path(tables.made(toy)["root"]) / "videos.parquet")
    arguments = [
        "predict", str(toy_run), videos, "-o", str(tmp_path / "a.parquet"), "--views", "2x3", "--workers", "0",
        "--cache", str(toy_cache), "--top-k", str(tmp_path / "top.csv"), "-k", "1",
    ]  # fmt: skip
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 0, said.output
    assert "2 videos, 2x1 views, 2 classes" in said.stdout  # the toy recipe squashes the frame: one crop
    table = tables.read(tables.PREDICTIONS, tmp_path / "a.parquet")
    assert table["view"].to_pylist() == [0, 1, -1, 0, 1, -1]
    assert len((tmp_path / "top.csv").read_text().splitlines()) == 3
    result = json.loads(CliRunner().invoke(cli.build_app(), [*arguments, "--json"]).stdout)
    assert result["resumed"] == result["videos"] == 2


def test_unusable_videos_make_the_exit_code_1(
    toy: pa.Table,  # noqa: F811
    toy_run: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    with_rows(toy, [row("gone", 0, "test")], tmp_path)
    arguments = ["predict", str(toy_run), str(tmp_path / "videos.parquet"), "-o", str(tmp_path / "a.parquet"), "--json"]
    said = CliRunner().invoke(cli.build_app(), [*arguments, "--no-cache", "--workers", "0"])
    assert said.exit_code == 1
    assert json.loads(said.stdout)["failed_rows"] == 1


def test_scores_made_elsewhere_need_no_run(toy: pa.Table, tmp_path: Path) -> None:  # noqa: F811
    videos = str(Path(tables.made(toy)["root"]) / "videos.parquet")
    names = [n for n, s in zip(toy["video_id"].to_pylist(), toy["split"].to_pylist(), strict=True) if s == "test"]
    scores = tmp_path / "net.csv"
    scores.write_text("video_id,dark,bright\n" + "".join(f"{name},1.5,-2\n" for name in names))
    said = CliRunner().invoke(cli.build_app(), ["predict", str(scores), videos, "-o", str(tmp_path / "a.parquet")])
    assert said.exit_code == 0, said.output
    assert (
        tables.matrix(tables.read(tables.PREDICTIONS, tmp_path / "a.parquet"), "logits").tolist() == [[1.5, -2.0]] * 2
    )


def test_wrong_views_are_a_sentence(toy: pa.Table, toy_run: Path, tmp_path: Path) -> None:  # noqa: F811
    videos = str(Path(tables.made(toy)["root"]) / "videos.parquet")
    arguments = ["predict", str(toy_run), videos, "-o", str(tmp_path / "a.parquet"), "--views", "30"]
    with pytest.raises(BadValue, match=r"views are written CLIPSxCROPS"):
        CliRunner().invoke(cli.build_app(), arguments, catch_exceptions=False)
