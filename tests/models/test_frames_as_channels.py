"""Frames as channels: the source's count, layer by layer, and its sums as a plain 2D net's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.models import frames_as_channels
from secondlook.models._count import parameters


def make(variant: str = "tiny", **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return frames_as_channels.build(variant, 5, **options).eval()


@pytest.mark.spec("layerwise-relevance", "R2")
def test_has_75_525_224_parameters() -> None:
    """4,640 + 18,496 + 75,497,984 + 4,104, on maps of 98, 96 and 48 pixels a side."""
    with torch.device("meta"):
        network = frames_as_channels.build("100", 8, in_channels=1)
        x_BCTHW = torch.empty(2, 1, 16, 100, 100)
        assert network(x_BCTHW).shape == (2, 8)
        first = network.conv1.conv(x_BCTHW)
        second = network.conv2.conv(network.conv1.act(first))
        assert (first.shape[3:], second.shape[3:]) == ((98, 98), (96, 96))
        assert network.features(x_BCTHW).shape == (2, 64, 1, 48, 48)
    layers = (network.conv1.conv, network.conv2.conv, network.head.dense, network.head.classifier)
    assert [parameters(layer) for layer in layers] == [4_640, 18_496, 75_497_984, 4_104]
    assert parameters(network) == 75_525_224


@pytest.mark.spec("layerwise-relevance", "R2")
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_is_a_2d_net_on_all_frames_as_channels(channels: int) -> None:
    network = make(in_channels=channels, frames=6, height=21, width=30)
    x_BCTHW = torch.randn(2, channels, 6, 21, 30)
    one, two, head = network.conv1.conv, network.conv2.conv, network.head
    x = functional.relu(functional.conv2d(x_BCTHW.flatten(1, 2), one.weight.flatten(1, 2), one.bias))
    x = functional.max_pool2d(functional.relu(functional.conv2d(x, two.weight[:, :, 0], two.bias)), 2)
    expected = head.classifier(functional.relu(head.dense(x.flatten(1))))
    assert torch.allclose(network(x_BCTHW), expected, atol=1e-5)
    assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-4), "order matters"


def test_takes_exactly_what_it_was_built_for() -> None:
    network = make(in_channels=1, frames=6, height=21, width=30)
    for shape, what in (((5, 21, 30), "6 frames"), ((6, 20, 30), "21 pixels of height"), ((6, 21, 31), "30 pixels of")):
        with pytest.raises(BadValue, match=f"exactly {what}"):
            network(torch.randn(1, 1, *shape))
    anywhere = make(in_channels=1, frames=6, head="average")
    assert anywhere(torch.randn(1, 1, 6, 40, 6)).shape == (1, 5)
    with pytest.raises(BadValue, match="exactly 6 frames"):
        anywhere(torch.randn(1, 1, 7, 40, 6))
    with pytest.raises(BadValue, match="at least 6 pixels"):
        anywhere(torch.randn(1, 1, 6, 40, 5))


def test_refuses_clips_too_small_for_its_kernels() -> None:
    with pytest.raises(BadValue, match="needs 6 pixels"):
        make(height=5)


@pytest.mark.spec("late-temporal-bert", "F48")
def test_the_tiny_one_has_the_same_layers() -> None:
    with torch.device("meta"):
        big = frames_as_channels.build("100", 5)
    tiny = make()
    assert parameters(tiny) < 1e6
    assert [(n, type(m)) for n, m in tiny.named_modules()] == [(n, type(m)) for n, m in big.named_modules()]
