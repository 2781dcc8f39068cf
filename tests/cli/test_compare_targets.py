"""`train --compare-targets`: given labels, sets and shares of votes, learned alike and measured alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.errors import BadValue
from tests.audit import build
from tests.train.conftest import toy, toy_cache  # noqa: F401 - fixtures
from tests.train.toy import LABELS, row, write_table

SMALL = ("--model", "tsm:tiny", "--frames", "4", "--size", "32x32", "--batch-size", "4", "--workers", "0",
         "--epochs", "2", "--lr", "0.003")  # fmt: skip


def sets_of(videos: pa.Table, folder: Path) -> Path:
    """Reassessed: every second clip of split train shows both; of split test, no dark clip shows what it is said to."""
    rows = {}
    for number, clip in enumerate(videos.to_pylist()):
        if clip["split"] == "train":
            rows[clip["video_id"]] = (clip["label"], [0, 1] if number % 2 else [clip["label"]])
        if clip["split"] == "test":
            rows[clip["video_id"]] = (clip["label"], [1])
    return build.save(build.labels(rows, 2, space_of=LABELS), folder / "labels.parquet")


def arguments(videos: pa.Table, out: Path, cache: Path, *more: object) -> list[str]:
    table = Path(tables.made(videos)["root"]) / "videos.parquet"
    return ["train", str(table), "-o", str(out), "--cache", str(cache), *SMALL, "--compare-targets", *map(str, more)]


def expected(predicted: Path, labels: Path) -> tuple[float, float]:
    """Top-1 against given labels and against sets, one video after the other."""
    sets = {r["video_id"]: r["labels"] for r in tables.read(tables.LABELS, labels).to_pylist()}
    given, real = [], []
    for video in tables.read(tables.PREDICTIONS, predicted).to_pylist():
        if video["view"] == -1:
            best = max(range(2), key=lambda label: video["logits"][label])
            given.append(best == video["label"])
            real.append(best in sets.get(video["video_id"], [video["label"]]))
    return sum(given) / len(given), sum(real) / len(real)


def test_three_runs_are_measured_alike_and_gone_on_with(
    toy: pa.Table,  # noqa: F811
    toy_cache: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    labels, out = sets_of(toy, tmp_path), tmp_path / "targets"
    said = CliRunner().invoke(cli.build_app(), arguments(toy, out, toy_cache, "--labels", labels))
    assert said.exit_code == 0, said.output
    assert "measured on split test" in said.stdout
    scores = json.loads((out / "scores.json").read_text())
    assert [m["name"] for m in scores["models"]] == ["one-hot", "k-hot", "soft"]
    for model in scores["models"]:
        given, real = expected(out / f"{model['name']}.parquet", labels)
        assert (model["top1"]["original"]["rate"], model["top1"]["real"]["rate"]) == (given, real)
    learned = {name: json.loads((out / name / "settings.json").read_text()) for name in ("one-hot", "k-hot", "soft")}
    assert "labels" not in learned["one-hot"]["inputs"]
    assert learned["k-hot"]["inputs"]["labels"] == learned["soft"]["inputs"]["labels"] == tables.file_sha256(labels)
    assert [learned[name]["settings"]["soft_targets"] for name in learned] == [False, False, True]

    before = {path: path.read_bytes() for path in sorted(out.glob("*.parquet"))}
    again = CliRunner().invoke(cli.build_app(), arguments(toy, out, toy_cache, "--labels", labels, "--json"))
    told: dict[str, Any] = json.loads(again.stdout)
    assert (told["measured_split"], told["failed_rows"]) == ("test", 0)
    assert {path: path.read_bytes() for path in sorted(out.glob("*.parquet"))} == before
    assert told["models"] == scores["models"]


def test_the_validation_split_is_measured_where_there_is_no_test(
    toy: pa.Table,  # noqa: F811
    toy_cache: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    rows = [row(f"{k}_{n:03d}", k, split) for n, split in ((0, "train"), (1, "train"), (4, "val")) for k in (0, 1)]
    root = Path(tables.made(toy)["root"])
    (tmp_path / "videos").symlink_to(root / "videos")
    videos = write_table(tmp_path, [*rows, row("gone", 0, "test", "missing", "no such file")])
    labels = sets_of(videos, tmp_path)
    said = CliRunner().invoke(
        cli.build_app(), arguments(videos, tmp_path / "t", toy_cache, "--labels", labels, "--epochs", 1)
    )
    assert said.exit_code == 0, said.output
    assert "no video of split val was reassessed: accuracy is against given labels only" in said.stdout
    scores = json.loads((tmp_path / "t" / "scores.json").read_text())
    assert (scores["n"], scores["review"]) == (2, None)
    assert scores["models"][1]["top1"]["original"]["rate"] == expected(tmp_path / "t" / "k-hot.parquet", labels)[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], r"needs label sets to learn from. Give --labels"),
        (["--labels", "LABELS", "--soft-targets"], r"is one of the three that are compared"),
        (["--labels", "LABELS", "--devices", "2"], r"2: the three are trained in one process"),
        (["--labels", "LABELS", "--label-smoothing", "0.1"], r"label_smoothing is not for training on label sets"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    more: list[str],
    words: str,
    toy: pa.Table,  # noqa: F811
    toy_cache: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    labels = sets_of(toy, tmp_path)
    given = [str(labels) if word == "LABELS" else word for word in more]
    with pytest.raises(BadValue, match=words):
        CliRunner().invoke(cli.build_app(), arguments(toy, tmp_path / "t", toy_cache, *given), catch_exceptions=False)
    assert not (tmp_path / "t").exists()


def test_nothing_to_measure_on(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    videos = write_table(tmp_path, [row("a", 0, "train"), row("b", 1, "train")])
    with pytest.raises(BadValue, match=r"'train': there is no usable video in split test or val"):
        CliRunner().invoke(
            cli.build_app(), arguments(videos, tmp_path / "t", toy_cache, "--labels", sets_of(toy, tmp_path)),
            catch_exceptions=False,
        )  # fmt: skip
