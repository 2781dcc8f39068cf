"""Cards, networks and files of weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.predict.weights import build_model, find_card, load_run, read_weights, save_weights, with_clip


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    model = build_model(find_card("resnet3d:tiny"), 5)
    save_weights(model, tmp_path / "w.safetensors")
    kept = read_weights(tmp_path / "w.safetensors")
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.spec("label-reassessment", "I5")
def test_a_seed_gives_the_same_network_and_leaves_the_global_generator_alone() -> None:
    card = find_card("tsm:tiny")
    before = torch.get_rng_state()
    one, same, other = build_model(card, 3, 1), build_model(card, 3, 1), build_model(card, 3, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.state_dict()["stem.conv.weight"], same.state_dict()["stem.conv.weight"])
    assert not torch.equal(one.state_dict()["stem.conv.weight"], other.state_dict()["stem.conv.weight"])


def test_a_run_is_loaded_as_it_was_saved(toy_run: Path) -> None:
    loaded = load_run(toy_run)
    assert not loaded.model.training
    assert loaded.labels.names == ("dark", "bright")
    assert loaded.card.clip.frames == 4
    assert loaded.weights == toy_run / "best.safetensors"
    assert load_run(toy_run, "last").weights == toy_run / "last.safetensors"


def test_what_is_not_a_run_is_a_sentence(toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"secondlook train"):
        load_run(tmp_path)
    with pytest.raises(BadValue, match=r"best or last"):
        load_run(toy_run, "first")  # type: ignore[arg-type]
    run = tmp_path / "b"
    shutil.copytree(toy_run, run)
    (run / "best.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(BadValue, match=r"is not a safetensors file"):
        load_run(run)
    (run / "best.safetensors").unlink()
    assert load_run(run).weights == run / "last.safetensors"
    labels = json.loads((run / "labels.json").read_text())
    labels["labels"].append({"name": "third"})
    (run / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(BadValue, match=r"holds weights that do not fit tsm:tiny"):
        load_run(run)
    (run / "card.json").write_text("{")
    with pytest.raises(BadValue, match=r"is not JSON"):
        load_run(run)


def test_unknown_models_name_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'tms' is not known. Did you mean 'tsm'"):
        find_card("tms:r18")
    with pytest.raises(UnknownName, match=r"'tsm:r81' is not known. Did you mean 'tsm:r18'"):
        find_card("tsm:r81")
    with pytest.raises(UnknownName, match=r"Variants: tsm:r18"):
        find_card("tsm")


def test_a_recipe_is_changed_by_what_is_asked_for() -> None:
    card = find_card("tsm:r18")
    assert with_clip(card, frames=None, height=None).clip == card.clip
    assert with_clip(card, frames=16).clip.frames == 16
    half = with_clip(card, height=112, width=112).clip
    assert (half.height, half.width, half.short_side) == (112, 112, card.clip.short_side // 2)
    assert with_clip(card, height=112, width=112, short_side=112).clip.short_side == 112
    brightness = with_clip(card, modality="luma_difference").clip
    assert brightness.channels == len(brightness.mean) == len(brightness.std) == 2
    with pytest.raises(BadValue, match=r"frames of a clip must be at least 1"):
        with_clip(card, frames=0)
    with pytest.raises(UnknownName, match=r"Did you mean 'rgb'"):
        with_clip(card, modality="rgbb")
    with pytest.raises(UnknownName, match=r"fit 'sqash' is not known. Did you mean 'squash'"):
        with_clip(card, fit="sqash")


@pytest.mark.parametrize("modality", ["rgb", "luma_difference"])
@pytest.mark.parametrize("name", ["tsm:tiny", "resnet3d:tiny", "r2plus1d:tiny"])
def test_channels_follow_the_modality(name: str, modality: str) -> None:
    card = with_clip(find_card(name), modality=modality, frames=4, height=32, width=32)
    clip = card.clip
    model = build_model(card, 3).eval()
    assert model(torch.zeros(1, clip.channels, clip.frames, clip.height, clip.width)).shape == (1, 3)
