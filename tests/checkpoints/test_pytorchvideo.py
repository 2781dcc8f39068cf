"""PyTorchVideo's files load to the last tensor, and the loaded network computes what PyTorchVideo's computes.

The forward passes here are written from its code with plain functions; they read its names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.checkpoints.pytorchvideo import LAYOUT
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_pytorchvideo as layouts
from tests.predict.test_published_function import norm, sane

State = dict[str, Tensor]
Stride = tuple[int, int, int]
OURS = {
    "slow_r50": "slow:50-8x8",
    "c2d_r50": "slow:c2d-50",
    "i3d_r50": "slow:i3d-50",
    "slowfast_r50": "slowfast:50-8x8",
    "slowfast_r101": "slowfast:101-8x8",
    "slowfast_16x8_r101_50_50": "slowfast:101-16x8",
    "x3d_m": "x3d:m",
    "x3d_l": "x3d:l",
    "csn_r101": "csn:ir-101",
    "r2plus1d_r50": "r2plus1d_bottleneck:50",
}
KEYS = {"slow_r50": 320, "c2d_r50": 320, "i3d_r50": 320, "slowfast_r50": 662, "x3d_m": 563}


def make(name: str, classes: int) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes)


def conv(x: Tensor, state: State, name: str, stride: Stride = (1, 1, 1)) -> Tensor:
    """Padded to keep the size, in as many groups as the weight has; no convolution here has a bias but the gates'."""
    weight = state[f"{name}.weight"]
    padding = [k // 2 for k in weight.shape[2:]]
    groups = x.shape[1] // weight.shape[1]
    return functional.conv3d(x, weight, state.get(f"{name}.bias"), stride, padding, groups=groups)


def stem(state: State, name: str, x: Tensor, *, pool: bool = True) -> Tensor:
    x = functional.relu(norm(conv(x, state, f"{name}.conv", (1, 2, 2)), state, f"{name}.norm"))
    return functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)) if pool else x


def factors(x: Tensor, state: State, name: str, stride: Stride) -> Tensor:
    """R(2+1)D's `conv_b`: time, then space."""
    x = conv(x, state, f"{name}.conv_t", (stride[0], 1, 1))
    return conv(functional.relu(norm(x, state, f"{name}.norm")), state, f"{name}.conv_xy", (1, *stride[1:]))


def stage(
    state: State, name: str, x: Tensor, stride: Stride, conv_b: Callable[[Tensor, State, str, Stride], Tensor] = conv
) -> Tensor:
    b = 0
    while f"{name}.res_blocks.{b}.branch2.conv_a.weight" in state:
        block, steps = f"{name}.res_blocks.{b}", stride if b == 0 else (1, 1, 1)
        inside = f"{block}.branch2"
        y = functional.relu(norm(conv(x, state, f"{inside}.conv_a"), state, f"{inside}.norm_a"))
        y = conv_b(y, state, f"{inside}.conv_b", steps)
        if f"{inside}.norm_b.0.weight" in state:  # X3D
            y = norm(y, state, f"{inside}.norm_b.0")
            gates = f"{inside}.norm_b.1.block"
            if f"{gates}.0.weight" in state:
                hidden = functional.relu(conv(y.mean((2, 3, 4), keepdim=True), state, f"{gates}.0"))
                y = y * torch.sigmoid(conv(hidden, state, f"{gates}.2"))
            y = y * torch.sigmoid(y)
        else:
            y = functional.relu(norm(y, state, f"{inside}.norm_b"))
        y = norm(conv(y, state, f"{inside}.conv_c"), state, f"{inside}.norm_c")
        if f"{block}.branch1_conv.weight" in state:
            x = conv(x, state, f"{block}.branch1_conv", steps)
        if f"{block}.branch1_norm.weight" in state:
            x = norm(x, state, f"{block}.branch1_norm")
        x = functional.relu(x + y)
        b += 1
    return x


def projected(state: State, name: str, pooled_BC: Tensor) -> Tensor:
    return functional.linear(pooled_BC, state[f"{name}.proj.weight"], state[f"{name}.proj.bias"])


def resnet(state: State, x: Tensor) -> Tensor:
    x = stem(state, "blocks.0", x)
    strides = iter(((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)))
    last = 6 if "blocks.6.proj.weight" in state else 5
    for i in range(1, last):
        if f"blocks.{i}.res_blocks.0.branch2.conv_a.weight" in state:
            x = stage(state, f"blocks.{i}", x, next(strides))
        else:
            x = functional.max_pool3d(x, (2, 1, 1), (2, 1, 1))
    return projected(state, f"blocks.{last}", x.mean((2, 3, 4)))


def slowfast(state: State, fast: Tensor) -> Tensor:
    frames = torch.linspace(0, fast.shape[2] - 1, fast.shape[2] // 4).long()
    slow = fast[:, :, frames]
    for i in range(5):
        name, stride = f"blocks.{i}", (1, 1, 1) if i == 1 else (1, 2, 2)
        if i == 0:
            slow, fast = (stem(state, f"{name}.multipathway_blocks.{p}", x) for p, x in enumerate((slow, fast)))
        else:
            slow, fast = (
                stage(state, f"{name}.multipathway_blocks.{p}", x, stride) for p, x in enumerate((slow, fast))
            )
        if i < 4:
            told = conv(fast, state, f"{name}.multipathway_fusion.conv_fast_to_slow", (4, 1, 1))
            slow = torch.cat([slow, functional.relu(norm(told, state, f"{name}.multipathway_fusion.norm"))], 1)
    return projected(state, "blocks.6", torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))


def x3d(state: State, x: Tensor) -> Tensor:
    x = conv(conv(x, state, "blocks.0.conv.conv_t", (1, 2, 2)), state, "blocks.0.conv.conv_xy")
    x = functional.relu(norm(x, state, "blocks.0.norm"))
    for i in range(1, 5):
        x = stage(state, f"blocks.{i}", x, (1, 2, 2))
    x = functional.relu(norm(conv(x, state, "blocks.5.pool.pre_conv"), state, "blocks.5.pool.pre_norm"))
    x = functional.relu(conv(x.mean((2, 3, 4), keepdim=True), state, "blocks.5.pool.post_conv"))
    return projected(state, "blocks.5", x.flatten(1))


def csn(state: State, x: Tensor) -> Tensor:
    x = stem(state, "blocks.0", x)
    for i in range(1, 5):
        x = stage(state, f"blocks.{i}", x, (1, 1, 1) if i == 1 else (2, 2, 2))
    return projected(state, "blocks.5", x.mean((2, 3, 4)))


def r2plus1d(state: State, x: Tensor) -> Tensor:
    x = stem(state, "blocks.0", x, pool=False)
    for i in range(1, 5):
        x = stage(state, f"blocks.{i}", x, (1 if i < 3 else 2, 2, 2), factors)
    return projected(state, "blocks.5", x.mean((2, 3, 4)))


PUBLISHED: dict[str, tuple[layouts.Shapes, Callable[[State, Tensor], Tensor]]] = {
    "slow_r50": (layouts.resnet(9), resnet),
    "c2d_r50": (layouts.resnet(9, layouts.C2D, pool=True), resnet),
    "i3d_r50": (layouts.resnet(9, layouts.I3D, 5, pool=True), resnet),
    "slowfast_r50": (layouts.slowfast(9), slowfast),
    "x3d_m": (layouts.x3d(9), x3d),
    "csn_r101": (layouts.csn(9), csn),
    "r2plus1d_r50": (layouts.r2plus1d(9), r2plus1d),
}


def calm(shapes: layouts.Shapes) -> State:
    """Values with which a signal does not grow over many blocks: the last scale of each branch is small."""
    return {n: t * 0.2 if n.endswith("norm_c.weight") else t for n, t in sane(shapes).items()}


@pytest.mark.spec("label-reassessment", "I5")
@pytest.mark.parametrize("name", PUBLISHED)
def test_computes_what_the_publisher_computes(name: str, tmp_path: Path) -> None:
    shapes, publishers_forward = PUBLISHED[name]
    state = calm(shapes)
    torch.save({"epoch": 1, "model_state": state, "cfg": "..."}, tmp_path / "w.pyth")
    network = make(OURS[name], 9).eval()
    x_BCTHW = torch.randn(2, 3, 8, 33, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected_BK = publishers_forward(state, x_BCTHW)
        report = load_published(network, tmp_path / "w.pyth")
        logits_BK = network(x_BCTHW)
    assert report.complete
    assert not report.reinitialised
    assert report.source == "pytorchvideo"
    assert len(report.matched) == len(network.state_dict())
    spread = expected_BK.std().item()
    assert expected_BK.isfinite().all()
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-3 * spread > 1e-6, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)
    assert bool(report.notes) == (name == "x3d_m")


@pytest.mark.parametrize("case", layouts.FILES)
def test_every_published_tensor_has_its_place_and_shape(case: str) -> None:
    published = case.split()[1]
    shapes = layouts.FILES[case][1]
    assert len(shapes) == KEYS.get(published, len(shapes)), "as many tensors as the publisher's file"
    file = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert LAYOUT.prepare is not None
    named = {LAYOUT.rename(name): tuple(tensor.shape) for name, tensor in LAYOUT.prepare(file).items()}
    with torch.device("meta"):
        own = {name: tuple(tensor.shape) for name, tensor in make(OURS[published], 400).state_dict().items()}
    assert named == own


def test_the_added_normalisation_of_x3d_does_nothing() -> None:
    state = calm(layouts.x3d(3))
    assert LAYOUT.prepare is not None
    added = {name: tensor for name, tensor in LAYOUT.prepare(state).items() if name not in state}
    assert {re.sub(r"^.*norm\.", "", name) for name in added} == {
        *("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    x_BCTHW = torch.randn(2, 24, 2, 3, 3)
    assert torch.allclose(norm(x_BCTHW, added, "blocks.1.res_blocks.0.branch1_norm"), x_BCTHW, atol=1e-6)
