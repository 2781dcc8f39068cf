"""Files of Hara's repository and of MARS: every tensor arrives, and the function is the publisher's.

The forward pass is written from the published code with plain functions; it reads the published names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_hara as layouts
from tests.predict.test_published_function import State, downsampled, norm, sane


def make(name: str, classes: int, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes, **options)


def published(state: State, x_BCTHW: Tensor, blocks: tuple[int, ...], groups: int) -> Tensor:
    """`models/resnet.py` of Hara and `models/resnext.py` of MARS."""
    x = functional.conv3d(x_BCTHW, state["conv1.weight"], stride=(1, 2, 2), padding=3)
    x = functional.max_pool3d(functional.relu(norm(x, state, "bn1")), 3, 2, 1)
    for stage, depth in enumerate(blocks, 1):
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y, last = x, 3 if f"{name}.conv3.weight" in state else 2
            strided = 2 if last == 3 else 1
            for i in range(1, last + 1):
                weight = state[f"{name}.conv{i}.weight"]
                wide = weight.shape[2] == 3
                y = functional.conv3d(
                    y,
                    weight,
                    stride=stride if i == strided else 1,
                    padding=1 if wide else 0,
                    groups=groups if wide else 1,
                )
                y = norm(y, state, f"{name}.bn{i}")
                y = functional.relu(y) if i < last else y
            x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3, 4)), state["fc.weight"], state["fc.bias"])


def empty(shapes: layouts.Shapes) -> State:
    """Zeros that take no room."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


CASES = {
    "hara:18": (layouts.resnet((2, 2, 2, 2), 9, bottleneck=False), (2, 2, 2, 2), 1, 122),
    "hara:50": (layouts.resnet((3, 4, 6, 3), 9, bottleneck=True), (3, 4, 6, 3), 1, 320),
    "hara:resnext101": (layouts.resnext((3, 4, 23, 3), 9), (3, 4, 23, 3), 32, 626),
}


@pytest.mark.parametrize("name", CASES)
def test_computes_what_the_publisher_computes(name: str, tmp_path: Path) -> None:
    shapes, blocks, groups, keys = CASES[name]
    assert len(shapes) == keys, "the layout has as many tensors as the publisher's file"
    state = sane(shapes)
    saved = {"arch": "resnet-50", "state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 200}
    torch.save(saved, tmp_path / "w.pth")
    network = make(name, 9).eval()
    x_BCTHW = torch.randn(2, 3, 5, 33, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected_BK = published(state, x_BCTHW, blocks, groups)
        report = load_published(network, tmp_path / "w.pth")
        logits_BK = network(x_BCTHW)
    assert report.complete
    assert report.source == "hara"
    assert len(report.matched) == keys
    assert "how pixels were scaled" in report.words()
    spread = expected_BK.std().item()
    assert spread > 1e-3
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)


@pytest.mark.spec("late-temporal-bert", "F30")
def test_flow_weights_of_mars_have_two_channels(tmp_path: Path) -> None:
    torch.save({"state_dict": empty(layouts.resnext((3, 4, 23, 3), 4, in_channels=2))}, tmp_path / "w.pth")
    report = load_published(make("hara:resnext101", 4, in_channels=2), tmp_path / "w.pth")
    assert report.complete
    assert not report.adapted


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ("Hara ResNet-18, shortcut A", "shortcuts without weights"),
        ("Hara R(2+1)D", r"Hara's R\(2\+1\)D"),
        ("Hara pre-activation", "normalises before each convolution"),
    ],
)
def test_its_networks_that_are_none_of_ours_are_refused(case: str, rule: str, tmp_path: Path) -> None:
    torch.save(empty(layouts.FILES[case][1]), tmp_path / "w.pth")
    with pytest.raises(BadValue, match=rule):
        load_published(make("hara:tiny", 700), tmp_path / "w.pth")
