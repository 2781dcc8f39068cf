"""Frozen parts do not move, gather no statistics, and are counted apart; rates can be scaled by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch import nn

from secondlook.errors import UnknownName
from secondlook.predict.weights import build_model, find_card, load_run
from secondlook.train.freeze import freeze, hold, trainable
from secondlook.train.loop import train
from secondlook.train.module import Recogniser
from secondlook.train.settings import TrainSettings
from tests.train.toy import toy_settings


def network(name: str = "tsm:tiny") -> nn.Module:
    return build_model(find_card(name), 3)


@pytest.mark.spec("late-temporal-bert", "F60")
def test_frozen_parts_stay_bit_for_bit_and_the_rest_moves(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:
    settings = toy_settings(cache=toy_cache, freeze=("stem", "layer1"), epochs=1)
    done = train(toy, tmp_path / "run", settings)
    before = build_model(load_run(tmp_path / "run").card, 2, settings.seed).state_dict()
    after = load_run(tmp_path / "run", "last").model.state_dict()
    kept = [name for name in before if name.startswith(("stem.", "layer1."))]
    assert any("running_mean" in name for name in kept)
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert not torch.equal(before["layer2.0.conv1.conv.weight"], after["layer2.0.conv1.conv.weight"])
    training, total = trainable(load_run(tmp_path / "run").model)
    frozen = sum(before[name].numel() for name in kept if not name.endswith(("mean", "var", "tracked")))
    assert any(note.startswith(f"{training - frozen:,} of {total:,} parameters are trained") for note in done.notes)


def test_counts() -> None:
    tiny = network()
    assert trainable(tiny) == (total := sum(p.numel() for p in tiny.parameters()), total)
    freeze(tiny, ["backbone"])
    assert trainable(tiny) == (sum(p.numel() for p in tiny.head.parameters()), total)


def test_the_published_half_of_resnet18() -> None:
    """conv1, bn1 and conv2_x hold 157,504 values of a ResNet-18."""
    with torch.device("meta"):
        from secondlook import catalog

        resnet = catalog.find("models", "tsm").build("r18", 51)
    freeze(resnet, ["stem", "layer1"])
    training, total = trainable(resnet)
    assert total - training == 3 * 64 * 49 + 128 + 4 * (64 * 64 * 9 + 128)


def test_hold_keeps_statistics() -> None:
    tiny = network()
    frozen = freeze(tiny, ["stem"])
    tiny.train()
    hold(frozen)
    before = tiny.stem.norm.running_mean.clone()
    tiny(torch.rand(2, 2, 4, 32, 32))
    assert torch.equal(before, tiny.stem.norm.running_mean)
    assert tiny.layer2.training


def test_near_name() -> None:
    with pytest.raises(UnknownName, match=r"part to freeze 'layr1' is not known.+Did you mean 'layer1'"):
        freeze(network(), ["layr1"])


def test_learning_rates_by_name() -> None:
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flow, self.rest = nn.Linear(2, 2), nn.Linear(2, 2)

        def learning_rate_scales(self) -> dict[str, float]:
            return {"flow.": 0.01}

    model = Slow()
    groups = (
        Recogniser(model, TrainSettings(learning_rate=0.5, weight_decay=0.1), 3, {})
        .configure_optimizers()["optimizer"]
        .param_groups
    )
    found = {id(p): (group["initial_lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found[id(model.flow.weight)] == (0.005, 0.1)
    assert found[id(model.flow.bias)] == (0.005, 0.0)
    assert found[id(model.rest.weight)] == (0.5, 0.1)
    assert found[id(model.rest.bias)] == (0.5, 0.0)
