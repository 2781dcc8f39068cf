"""Pseudo-3D bottlenecks against their equations, written out with plain functions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.pseudo_3d import Pseudo3DBottleneck
from secondlook.layers.residual import Sum, shortcut


def make(kind: str, channels_in: int = 8, stride: int = 1) -> Pseudo3DBottleneck:
    around = shortcut(nn.Conv3d, channels_in, 8, (1, stride, stride), nn.BatchNorm3d)
    block = Pseudo3DBottleneck(kind, channels_in, 3, 8, stride, around)
    kaiming_(block)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return block.eval()


def twin(block: Pseudo3DBottleneck, x: Tensor, stride: int) -> Tensor:
    """Equations 3 to 5, with S over each frame alone and T over each pixel alone."""
    relu = functional.relu
    residual = block.shortcut(x)
    x = relu(block.norm1(functional.conv3d(x[..., ::stride, ::stride], block.conv1.weight)))

    def spatial(x: Tensor) -> Tensor:
        frames = [functional.conv2d(x[:, :, t], block.conv2.weight[:, :, 0], padding=1) for t in range(x.shape[2])]
        return relu(block.norm2(torch.stack(frames, 2)))

    def temporal(x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for t in range(x.shape[2]):
            for k in (0, 1, 2):
                if 0 <= t + k - 1 < x.shape[2]:
                    weight = block.temporal.weight[:, :, k, 0, 0]
                    out[:, :, t] += torch.einsum("oi,bihw->bohw", weight, x[:, :, t + k - 1])
        return block.temporal_norm(out)

    s = spatial(x)
    y = {"A": lambda: temporal(s), "B": lambda: s + temporal(x), "C": lambda: s + temporal(s)}[block.kind]()
    return relu(block.norm3(functional.conv3d(relu(y), block.conv3.weight)) + residual)


@pytest.mark.spec("late-temporal-bert", "F41")
@pytest.mark.parametrize("kind", ["A", "B", "C"])
@pytest.mark.parametrize(("channels_in", "stride"), [(8, 1), (5, 1), (8, 2)])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_is_its_equation(kind: str, channels_in: int, stride: int, frames: int) -> None:
    torch.manual_seed(0)
    block = make(kind, channels_in, stride)
    x_BCTHW = torch.randn(2, channels_in, frames, 6, 5)
    with torch.no_grad():
        assert torch.allclose(block(x_BCTHW), twin(block, x_BCTHW, stride), atol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F41")
def test_the_kinds_are_three_functions_of_the_same_weights() -> None:
    torch.manual_seed(0)
    blocks = {kind: make(kind) for kind in ("A", "B", "C")}
    for block in blocks.values():
        block.load_state_dict(blocks["A"].state_dict())
    x_BCTHW = torch.randn(1, 8, 4, 6, 5)
    a, b, c = (block(x_BCTHW) for block in blocks.values())
    assert not torch.allclose(a, b, atol=1e-3)
    assert not torch.allclose(a, c, atol=1e-3)
    assert not torch.allclose(b, c, atol=1e-3)


def test_sums_are_modules() -> None:
    assert sum(isinstance(m, Sum) for m in make("A").modules()) == 1
    assert sum(isinstance(m, Sum) for m in make("B").modules()) == 2


def test_no_other_kind() -> None:
    with pytest.raises(BadValue, match="of kind A, B or C"):
        make("D")
