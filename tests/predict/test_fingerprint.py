"""A fingerprint tells networks apart that names cannot."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.predict.fingerprint import Fingerprint, check, fingerprint, read, waves
from secondlook.predict.published import load_published
from secondlook.predict.weights import build_model, find_card


def test_waves_by_hand() -> None:
    x_BCTHW = waves((2, 3, 4, 5))
    assert x_BCTHW.shape == (1, 2, 3, 4, 5)
    expected = math.sin(0.7 + 0.5 * 2 + 0.11 * 3 + 0.13 * 4 + 0.003 * 12)
    assert x_BCTHW[0, 1, 2, 3, 4].item() == pytest.approx(expected, abs=1e-6)


def test_the_same_network_has_it_and_a_pool_more_has_another() -> None:
    network = build_model(find_card("r2plus1d:tiny"), 5)
    mark = fingerprint(network, (2, 4, 24, 24))
    assert network.training, "the mode is put back"
    assert check(network, mark, "w.pth") < 1e-6
    network.stem.append(nn.MaxPool3d(3, 1, 1))
    with pytest.raises(BadValue, match=r"w\.pth.+every name fits, but the logits differ"):
        check(network, mark, "w.pth")


def test_loading_checks_the_one_beside_the_file(tmp_path: Path) -> None:
    """One public R(2+1)D-18 has torchvision's names and shapes and a further max-pool."""
    network = build_model(find_card("r2plus1d:tiny"), 5, seed=1)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    right = fingerprint(network, (2, 4, 24, 24))
    note = tmp_path / "w.safetensors.fingerprint.json"
    note.write_text(json.dumps(right.to_dict()))
    fresh = build_model(find_card("r2plus1d:tiny"), 5, seed=2)
    assert "fingerprint matches" in load_published(fresh, tmp_path / "w.safetensors").words()
    network.stem.append(nn.MaxPool3d(3, 1, 1))
    note.write_text(json.dumps(fingerprint(network, (2, 4, 24, 24)).to_dict()))
    untouched = build_model(find_card("r2plus1d:tiny"), 5, seed=2)
    before = {name: tensor.clone() for name, tensor in untouched.state_dict().items()}
    with pytest.raises(BadValue, match="computes something else"):
        load_published(untouched, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in untouched.state_dict().items())
    wider = catalog.find("models", "r2plus1d").build("tiny", 5, in_channels=3)
    assert "fingerprint" not in load_published(wider, tmp_path / "w.safetensors").words(), "its function is another"
    other_classes = build_model(find_card("r2plus1d:tiny"), 7)
    assert "fingerprint" not in load_published(other_classes, tmp_path / "w.safetensors").words()


def test_goes_round(tmp_path: Path) -> None:
    mark = Fingerprint((1, 2, 3, 4), (0.5, -1.0))
    (tmp_path / "f.json").write_text(json.dumps(mark.to_dict()))
    assert read(tmp_path / "f.json") == mark


@pytest.mark.parametrize("text", ["", "{}", '{"shape": [1], "logits_K": [1]}', '{"shape": [1,2,3,4], "logits_K": "a"}'])
def test_no_fingerprint(text: str, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(BadValue, match="is no fingerprint"):
        read(tmp_path / "f.json")


def test_another_number_of_classes() -> None:
    network = build_model(find_card("tsm:tiny"), 5)
    with pytest.raises(BadValue, match="this many classes and the network 5"):
        check(network, Fingerprint((2, 4, 24, 24), (0.0, 1.0)), "w")
