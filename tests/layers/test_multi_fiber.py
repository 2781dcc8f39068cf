"""The multi-fiber unit: who hears whom, what it saves, and against plain convolutions of single fibers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.multi_fiber import MultiFiberUnit, Multiplexer

pytestmark = pytest.mark.spec("late-temporal-bert", "F33")


def lively(module: nn.Module) -> nn.Module:
    """In evaluation mode, with running statistics and scales that are no ones and zeros."""
    generator = torch.Generator().manual_seed(5)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm3d)):
        for tensor in (norm.weight.data, norm.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        for tensor in (norm.bias.data, norm.running_mean):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return module.eval()


def normed(x: Tensor, norm: nn.BatchNorm3d) -> Tensor:
    """`relu(norm(x))` by its formula."""
    shape = (1, -1, 1, 1, 1)
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    return ((x - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)).clamp(min=0)


def in_fibers(x: Tensor, weight: Tensor, fibers: int, stride: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
    """Each fiber convolved by itself."""
    pieces = zip(x.chunk(fibers, 1), weight.chunk(fibers, 0), strict=True)
    return torch.cat([functional.conv3d(one, kernel, None, stride, padding) for one, kernel in pieces], 1)


@pytest.mark.parametrize("first", [True, False])
def test_equals_the_fibers_one_by_one(first: bool) -> None:
    stride = (2, 1, 1) if first else (1, 1, 1)
    unit = lively(MultiFiberUnit(8, 12 if first else 8, 16 if first else 8, 4, stride, first=first))
    x = torch.randn(2, 8, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    plexer = unit.multiplexer
    heard = x + functional.conv3d(
        normed(functional.conv3d(normed(x, plexer.norm1), plexer.conv1.weight), plexer.norm2), plexer.conv2.weight
    )
    y = in_fibers(normed(heard, unit.norm1), unit.conv1.weight, 4, stride, (1, 1, 1))
    y = normed(y, unit.norm2)
    if first:
        shortcut = functional.conv3d(normed(x, unit.shortcut.norm), unit.shortcut.conv.weight, None, stride)
        expected = functional.conv3d(y, unit.conv2.weight) + shortcut
    else:
        expected = in_fibers(y, unit.conv2.weight, 4, (1, 1, 1), (0, 1, 1)) + x
    assert torch.allclose(unit(x), expected, atol=1e-5)


def test_fibers_hear_each_other_through_the_multiplexer_only() -> None:
    unit = lively(MultiFiberUnit(8, 8, 8, 4))
    x = torch.randn(1, 8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, :2] += 1  # the first of four fibers
    changed = (unit(x) - unit(other)).abs().amax((0, 2, 3, 4)) > 1e-6
    assert changed.all()
    nn.init.zeros_(unit.multiplexer.conv2.weight)
    changed = (unit(x) - unit(other)).abs().amax((0, 2, 3, 4)) > 1e-6
    assert changed.tolist() == [True] * 2 + [False] * 6


@pytest.mark.parametrize("k", [2, 4, 8])
def test_the_multiplexer_has_k_halves_times_fewer_weights_than_one_full_convolution(k: int) -> None:
    channels = 96
    plexer = Multiplexer(channels, channels // k)
    weights = plexer.conv1.weight.numel() + plexer.conv2.weight.numel()
    assert nn.Conv3d(channels, channels, 1, bias=False).weight.numel() / weights == k / 2


def test_fibers_divide_the_weights_of_a_convolution_by_their_number() -> None:
    one, sixteen = MultiFiberUnit(96, 96, 96, 1), MultiFiberUnit(96, 96, 96, 16)
    for name in ("conv1", "conv2"):
        assert one.get_submodule(name).weight.numel() == 16 * sixteen.get_submodule(name).weight.numel()


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(BadValue, match="multiples of 3"):
        MultiFiberUnit(9, 9, 10, 3, first=True)
    with pytest.raises(BadValue, match="multiples of 0"):
        MultiFiberUnit(8, 8, 8, 0)
    for channels, stride in ((16, (1, 1, 1)), (8, (1, 2, 2))):
        with pytest.raises(BadValue, match="only the first unit"):
            MultiFiberUnit(8, 8, channels, 4, stride)
    with pytest.raises(BadValue, match="at least one channel"):
        Multiplexer(8, 0)
