"""Files of the SRTG repository: every tensor arrives, the function is theirs, and what names cannot tell is said.

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
from tests.checkpoints import layouts_stergiou as layouts
from tests.checkpoints import layouts_torchvision
from tests.predict.test_published_function import State, downsampled, norm, sane


def make(name: str, classes: int, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes, **options)


def published(state: State, x_BCTHW: Tensor, *, pool: bool = True) -> Tensor:
    """`network/srtg_resnet.py`; `pool`: its last state, where the stem ends in a max-pool."""
    x = functional.conv3d(x_BCTHW, state["stem.0.weight"], stride=(1, 2, 2), padding=_same(state["stem.0.weight"]))
    x = functional.relu(norm(x, state, "stem.1"))
    if "stem.3.weight" in state:
        x = functional.conv3d(x, state["stem.3.weight"], padding=(1, 0, 0))
        x = functional.relu(norm(x, state, "stem.4"))
    x = functional.max_pool3d(x, 3, 2, 1) if pool else x
    depths = [len({k.split(".")[1] for k in state if k.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)]
    for stage, depth in enumerate(depths, 1):
        for b in range(depth):
            name, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            last = 3 if f"{name}.conv3.1.weight" in state else 2
            y = x
            for i in range(1, last + 1):
                y = convolved(state, f"{name}.conv{i}.0", y, stride if i == last - 1 else 1)
                y = norm(y, state, f"{name}.conv{i}.1")
                y = functional.relu(y) if i < last else y
            x = functional.relu(y + downsampled(state, name, x, stride))
    return functional.linear(x.mean((2, 3, 4)), state["fc.weight"], state["fc.bias"])


def convolved(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    if f"{name}.weight" in state:
        return functional.conv3d(x, state[f"{name}.weight"], stride=stride)
    if f"{name}.3.weight" not in state:
        return functional.conv3d(x, state[f"{name}.0.weight"], stride=stride, padding=1)
    x = functional.conv3d(x, state[f"{name}.0.weight"], stride=(1, stride, stride), padding=(0, 1, 1))
    x = functional.relu(norm(x, state, f"{name}.1"))
    return functional.conv3d(x, state[f"{name}.3.weight"], stride=(stride, 1, 1), padding=(1, 0, 0))


def _same(weight: Tensor) -> tuple[int, ...]:
    return tuple(k // 2 for k in weight.shape[2:])


def empty(shapes: layouts.Shapes) -> State:
    """Zeros that take no room."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


CASES = {
    "r3d:r3d-18": (layouts.video_resnet((2, 2, 2, 2), 9, bottleneck=False), 122),
    "r3d:r3d-50": (layouts.video_resnet(layouts.R50, 9), 314),
    "r3d:r2plus1d-50": (layouts.video_resnet(layouts.R50, 9, factorised=True), 416),
}


def clip() -> Tensor:
    return torch.randn(2, 3, 5, 33, 40, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", CASES)
def test_computes_what_the_publisher_computes(name: str, tmp_path: Path) -> None:
    shapes, keys = CASES[name]
    assert len(shapes) == keys, "the layout has as many tensors as the publisher's file"
    state = sane(shapes)
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    network = make(name, 9, stem_kernel=3).eval()
    with torch.no_grad():
        expected_BK = published(state, clip())
        report = load_published(network, tmp_path / "w.pth")
        logits_BK = network(clip())
    assert report.complete
    assert report.source == "stergiou"
    assert len(report.matched) == keys
    spread = expected_BK.std().item()
    assert spread > 1e-3
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)


def test_the_same_r2plus1d_18_file_is_two_networks(tmp_path: Path) -> None:
    """Its r2plus1d_18 and torchvision's have the same tensors, and differ in a max-pool: both load, with a word."""
    shapes = layouts.video_resnet((2, 2, 2, 2), 9, bottleneck=False, factorised=True)
    assert shapes == layouts_torchvision.torchvision_r2plus1d((2, 2, 2, 2), 9, layouts_torchvision.R2PLUS1D_18)
    state = sane(shapes)
    torch.save(state, tmp_path / "w.pth")
    with torch.no_grad():
        logits_of = {pool: published(state, clip(), pool=pool) for pool in (True, False)}
    for name, pool in (("r3d:r2plus1d-18", True), ("r2plus1d:18", False)):
        network = make(name, 9).eval()
        report = load_published(network, tmp_path / "w.pth")
        assert report.complete
        assert "a further max-pool after the stem" in report.words()
        with torch.no_grad():
            right, wrong = logits_of[pool], logits_of[not pool]
            logits_BK = network(clip())
        assert torch.allclose(logits_BK, right, atol=1e-4 * right.std().item(), rtol=1e-4)
        assert not torch.allclose(logits_BK, wrong, atol=1e-2 * right.std().item())


@pytest.mark.parametrize("stem", [3, 7])
def test_its_stem_sees_three_frames(stem: int, tmp_path: Path) -> None:
    torch.save(empty(layouts.video_resnet((2, 2, 2, 2), 9, bottleneck=False)), tmp_path / "w.pth")
    report = load_published(make("r3d:r3d-18", 9, stem_kernel=stem), tmp_path / "w.pth")
    assert [line.partition(":")[0] for line in report.reshaped] == ([] if stem == 3 else ["stem.conv.weight"])
    assert "stem_kernel=3" in report.words()


@pytest.mark.parametrize(
    ("case", "keys", "rule"),
    [
        ("SRTG's srtg_r3d_50", 442, "recurrent blocks of SRTG"),
        ("SRTG's srtg_r2plus1d_50", 544, "recurrent blocks of SRTG"),
        ("SRTG's srtg_r2plus1d_18", None, "recurrent blocks of SRTG"),
        ("SRTG's r3d_50, first state", None, "widen fourfold"),
    ],
)
def test_its_networks_that_are_none_of_ours_are_refused(case: str, keys: int | None, rule: str, tmp_path: Path) -> None:
    shapes = layouts.FILES[case][1]
    assert keys in (None, len(shapes))
    torch.save(empty(shapes), tmp_path / "w.pth")
    with pytest.raises(BadValue, match=rule):
        load_published(make("r3d:tiny", 5), tmp_path / "w.pth")
