"""The verb `export`: the files run alone, give the network's logits, and say how to use them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from secondlook import cli
from secondlook.cards import ClipSpec, ModelCard
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.predict.export import export
from secondlook.predict.weights import LoadedModel, build_model, find_card, load_run, save_weights, write_json

LABELS = LabelSpace.from_names(["left", "right", "still"], "toy")
ONNX = ("tsm:tiny", "resnet3d:tiny", "slowfast:tiny", "resnet_transformer:tiny-2d")
PROGRAMS = ("r2plus1d:tiny", "videomae:tiny")
"""Others than those of ONNX, which are captured in the same way first."""


def make_run(name: str, folder: Path) -> Path:
    """A run folder with random weights; logits are spread so that a wrong file is seen."""
    card = find_card(name)
    network = build_model(card, len(LABELS)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        network.get_submodule(card.explain.classifier).weight.normal_()
    folder.mkdir(parents=True)
    save_weights(network, folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LABELS.to_dict())
    return folder


def say(*arguments: str):
    return CliRunner().invoke(cli.build_app(), ["export", *arguments], catch_exceptions=False)


@pytest.mark.spec("late-temporal-bert", "F100")
@pytest.mark.parametrize("name", ONNX)
def test_onnx_runs_alone_and_gives_the_logits(name: str, tmp_path: Path) -> None:
    run = make_run(name, tmp_path / "run")
    said = say(str(run), "--format", "onnx", "-o", str(tmp_path / "net.onnx"), "--json")
    told = json.loads(said.stdout)
    assert told["largest_difference"] < 1e-4
    assert told["largest_logit"] > 0.1
    about = json.loads((tmp_path / "net.json").read_text())
    recipe = ClipSpec.from_dict(about["input"]["recipe"])
    assert about["input"]["shape"] == ["B", recipe.channels, recipe.frames, recipe.height, recipe.width]
    assert ModelCard.from_dict(about["card"]) == find_card(name)
    assert LabelSpace.from_dict(about["labels"]) == LABELS
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    x_BCTHW = torch.randn(4, *about["input"]["shape"][1:], generator=torch.Generator().manual_seed(5))
    (logits_BK,) = session.run([about["output"]["name"]], {about["input"]["name"]: x_BCTHW.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits_BK, load_run(run).model(x_BCTHW).numpy(), atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.json", "net.onnx", "run"]


@pytest.mark.spec("late-temporal-bert", "F100")
@pytest.mark.parametrize("name", PROGRAMS)
def test_torch_export_runs_alone_and_gives_the_logits(name: str, tmp_path: Path) -> None:
    run = make_run(name, tmp_path / "run")
    said = say(str(run), "--format", "torch_export")
    assert "any number of clips" in said.stdout
    about = json.loads((run / "model.json").read_text())
    program = torch.export.load(run / "model.pt2").module()
    x_BCTHW = torch.randn(3, *about["input"]["shape"][1:])
    with torch.no_grad():
        torch.testing.assert_close(program(x_BCTHW), load_run(run).model(x_BCTHW), atol=1e-4, rtol=0)


def test_a_file_that_gives_other_logits_is_not_left_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_run(make_run("tsm:tiny", tmp_path / "run"))
    monkeypatch.setattr("secondlook.predict.export._to_pt2", lambda *_: lambda x: torch.ones(len(x), 3))
    with pytest.raises(BadValue, match="the file's logits are off by up to"):
        export(loaded, tmp_path / "net.pt2", "torch_export")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_onnx_has_no_operation_for_is_a_sentence(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x_BCTHW.mean((2, 3, 4))) @ torch.ones(2, 3)

    loaded = LoadedModel(Bessel(), find_card("tsm:tiny"), LABELS, make_run("tsm:tiny", tmp_path / "run") / "card.json")
    with pytest.raises(BadValue, match=r"cannot be written as onnx .+Give --format torch_export"):
        export(loaded, tmp_path / "net.onnx")
    assert export(loaded, tmp_path / "net.pt2", "torch_export").any_batch


def test_a_network_that_takes_one_clip_only(tmp_path: Path) -> None:
    class OneClip(nn.Module):
        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            assert x_BCTHW.shape[0] in (1, 2)
            return x_BCTHW.mean((2, 3, 4)) @ torch.ones(2, 3)

    loaded = LoadedModel(OneClip(), find_card("tsm:tiny"), LABELS, make_run("tsm:tiny", tmp_path / "run") / "card.json")
    done = export(loaded, tmp_path / "net.pt2", "torch_export")
    assert not done.any_batch
    assert done.note
    assert json.loads(done.about.read_text())["input"]["shape"][0] == 1


def test_a_network_without_a_fixed_graph_is_a_sentence(tmp_path: Path) -> None:
    class Decides(nn.Module):
        def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
            return x_BCTHW[:, :, 0, 0] if x_BCTHW.sum().item() > 0 else x_BCTHW[:, :, 0, 1]

    loaded = LoadedModel(Decides(), find_card("tsm:tiny"), LABELS, tmp_path)
    with pytest.raises(BadValue, match="its forward pass is no fixed graph"):
        export(loaded, tmp_path / "net.pt2", "torch_export")


@pytest.mark.parametrize(
    ("output", "kind", "sentence"),
    [("a.onnx", "onnxx", "format must be one of onnx, torch_export"), ("a.pt2", "onnx", r"ends in \.onnx")],
)
def test_wrong_use_is_a_sentence(output: str, kind: str, sentence: str, tmp_path: Path) -> None:
    run = make_run("tsm:tiny", tmp_path / "run")
    with pytest.raises(BadValue, match=sentence):
        say(str(run), "--format", kind, "-o", str(tmp_path / output))


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("tsm:tiny", tmp_path / "run")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "onnx" in name else real(name, *rest))
    with pytest.raises(BadValue, match=r"needs onnx, onnxscript, onnxruntime.+pip install 'secondlook\[export\]'"):
        say(str(run))
