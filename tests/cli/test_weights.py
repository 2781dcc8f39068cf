"""`secondlook weights`: show and convert as a user does; and training from what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from secondlook.cli import build_app
from secondlook.errors import BadValue, UnknownName
from tests.checkpoints import layouts_torchvision as layouts


def call(*arguments: object) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def r3d(tmp_path: Path) -> Path:
    torch.save(layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 7)), tmp_path / "r3d.pth")
    return tmp_path / "r3d.pth"


def test_show(r3d: Path) -> None:
    assert "torchvision's R3D" in call("weights", "show", r3d)
    found = json.loads(call("weights", "show", r3d, "--json"))
    assert (found["source"], found["classes"]) == ("torchvision_r3d", 7)


def test_convert_keeps_every_value_and_leaves_a_fingerprint(r3d: Path, tmp_path: Path) -> None:
    words = call("weights", "convert", r3d, "--model", "resnet3d:10", "-o", tmp_path / "w.safetensors",
                 "--frames", 4, "--size", "32x32")  # fmt: skip
    assert "torchvision's R3D" in words
    ours = load_file(tmp_path / "w.safetensors")
    assert torch.equal(ours["stem.conv.weight"], torch.load(r3d, weights_only=True)["stem.0.weight"])
    mark = json.loads((tmp_path / "w.safetensors.fingerprint.json").read_text())
    assert mark["shape"] == [3, 4, 32, 32]
    assert len(mark["logits_K"]) == 7
    shown = json.loads(call("weights", "show", tmp_path / "w.safetensors", "--json"))
    assert shown["source"] == "secondlook_run"
    expect = tmp_path / "expect.json"
    expect.write_text(json.dumps({**mark, "logits_K": [v * 1.5 for v in mark["logits_K"]]}))
    with pytest.raises(BadValue, match="computes something else"):
        call("weights", "convert", r3d, "--model", "resnet3d:10", "-o", tmp_path / "v.safetensors", "--expect", expect)
    assert not (tmp_path / "v.safetensors").exists()


@pytest.mark.spec("late-temporal-bert", "F100")
def test_what_does_not_fit_is_not_written(r3d: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with pytest.raises(BadValue, match="fewer than half"):
        call("weights", "convert", r3d, "--model", "resnet3d:34", "-o", out)
    state = torch.load(r3d, weights_only=True)
    del state["layer4.0.conv2.0.weight"]
    torch.save(state, r3d)
    with pytest.raises(BadValue, match=r"(?s)does not fit resnet3d:10 wholly.+layer4\.0\.conv2\.weight"):
        call("weights", "convert", r3d, "--model", "resnet3d:10", "-o", out)
    with pytest.raises(BadValue, match=r"ends in \.safetensors"):
        call("weights", "convert", r3d, "--model", "resnet3d:10", "-o", tmp_path / "w.pth")
    with pytest.raises(UnknownName, match="Did you mean 'torchvision_r3d'"):
        call("weights", "show", r3d, "--source", "torchvision_r3")
    assert not out.exists()
    call("weights", "convert", r3d, "--model", "resnet3d:10", "-o", out, "--partial", "--frames", 4, "--size", "32x32")
    assert out.exists()


def test_fetch_of_a_path_is_the_path(r3d: Path) -> None:
    assert str(r3d) in call("weights", "fetch", r3d).replace("\n", "")
