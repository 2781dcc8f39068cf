"""Perturbation, frame size and early starts, from the command line to the clips and the card of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, UnknownName
from secondlook.predict.weights import load_run
from secondlook.train.data import ClipData, choose_rows
from secondlook.train.paired import check_same_view
from secondlook.train.settings import TrainSettings
from secondlook.video.augment import Augment
from tests.train.toy import LABELS, toy_settings


def test_settings_are_checked_and_read_back() -> None:
    chosen = TrainSettings(
        perturb=0.7, perturb_methods="mtnet", frame_size=(256, 340), milestones=(3,), schedule="step"
    )
    assert TrainSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    before = {k: v for k, v in chosen.to_dict().items() if k not in ("perturb", "perturb_methods", "frame_size")}
    assert TrainSettings.from_dict(before).perturb == 0.0  # of a run of before
    with pytest.raises(BadValue, match="share of clips that are perturbed"):
        TrainSettings(perturb=1.5)
    with pytest.raises(UnknownName):
        TrainSettings(perturb_methods="x3d")  # type: ignore[arg-type]


def test_only_training_clips_are_perturbed(toy: pa.Table) -> None:
    spec = ClipSpec(frames=4, short_side=32, height=24, width=24)
    data = ClipData(toy, choose_rows(toy, LABELS), spec, LABELS, toy_settings(perturb=0.8, perturb_methods="mtnet"))
    train, val = data.datasets["train"], data.datasets["val"]
    assert (train.augment.perturb, train.augment.perturb_methods) == (0.8, "mtnet")  # type: ignore[union-attr]
    assert val.augment is None  # type: ignore[union-attr]
    data.close()


def test_a_run_from_the_command_line(toy: pa.Table, tmp_path: Path) -> None:
    videos = str(Path(tables.made(toy)["root"]) / "videos.parquet")
    arguments = [
        "train", videos, "-o", str(tmp_path / "run"), "--model", "tsm:tiny", "--frames", "4", "--size", "24x24",
        "--fit", "crop", "--frame-size", "28x40", "--sampling", "normal_start", "--stride", "1", "--perturb", "0.8",
        "--perturb-methods", "mtnet", "--epochs", "1", "--batch-size", "4", "--workers", "0", "--no-cache",
    ]  # fmt: skip
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 0, said.output
    clip = load_run(tmp_path / "run").card.clip
    assert (clip.sampling, clip.frame_size, clip.height) == ("normal_start", (28, 40), 24)


def test_a_teacher_must_see_the_same() -> None:
    dense = ClipSpec(sampling="dense", stride=2)
    early = ClipSpec(sampling="normal_start", stride=2)
    with pytest.raises(BadValue, match="8x2 frames, normal_start, cover another time"):
        check_same_view(dense, early, Augment())
    with pytest.raises(BadValue, match="another shape"):
        check_same_view(dense, ClipSpec(sampling="dense", stride=2, frame_size=(128, 170)), Augment())
    check_same_view(dense, dense, Augment())
