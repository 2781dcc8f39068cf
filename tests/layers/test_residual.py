"""Residual blocks in 2D and 3D against their formula, and when the shortcut projects."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import BasicBlock, Bottleneck, Sum, shortcut

KINDS = [(nn.Conv2d, nn.BatchNorm2d, 2), (nn.Conv3d, nn.BatchNorm3d, 3)]


def basic(conv, norm, channels_in: int, channels: int, stride: int) -> BasicBlock:
    return BasicBlock(
        conv(channels_in, channels, 3, stride, 1, bias=False),
        conv(channels, channels, 3, 1, 1, bias=False),
        channels,
        norm,
        shortcut(conv, channels_in, channels, stride, norm),
    )


def bottleneck(conv, norm, channels_in: int, channels: int, stride: int) -> Bottleneck:
    convs = (
        conv(channels_in, channels, 1, bias=False),
        conv(channels, channels, 3, stride, 1, bias=False),
        conv(channels, 4 * channels, 1, bias=False),
    )
    return Bottleneck(convs, channels, norm, shortcut(conv, channels_in, 4 * channels, stride, norm))


def projects(block: nn.Module) -> bool:
    return not isinstance(block.shortcut, nn.Identity)


@pytest.mark.spec("late-temporal-bert", "F40")
@pytest.mark.parametrize(("conv", "norm", "dims"), KINDS)
@pytest.mark.parametrize(("make", "expansion"), [(basic, 1), (bottleneck, 4)])
@pytest.mark.parametrize(("channels_in", "stride"), [(8, 1), (8, 2), (6, 1), (6, 2)])
def test_is_input_plus_branch(make, expansion: int, conv, norm, dims: int, channels_in: int, stride: int) -> None:
    channels = 8 // expansion
    block = make(conv, norm, channels_in, channels, stride).eval()
    kaiming_(block)
    x = torch.randn(2, channels_in, *[5] * dims)
    branch = x
    steps = [(block.conv1, block.norm1), (block.conv2, block.norm2)]
    steps += [(block.conv3, block.norm3)] if expansion == 4 else []
    for i, (c, n) in enumerate(steps):
        branch = n(c(branch))
        branch = functional.relu(branch) if i < len(steps) - 1 else branch
    around = block.shortcut.norm(block.shortcut.conv(x)) if projects(block) else x
    y = block(x)
    assert torch.allclose(y, functional.relu(branch + around), atol=1e-6)
    assert y.shape == (2, 8, *[-(-5 // stride)] * dims)
    assert projects(block) == (channels_in != 8 or stride != 1)


def test_a_dead_branch_lets_the_input_through() -> None:
    block = basic(nn.Conv2d, nn.BatchNorm2d, 4, 4, 1).eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), functional.relu(x))


def test_sum_is_a_module_that_hooks_see() -> None:
    block = basic(nn.Conv2d, nn.BatchNorm2d, 4, 4, 1)
    sums = [m for m in block.modules() if isinstance(m, Sum)]
    seen = []
    sums[0].register_forward_hook(lambda _m, inputs, output: seen.append((inputs, output)))
    block(torch.randn(1, 4, 5, 5))
    (a, b), output = seen[0]
    assert torch.equal(a + b, output)
    assert len(sums) == 1


def test_an_uneven_stride_projects() -> None:
    assert isinstance(shortcut(nn.Conv3d, 4, 4, (1, 1, 1), nn.BatchNorm3d), nn.Identity)
    assert shortcut(nn.Conv3d, 4, 4, (1, 2, 2), nn.BatchNorm3d).conv.stride == (1, 2, 2)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "24")
def test_kaiming_has_the_right_spread_and_repeats() -> None:
    def filled(seed: int) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kaiming_(nn.Sequential(nn.Conv3d(16, 64, 3), nn.BatchNorm3d(64), nn.Linear(512, 64)))

    network = filled(5)
    deviation = (2 / (64 * 27)) ** 0.5
    assert network[0].weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert network[0].weight.mean().item() == pytest.approx(0, abs=0.05 * deviation)
    assert not network[0].bias.any()
    assert network[1].weight.eq(1).all()
    assert network[2].weight.std().item() == pytest.approx(0.01, rel=0.03)
    again, other = filled(5), filled(6)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert not torch.equal(network[0].weight, other[0].weight)
