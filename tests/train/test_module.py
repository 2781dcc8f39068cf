"""The step: its schedule, what decays, and what gradient accumulation adds up to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import nn

from secondlook.predict.loader import Batch, Facts
from secondlook.train import loop
from secondlook.train.losses import LabelSets
from secondlook.train.module import Recogniser
from secondlook.train.objective import ReassessedSets
from secondlook.train.optim import rate_factor
from tests.train.toy import toy_settings


def recogniser(**changes: Any) -> Recogniser:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    return Recogniser(model, toy_settings(**changes), steps_per_epoch=10, about={})


def slow_factor(step: int, warmup: int, total: int, schedule: str) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (total - warmup)) if schedule == "cosine" else 1.0


@pytest.mark.parametrize("schedule", ["cosine", "none"])
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5, 2.0])
def test_the_schedule_is_its_twin(schedule: str, warmup_epochs: float) -> None:
    settings = toy_settings(epochs=5, schedule=schedule, warmup_epochs=warmup_epochs)
    got = [rate_factor(settings, step, 10) for step in range(50)]
    assert got == pytest.approx([slow_factor(step, round(10 * warmup_epochs), 50, schedule) for step in range(50)])
    assert max(got) == 1.0
    assert rate_factor(settings, 50, 10) == pytest.approx(0.0 if schedule == "cosine" else 1.0)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_only_matrices_decay(name: str, kind: type) -> None:
    module = recogniser(optimizer=name, weight_decay=0.1)
    optimizer = module.configure_optimizers()["optimizer"]
    assert type(optimizer) is kind
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [p.ndim for p in decayed["params"]] == [2]
    assert len(others["params"]) == 3


def batch_of(x_BCTHW: torch.Tensor, label_B: list[int]) -> Batch:
    rows = range(len(label_B))
    return Batch(
        x_BCTHW, torch.tensor(label_B), torch.tensor(list(rows)), tuple(Facts(i, 0, 1, 0.0, "ok", "") for i in rows)
    )


@pytest.mark.spec("label-reassessment", "H4")
def test_training_on_sets_is_sigmoid_cross_entropy_and_argmax_in_the_set() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    sets = LabelSets([[0, 2], [1]], 3)
    module = Recogniser(model, toy_settings(), 1, {}, ReassessedSets(sets, sets))
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    x_BCTHW = torch.randn(2, 1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    loss = module.training_step(batch_of(x_BCTHW, [0, 1]), 0)
    logits_BK = model(x_BCTHW)
    p_BK = torch.sigmoid(logits_BK)
    target_BK = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    twin = -(target_BK * p_BK.log() + (1 - target_BK) * (1 - p_BK).log()).sum(1).mean()
    torch.testing.assert_close(loss, twin)
    held = [int(k) in labels for k, labels in zip(logits_BK.argmax(1), ({0, 2}, {1}), strict=True)]
    assert float(module.train_top1.compute()) == sum(held) / 2


def test_a_batch_without_a_readable_clip_moves_nothing() -> None:
    module = recogniser()
    nothing = Batch(torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), ())
    loss = module.training_step(nothing, 0)
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


@pytest.mark.spec("late-temporal-bert", "F81")
def test_accumulated_steps_equal_one_large_batch(
    toy: pa.Table, toy_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without batch normalisation, two steps of four clips are one of eight."""
    weights = {}

    def no_norm(*_: object) -> tuple[nn.Module, tuple[str, ...]]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.AdaptiveAvgPool3d((4, 2, 2)), nn.Flatten(), nn.Linear(32, 2))
        weights["model"] = model
        return model, ()

    monkeypatch.setattr(loop, "start_model", no_norm)
    ends = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        settings = toy_settings(
            cache=toy_cache, epochs=2, batch_size=batch_size, accumulate=accumulate, optimizer="sgd", learning_rate=0.1
        )
        loop.train(toy, tmp_path / f"{batch_size}", settings)
        ends.append(weights["model"][2].weight.detach().clone())
    torch.testing.assert_close(ends[1], ends[0])
    torch.testing.assert_close(ends[2], ends[0])
