"""PySlowFast's files load to the last tensor, and the loaded network computes what PySlowFast's computes.

The forward passes here are written from its code with plain functions; they read its names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.checkpoints.pyslowfast import LAYOUT
from secondlook.predict.published import load_published
from tests.checkpoints import layouts_pyslowfast as layouts
from tests.checkpoints.layouts_pytorchvideo import C2D, I3D, SLOW, Shapes
from tests.predict.test_published_function import norm, sane

State = dict[str, Tensor]
OURS = {
    "C2D_8x8_R50": ("slow:c2d-50", 320),
    "I3D_8x8_R50": ("slow:i3d-50", 320),
    "I3D_NLN_8x8_R50": ("slow:i3d-50-nl", 385),
    "SLOWONLY_8x8_R50": ("slow:50-8x8", 320),
    "SLOWFAST_4x16_R50": ("slowfast:50-4x16", 662),
    "SLOWFAST_8x8_R50": ("slowfast:50-8x8", 662),
    "X3D_M": ("x3d:m", 568),
    "X3D_L": ("x3d:l", 1146),
}


def make(name: str, classes: int) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, classes)


def conv(x: Tensor, state: State, name: str, stride: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
    weight = state[f"{name}.weight"]
    padding = [k // 2 for k in weight.shape[2:]]
    groups = x.shape[1] // weight.shape[1]
    return functional.conv3d(x, weight, state.get(f"{name}.bias"), stride, padding, groups=groups)


def stem(state: State, pathway: int, x: Tensor) -> Tensor:
    name = f"s1.pathway{pathway}_stem"
    x = functional.relu(norm(conv(x, state, f"{name}.conv", (1, 2, 2)), state, f"{name}.bn"))
    return functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


def non_local(state: State, name: str, x: Tensor) -> Tensor:
    """`softmax`, scaled, over maps pooled by 2 in height and width; `TxHxW` places to a row."""
    pooled = functional.max_pool3d(x, (1, 2, 2), (1, 2, 2))
    theta = conv(x, state, f"{name}.conv_theta").flatten(2)
    phi, g = (conv(pooled, state, f"{name}.conv_{part}").flatten(2) for part in ("phi", "g"))
    affinity = torch.einsum("nct,ncp->ntp", theta, phi) * theta.shape[1] ** -0.5
    y = torch.einsum("ntg,ncg->nct", affinity.softmax(2), g).reshape(x.shape[0], -1, *x.shape[2:])
    return x + norm(conv(y, state, f"{name}.conv_out"), state, f"{name}.bn")


def stage(state: State, number: int, x: Tensor, stride: int, pathway: int = 0) -> Tensor:
    b = 0
    while f"s{number}.pathway{pathway}_res{b}.branch2.a.weight" in state:
        name, steps = f"s{number}.pathway{pathway}_res{b}", (1, stride, stride) if b == 0 else (1, 1, 1)
        inside = f"{name}.branch2"
        y = functional.relu(norm(conv(x, state, f"{inside}.a"), state, f"{inside}.a_bn"))
        y = norm(conv(y, state, f"{inside}.b", steps), state, f"{inside}.b_bn")
        if state[f"{inside}.b.weight"].shape[1:] == (1, 3, 3, 3):  # X3D
            if f"{inside}.se.fc1.weight" in state:
                hidden = functional.relu(conv(y.mean((2, 3, 4), keepdim=True), state, f"{inside}.se.fc1"))
                y = y * torch.sigmoid(conv(hidden, state, f"{inside}.se.fc2"))
            y = y * torch.sigmoid(y)
        else:
            y = functional.relu(y)
        y = norm(conv(y, state, f"{inside}.c"), state, f"{inside}.c_bn")
        if f"{name}.branch1.weight" in state:
            x = norm(conv(x, state, f"{name}.branch1", steps), state, f"{name}.branch1_bn")
        x = functional.relu(x + y)
        if f"s{number}.pathway{pathway}_nonlocal{b}.bn.weight" in state:
            x = non_local(state, f"s{number}.pathway{pathway}_nonlocal{b}", x)
        b += 1
    return x


def projected(state: State, pooled_BC: Tensor) -> Tensor:
    return functional.linear(pooled_BC, state["head.projection.weight"], state["head.projection.bias"])


def resnet(state: State, x: Tensor, *, pool: bool) -> Tensor:
    x = stage(state, 2, stem(state, 0, x), 1)
    if pool:
        x = functional.max_pool3d(x, (2, 1, 1), (2, 1, 1))
    for number in (3, 4, 5):
        x = stage(state, number, x, 2)
    return projected(state, x.mean((2, 3, 4)))


def slowfast_4x16(state: State, fast: Tensor) -> Tensor:
    slow = fast[:, :, torch.linspace(0, fast.shape[2] - 1, fast.shape[2] // 8).long()]
    slow, fast = stem(state, 0, slow), stem(state, 1, fast)
    for number in (2, 3, 4, 5):
        name = f"s{number - 1}_fuse"
        told = functional.relu(norm(conv(fast, state, f"{name}.conv_f2s", (8, 1, 1)), state, f"{name}.bn"))
        slow = stage(state, number, torch.cat([slow, told], 1), 1 if number == 2 else 2)
        fast = stage(state, number, fast, 1 if number == 2 else 2, pathway=1)
    return projected(state, torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))


def x3d(state: State, x: Tensor) -> Tensor:
    x = conv(conv(x, state, "s1.pathway0_stem.conv_xy", (1, 2, 2)), state, "s1.pathway0_stem.conv")
    x = functional.relu(norm(x, state, "s1.pathway0_stem.bn"))
    for number in (2, 3, 4, 5):
        x = stage(state, number, x, 2)
    x = functional.relu(norm(conv(x, state, "head.conv_5"), state, "head.conv_5_bn"))
    return projected(state, functional.relu(conv(x.mean((2, 3, 4), keepdim=True), state, "head.lin_5")).flatten(1))


PUBLISHED: dict[str, tuple[Shapes, Callable[[State, Tensor], Tensor], tuple[int, int, int]]] = {
    "C2D_8x8_R50": (layouts.resnet(9, C2D), lambda s, x: resnet(s, x, pool=True), (5, 33, 40)),
    "I3D_NLN_8x8_R50": (
        layouts.resnet(9, I3D, 5, non_local=True),
        lambda s, x: resnet(s, x, pool=True),
        (4, 64, 64),
    ),
    "SLOWONLY_8x8_R50": (layouts.resnet(9, SLOW), lambda s, x: resnet(s, x, pool=False), (3, 33, 40)),
    "SLOWFAST_4x16_R50": (layouts.slowfast(9), slowfast_4x16, (16, 33, 40)),
    "X3D_M": (layouts.x3d(9), x3d, (5, 33, 40)),
}


def calm(shapes: Shapes) -> State:
    """Values with which a signal does not grow over many blocks: the last scale of each branch is small."""
    return {n: t * 0.2 if n.endswith("c_bn.weight") else t for n, t in sane(shapes).items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_computes_what_the_publisher_computes(name: str, tmp_path: Path) -> None:
    shapes, publishers_forward, size = PUBLISHED[name]
    state = calm(shapes)
    torch.save({"epoch": 1, "model_state": state, "optimizer_state": {}}, tmp_path / "w.pyth")
    network = make(OURS[name][0], 9).eval()
    x_BCTHW = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected_BK = publishers_forward(state, x_BCTHW)
        report = load_published(network, tmp_path / "w.pyth")
        logits_BK = network(x_BCTHW)
    assert report.complete
    assert not report.reinitialised
    assert report.source == "pyslowfast"
    assert len(report.matched) == len(network.state_dict()) == len(shapes)
    spread = expected_BK.std().item()
    assert expected_BK.isfinite().all()
    assert (expected_BK[0] - expected_BK[1]).abs().max() > 1e-3 * spread > 1e-6, "the logits tell the clips apart"
    assert torch.allclose(logits_BK, expected_BK, atol=1e-4 * spread, rtol=1e-4)


@pytest.mark.parametrize("case", layouts.FILES)
def test_every_published_tensor_has_its_place_and_shape(case: str) -> None:
    _, published, *more = case.split()
    ours, keys = OURS[published]
    shapes = layouts.FILES[case][1]
    assert more or len(shapes) == keys, "as many tensors as the publisher's file"
    file = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert LAYOUT.prepare is not None
    named = {LAYOUT.rename(name): tuple(tensor.shape) for name, tensor in LAYOUT.prepare(file).items()}
    with torch.device("meta"):
        own = {name: tuple(tensor.shape) for name, tensor in make(ours, 400).state_dict().items()}
    assert named == own


def test_statistics_of_parts_are_folded_to_those_of_the_whole() -> None:
    """Two parts of one size: the mean and variance of all values, though `bn.bn` was never filled."""
    parts_PCN = torch.randn(2, 3, 50) * torch.tensor([1.0, 4.0]).reshape(2, 1, 1) + torch.arange(2.0).reshape(2, 1, 1)
    file = {
        "s1.pathway0_stem.bn.weight": torch.ones(3, 1, 1, 1),
        "s1.pathway0_stem.bn.bias": torch.zeros(3, 1, 1, 1),
        "s1.pathway0_stem.bn.bn.running_mean": torch.zeros(3),
        "s1.pathway0_stem.bn.bn.running_var": torch.ones(3),
        "s1.pathway0_stem.bn.bn.num_batches_tracked": torch.tensor(0),
        "s1.pathway0_stem.bn.split_bn.running_mean": parts_PCN.mean(2).flatten(),
        "s1.pathway0_stem.bn.split_bn.running_var": parts_PCN.var(2, unbiased=False).flatten(),
        "s1.pathway0_stem.bn.split_bn.num_batches_tracked": torch.tensor(7),
    }
    assert LAYOUT.prepare is not None
    folded = {LAYOUT.rename(name): tensor for name, tensor in LAYOUT.prepare(file).items()}
    whole_CN = torch.cat(list(parts_PCN), 1)
    assert set(folded) == {
        f"stem.norm.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert torch.allclose(folded["stem.norm.running_mean"], whole_CN.mean(1), atol=1e-6)
    assert torch.allclose(folded["stem.norm.running_var"], whole_CN.var(1, unbiased=False), rtol=1e-5)
    assert folded["stem.norm.num_batches_tracked"] == 7
    assert folded["stem.norm.weight"].shape == (3,)


def test_a_file_without_parts_keeps_the_statistics_of_the_whole() -> None:
    file = {"head.conv_5_bn.bn.running_mean": torch.arange(3.0)}
    assert LAYOUT.prepare is not None
    assert [*LAYOUT.prepare(file)] == ["head.conv_5_bn.running_mean"]


@pytest.mark.parametrize(
    ("case", "words"),
    [("C2D_8x8_R50", "pools over pairs"), ("SLOWFAST_8x8_R50", "alpha"), ("SLOWONLY_8x8_R50", ""), ("X3D_M", "")],
)
def test_what_names_cannot_tell_is_said(case: str, words: str) -> None:
    assert LAYOUT.caution is not None
    said = LAYOUT.caution(layouts.FILES[f"PySlowFast {case}"][1])
    assert words in said
    assert bool(said) == bool(words)
