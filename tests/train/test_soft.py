"""Soft targets: shares of votes, and the cross-entropy with them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.train.loop import train
from secondlook.train.losses import cross_entropy, soft_cross_entropy
from secondlook.train.soft import LabelShares, vote_shares
from tests.train.toy import LABELS, row, toy_settings, write_table


def labels_table(folder: Path, votes: dict[str, tuple[list[int], list[int], list[int]]]) -> pa.Table:
    """video -> set, labels with votes, votes."""
    rows = [
        {"video_id": name, "given_label": 0, "labels": found, "rule": "R1", "approved": 3, "answers": 3, "voted": voted,
         "votes": counts}
        for name, (found, voted, counts) in votes.items()
    ]  # fmt: skip
    path = tables.write(tables.LABELS, rows, folder / "labels.parquet", {"label_space": LABELS.to_dict()})
    return tables.read(tables.LABELS, path)


def test_soft_cross_entropy_is_its_twin() -> None:
    logits_BK = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    q_BK = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).double()
    q_BK /= q_BK.sum(1, keepdim=True)
    twin = []
    for z, q in zip(logits_BK.tolist(), q_BK.tolist(), strict=True):
        total = sum(math.exp(v) for v in z)
        twin.append(-sum(b * math.log(math.exp(a) / total) for a, b in zip(z, q, strict=True)))
    torch.testing.assert_close(soft_cross_entropy(logits_BK, q_BK), torch.tensor(twin, dtype=torch.float64))
    label_B = torch.tensor([0, 1, 2, 3, 0])
    onehot_BK = torch.nn.functional.one_hot(label_B, 4).double()
    torch.testing.assert_close(soft_cross_entropy(logits_BK, onehot_BK), cross_entropy(logits_BK, label_B))


def test_shares_are_those_of_the_votes(tmp_path: Path) -> None:
    videos = write_table(tmp_path, [row(name, 1, "train") for name in "abcd"])
    reassessed = labels_table(
        tmp_path, {"b": ([0, 1], [0, 1], [3, 1]), "c": ([0, 1], [], []), "a": ([0], [0, 1], [2, 0])}
    )
    shares = vote_shares(reassessed, videos, 2)
    q_BK = shares.targets(torch.tensor([0, 1, 2, 3, 1]))
    assert q_BK.tolist() == [[1, 0], [0.75, 0.25], [0.5, 0.5], [0, 1], [0.75, 0.25]]
    with pytest.raises(BadValue, match=r"'b': has 2 labels with votes, and 1 votes"):
        vote_shares(labels_table(tmp_path, {"b": ([0], [0, 1], [3])}), videos, 2)
    with pytest.raises(BadValue, match=r"2: a label must lie in 0\.\.1"):
        LabelShares([{2: 1.0}], 2)


def test_a_training_on_votes(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    everyone = {name: ([0, 1], [0, 1], [1, 1]) for name in toy["video_id"].to_pylist()}
    settings: dict[str, Any] = {"cache": toy_cache, "epochs": 1, "dropout": 0.0}
    votes = labels_table(tmp_path, everyone)
    done = train(toy, tmp_path / "soft", toy_settings(**settings, soft_targets=True), reassessed=votes)
    assert done.last["val_top1"] == 1.0, "either label is of the set"
    assert done.last["train_loss"] >= math.log(2) - 1e-3, "no answer is better than even odds"
    train(toy, tmp_path / "sets", toy_settings(**settings), reassessed=votes)
    soft, sets = ((tmp_path / name / "last.safetensors").read_bytes() for name in ("soft", "sets"))
    assert soft != sets
    with pytest.raises(BadValue, match=r"are the votes of a labels table. Give --labels"):
        train(toy, tmp_path / "none", toy_settings(**settings, soft_targets=True))
