"""The weight of a distillation is chosen by Top-1 + Top-3; pairs of student and teacher that the source tried fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.predict.taps import bert_head
from secondlook.predict.weights import build_model
from secondlook.train.loop import train
from secondlook.train.paired import span
from secondlook.train.start import card_of
from secondlook.train.sweep import WEIGHTS, Tried, choose, sweep
from secondlook.train.teacher import PAIRS
from tests.train.toy import toy_settings

TABLE_5_1 = ((25, 77.45, 91.50), (50, 78.69, 91.11), (100, 78.17, 92.22), (250, 78.37, 91.44), (500, 78.63, 91.18))


@pytest.mark.spec("late-temporal-bert", "F74")
def test_table_5_1_chooses_100k() -> None:
    tried = [Tried(1000.0 * thousands, top1, top3) for thousands, top1, top3 in TABLE_5_1]
    assert tuple(one.weight for one in tried) == WEIGHTS
    assert choose(tried).weight == 100_000
    assert max(tried, key=lambda one: one.top1).weight == 50_000, "Top-1 alone would choose another"
    assert choose(tried[::-1]).weight == 100_000
    assert choose([Tried(2.0, 50.0, 60.0), Tried(1.0, 60.0, 50.0)]).weight == 1.0
    with pytest.raises(BadValue, match="none to choose from"):
        choose([])


@pytest.mark.spec("late-temporal-bert", "F74")
def test_a_sweep_trains_a_student_for_each_weight(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    small: dict[str, Any] = {"model": "hara:tiny", "head": "bert", "frames": 8, "epochs": 1, "cache": toy_cache}
    train(toy, tmp_path / "teacher", toy_settings(**small))
    settings = toy_settings(**small, teacher=tmp_path / "teacher", distillation="bert")
    heard: list[Tried] = []
    best, tried = sweep(toy, tmp_path / "sweep", settings, (1.0, 100.0), on_weight=heard.append)
    assert [one.weight for one in tried] == [1.0, 100.0] == [one.weight for one in heard]
    assert best is choose(tried)
    assert all(0 <= one.top1 <= one.top3 <= 100 for one in tried)
    assert all(one.top3 == 100 for one in tried), "there are two classes"
    with (tmp_path / "sweep" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["weight"]) for r in rows if r["chosen"] == "1"] == [best.weight]
    weights = [(tmp_path / "sweep" / f"weight-{w:g}" / "last.safetensors").read_bytes() for w in (1, 100)]
    assert weights[0] != weights[1]
    again, _ = sweep(toy, tmp_path / "sweep", settings, (1.0, 100.0))
    assert again == best
    with pytest.raises(BadValue, match="needs one"):
        sweep(toy, tmp_path / "sweep", toy_settings(**small))


@pytest.mark.spec("late-temporal-bert", "F76")
@pytest.mark.parametrize("name", PAIRS)
def test_tokens_of_the_pairs_align(name: str) -> None:
    """4 tokens of 512, over the same 64 frames."""
    pair = PAIRS[name]
    cards = [card_of(pair.teacher_settings()), card_of(pair.student_settings(Path("teacher")))]
    assert [span(card.clip) for card in cards] == [64, 64]
    tokens = []
    for card in cards:
        with torch.device("meta"):
            network = build_model(card, 51)
        head = bert_head(network)
        assert head is not None
        tokens.append((head.frames, head.classifier.in_features if hasattr(head.classifier, "in_features") else 512))
        assert head.encoder.layers[0].norm1.normalized_shape == (512,)
    assert tokens == [(4, 512), (4, 512)]
    teacher, student = cards
    if name == "r2plus1d-to-resnext":
        assert (teacher.clip.frames, teacher.clip.stride, teacher.clip.modality) == (32, 2, "rgb")
        assert teacher.name == "r2plus1d:34"
    else:
        assert teacher.clip.modality != "rgb"
        assert teacher.clip.channels == 2
    assert (student.name, student.clip.frames, student.clip.modality) == ("hara:resnext101", 64, "rgb")
    settings = pair.student_settings(Path("t"), distillation_weight=5.0)
    assert (settings.distillation, settings.distillation_weight) == ("bert", 5.0)
