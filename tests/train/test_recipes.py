"""Recipes of the sources: optimisers, rates and schedules by model, and what a user gives comes first."""

from __future__ import annotations

import math

import pytest

from secondlook.errors import UnknownName
from secondlook.train.optim import rate_factor
from secondlook.train.recipes import RECIPES, described, recipe
from secondlook.train.settings import TrainSettings


@pytest.mark.spec("late-temporal-bert", "F79")
@pytest.mark.parametrize(
    ("model", "head", "optimizer", "rate"),
    [
        ("resnet3d:18", "", "sgd", 1e-2),
        ("hara:resnext101", "average", "sgd", 1e-2),
        ("i3d:rgb", "", "sgd", 1e-1),
        ("resnet2d:18", "bert", "adamw", 1e-4),
        ("resnet2d:18", "lstm", "adamw", 1e-4),
        ("hara:resnext101", "bert", "adamw", 1e-5),
        ("i3d:rgb", "bert", "adamw", 1e-4),
    ],
)
def test_optimiser_and_rate_by_model(model: str, head: str, optimizer: str, rate: float) -> None:
    found = recipe("late-temporal-bert", model, head)
    assert (found["optimizer"], found["learning_rate"]) == (optimizer, rate)
    assert (found["schedule"], found["rate_decay"], found["patience"], found["monitor"]) == ("plateau", 0.1, 5, "top1")


@pytest.mark.spec("late-temporal-bert", "F83")
@pytest.mark.parametrize(("modality", "dropout"), [("rgb", 0.8), ("flow", 0.7)])
def test_dropout_by_modality(modality: str, dropout: float) -> None:
    assert recipe("late-temporal-bert", "hara:resnext101", "bert", modality)["dropout"] == dropout


@pytest.mark.spec("late-temporal-bert", "F81")
@pytest.mark.parametrize(
    ("model", "batch_size", "clips"), [("tsm:r18", 8, 128), ("tsm:r18", None, 128), ("rep_flow:50", 8, 24)]
)
def test_an_update_sees_128_clips(model: str, batch_size: int | None, clips: int) -> None:
    found = recipe("late-temporal-bert", model, batch_size=batch_size)
    assert found["batch_size"] * found["accumulate"] == clips


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "72")
def test_steps_of_srtg_and_of_class_regularisation() -> None:
    srtg = TrainSettings(**recipe("srtg", "r3d:r3d-34"))
    assert (srtg.epochs, srtg.peak_learning_rate) == (150, 0.1)
    rates = [rate_factor(srtg, epoch * 10, 10) for epoch in (0, 39, 40, 69, 70, 119, 120, 149)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    regularised = TrainSettings(**recipe("class-regularisation", "r3d:r3d-50"))
    rates = [rate_factor(regularised, epoch * 10 + 9, 10) for epoch in (49, 50, 99, 100)]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "72")
def test_the_cosine_of_mtnet_rises_for_8000_steps() -> None:
    mtnet = TrainSettings(**recipe("mtnet", "mtnet:s"))
    steps = 1000
    assert [mtnet.peak_learning_rate * rate_factor(mtnet, s, steps) for s in (0, 3999, 7999)] == pytest.approx(
        [1.16 / 8000, 0.58, 1.16]
    )
    total = 400 * steps - 8000
    for share, rate in ((0, 1.16), (0.25, 0.990122), (0.5, 0.58), (0.75, 0.169878), (1, 0)):
        got = mtnet.peak_learning_rate * rate_factor(mtnet, 8000 + round(share * total), steps)
        assert got == pytest.approx(rate, abs=1e-6)
        assert got == pytest.approx(1.16 * 0.5 * (math.cos(math.pi * share) + 1), abs=1e-6)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "80")
def test_transfer_trains_the_head_alone_at_a_hundredth() -> None:
    found = TrainSettings(**recipe("transfer", "r3d:r3d-34"))
    assert (found.freeze, found.peak_learning_rate, found.epochs) == (("backbone",), 0.01, 80)
    rates = [rate_factor(found, epoch, 1) for epoch in (39, 40, 59, 60, 79, 80)]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.001])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_of_known_settings_and_says_what_it_is(name: str) -> None:
    assert TrainSettings(**recipe(name, "tsm:tiny"))
    assert len(described()[name]) > 30


def test_an_unknown_recipe() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'transfer'"):
        recipe("tranfser", "tsm:tiny")
