"""Optimisers and schedules against slow twins; what they remember survives a state dict."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.train.losses import is_among
from secondlook.train.optim import optimisation, rate_factor
from secondlook.train.settings import TrainSettings
from secondlook.train.swats import Swats


def slow_swats(w: np.ndarray, gradient_of: Any, steps: int, lr: float, tolerance: float) -> tuple[np.ndarray, int]:
    """Algorithm 1 with vectors; the weights after some steps, and in which it switched (0: in none)."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    m, a, v, mean, rate, switched = 0 * w, 0 * w, 0 * w, 0.0, 0.0, 0
    for k in range(1, steps + 1):
        g = gradient_of(w)
        if switched:
            v = beta1 * v + g
            w = w - (1 - beta1) * rate * v
            continue
        m = beta1 * m + (1 - beta1) * g
        a = beta2 * a + (1 - beta2) * g * g
        p = -lr * (m / (1 - beta1**k)) / (np.sqrt(a / (1 - beta2**k)) + eps)
        w = w + p
        if p @ g != 0:
            gamma = p @ p / -(p @ g)
            mean = beta2 * mean + (1 - beta2) * gamma
            if k > 1 and mean > 0 and abs(mean / (1 - beta2**k) - gamma) < tolerance:
                switched, rate = k, mean / (1 - beta2**k)
    return w, switched


SCALE = np.array([1.0, 3.0, 0.2, 5.0])


def gradient_of(w: np.ndarray) -> np.ndarray:
    return SCALE * w


@pytest.mark.spec("late-temporal-bert", "F79")
@pytest.mark.parametrize("tolerance", [1e-12, 3e-3])
def test_swats_is_its_twin(tolerance: float) -> None:
    start = np.array([1.0, -2.0, 0.5, 0.3])
    w = nn.Parameter(torch.tensor(start))
    optimizer = Swats([w], lr=0.01, tolerance=tolerance)
    for _ in range(60):
        optimizer.zero_grad()
        (torch.tensor(SCALE) * w.square() / 2).sum().backward()
        optimizer.step()
    wanted, switched = slow_swats(start, gradient_of, 60, 0.01, tolerance)
    assert optimizer.switched == bool(switched) == (tolerance > 1e-6)
    assert np.allclose(w.detach().numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("stop", [3, 40])
def test_swats_goes_on_from_its_state(stop: int) -> None:
    def train(w: nn.Parameter, optimizer: Swats, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (torch.tensor(SCALE) * w.square() / 2).sum().backward()
            optimizer.step()

    whole = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 0.3], dtype=torch.float64))
    train(whole, Swats([whole], lr=0.01, tolerance=3e-3), 60)
    first = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 0.3], dtype=torch.float64))
    before = Swats([first], lr=0.01, tolerance=3e-3)
    train(first, before, stop)
    again = nn.Parameter(first.detach().clone())
    after = Swats([again], lr=0.01, tolerance=3e-3)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    train(again, after, 60 - stop)
    assert torch.equal(again, whole)


@pytest.mark.spec("late-temporal-bert", "F79")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("swats", Swats)],
)
def test_the_optimiser_by_name(name: str, kind: type) -> None:
    made = optimisation(nn.Linear(3, 2), TrainSettings(optimizer=name), 5)["optimizer"]  # type: ignore[arg-type]
    assert type(made) is kind


def test_steps_fall_at_the_milestones() -> None:
    settings = TrainSettings(schedule="step", milestones=(2, 4), rate_decay=0.5, epochs=5, warmup_epochs=0)
    assert [rate_factor(settings, step, 3) for step in range(0, 15, 3)] == [1, 1, 0.5, 0.5, 0.25]
    assert rate_factor(settings, 5, 3) == 1
    assert rate_factor(settings, 6, 3) == 0.5


@pytest.mark.spec("late-temporal-bert", "F80")
@pytest.mark.parametrize(("monitor", "name", "better"), [("top1", "val_top1", 1), ("loss", "val_loss", -1)])
def test_a_plateau_of_more_than_five_epochs_is_a_tenth(monitor: str, name: str, better: int) -> None:
    settings = TrainSettings(schedule="plateau", monitor=monitor, learning_rate=1.0, warmup_epochs=0)  # type: ignore[arg-type]
    (optimizer,), (schedule,) = optimisation(nn.Linear(3, 2), settings, 5)
    assert (schedule["monitor"], schedule["interval"]) == (name, "epoch")
    rates = []
    for value in [0.1, 0.2, *[0.2] * 6, 0.3, 0.3]:
        schedule["scheduler"].step(better * value)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0] * 7 + [0.1] * 3)


def test_a_plateau_after_a_warm_up() -> None:
    settings = TrainSettings(schedule="plateau", learning_rate=1.0, warmup_steps=4)
    (optimizer,), (rising, falling) = optimisation(nn.Linear(3, 2), settings, 5)
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rising["scheduler"].step()
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    for _ in range(7):
        falling["scheduler"].step(0.5)
    rising["scheduler"].step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_among_the_best_k() -> None:
    logits_BK = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    target_BK = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0]])
    assert [is_among(logits_BK, target_BK, k).tolist() for k in (1, 3, 5)] == [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"schedule": "step"}, "step and milestones come together"),
        ({"milestones": (40,)}, "step and milestones come together"),
        ({"schedule": "step", "milestones": (40, 30)}, "each later than the one before"),
        ({"rate_decay": 1.0}, r"must lie in \(0, 1\)"),
        ({"switch_tolerance": 0.0}, "must be positive"),
        ({"patience": -1}, "must not be negative"),
    ],
)
def test_wrong_schedules(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        TrainSettings(**wrong)
    with pytest.raises(UnknownName, match="monitor"):
        TrainSettings(monitor="top2")  # type: ignore[arg-type]
