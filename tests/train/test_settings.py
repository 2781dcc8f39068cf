"""Settings are checked when they are made, and survive JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epochs": 0}, "0: epochs must be at least 1"),
        ({"batch_size": 0}, "0: batch size must be at least 1"),
        ({"accumulate": -1}, "-1: accumulate must be at least 1"),
        ({"learning_rate": 0.0}, "0.0: learning rate must be positive"),
        ({"weight_decay": -1.0}, "-1.0: weight decay must not be negative"),
        ({"weight_decay": float("nan")}, "nan: weight decay must not be negative"),
        ({"dropout": 1.0}, r"1.0: dropout must lie in \[0, 1\)"),
        ({"label_smoothing": -0.1}, r"-0.1: label smoothing must lie in \[0, 1\)"),
        ({"flip": 2.0}, "2.0: flip is the share"),
        ({"timeout_s": 0.0}, "time allowed for decoding must be positive"),
        ({"optimizer": "sdg"}, "optimizer 'sdg' is not known. Did you mean 'sgd'"),
        ({"schedule": "stairs"}, "schedule 'stairs' is not known"),
        ({"precision": "64"}, "precision '64' is not known"),
        ({"crop": "centre"}, "crop 'centre' is not known"),
        ({"init": Path("a"), "weights": "b"}, "cannot start from another run and from a published file"),
    ],
)
def test_a_wrong_setting_is_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SecondlookError, match=sentence):
        TrainSettings(**wrong)


def test_settings_survive_json() -> None:
    settings = TrainSettings(epochs=3, cache=Path("/tmp/c"), init=Path("runs/a"), height=32, width=48, flip=0.5)
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(UnknownName, match=r"setting 'epoch' is not known. Did you mean 'epochs'"):
        TrainSettings.from_dict({"epoch": 3})


def test_each_optimiser_has_its_own_learning_rate() -> None:
    assert TrainSettings(optimizer="sgd").peak_learning_rate == 0.01
    assert TrainSettings(optimizer="adamw").peak_learning_rate == 0.001
    assert TrainSettings(learning_rate=0.5).peak_learning_rate == 0.5


def test_a_size_needs_both_sides_of_the_default_recipe() -> None:
    assert TrainSettings(height=56, width=72).clip["height"] == 56
    with pytest.raises(BadValue):
        TrainSettings(epochs=-1)
