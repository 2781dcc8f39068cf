"""Causal and "same" padded layers against loops; that no frame sees a later one; and that pieces give the whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.layers.causal_conv import CausalConv3d, CausalMean
from secondlook.layers.causal_squeeze import SqueezeExcitation
from secondlook.layers.same_padding import SameAvgPool, SameConv3d, same_padding

Make = Callable[[], nn.Module]
CAUSAL: dict[str, Make] = {
    "time": lambda: CausalConv3d(4, 4, (5, 1, 1), groups=4),
    "box": lambda: CausalConv3d(4, 6, (3, 3, 3), (1, 2, 2), bias=True),
    "space": lambda: CausalConv3d(4, 4, (1, 3, 3)),
    "mean": CausalMean,
    "squeeze": lambda: SqueezeExcitation(4, 8, nn.SiLU, nn.Sigmoid, causal=True),
}


def clip(frames: int = 7, height: int = 5, width: int = 6) -> Tensor:
    return torch.randn(2, 4, frames, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 5, 6, 11])
def test_same_padding_is_the_least_that_gives_the_ceiling(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1
    if before + after:
        assert (size + before + after - 1 - kernel) // stride + 1 < -(-size // stride)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups"),
    [
        ((1, 3, 3), (1, 2, 2), 1),
        ((1, 5, 5), (1, 2, 2), 4),
        ((1, 3, 3), (1, 1, 1), 4),
        ((3, 1, 1), (1, 1, 1), 4),
        ((5, 1, 1), (2, 1, 1), 4),
        ((2, 1, 1), (1, 1, 1), 4),
        ((3, 3, 3), (1, 2, 2), 2),
        ((2, 2, 2), (2, 2, 2), 1),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(5, 6), (8, 3), (1, 1)])
def test_same_conv(
    kernel: tuple[int, int, int], stride: tuple[int, int, int], groups: int, height: int, width: int
) -> None:
    """As a padded plain convolution, whichever way it is computed, values and gradients."""
    conv = SameConv3d(4, 8 if groups < 4 else 4, kernel, stride, groups=groups, bias=True)
    x = clip(7, height, width).requires_grad_()
    sides = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    padded = functional.pad(x, [n for side in reversed(sides) for n in side])
    expected = functional.conv3d(padded, conv.weight, conv.bias, stride, groups=groups)
    got = conv(x)
    assert got.shape[2:] == tuple(-(-n // s) for n, s in zip(x.shape[2:], stride, strict=True))
    assert torch.allclose(got, expected, atol=1e-5)
    weight = torch.randn(expected.shape)
    parts = (x, conv.weight, conv.bias)
    for a, b in zip(
        torch.autograd.grad((got * weight).sum(), parts), torch.autograd.grad((expected * weight).sum(), parts),
        strict=True,
    ):  # fmt: skip
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("height", range(1, 7))
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_same_pool_is_the_mean_of_the_places_inside(height: int, width: int) -> None:
    x = clip(2, height, width)
    got = SameAvgPool()(x).numpy()
    assert got.shape == (2, 4, 2, -(-height // 2), -(-width // 2))
    top, left = same_padding(height, 3, 2)[0], same_padding(width, 3, 2)[0]
    for y, across in np.ndindex(got.shape[3:]):
        rows = [r for r in range(2 * y - top, 2 * y - top + 3) if 0 <= r < height]
        columns = [c for c in range(2 * across - left, 2 * across - left + 3) if 0 <= c < width]
        mean = x[..., rows, :][..., columns].mean((3, 4)).numpy()
        np.testing.assert_allclose(got[..., y, across], mean, atol=1e-6)


def test_causal_conv_is_what_loops_compute() -> None:
    conv, x = CausalConv3d(4, 4, (3, 1, 1), groups=4), clip()
    y = torch.zeros_like(x)
    for t in range(7):
        for i in range(3):
            if t - 2 + i >= 0:
                y[:, :, t] += conv.weight[:, 0, i, 0, 0][:, None, None] * x[:, :, t - 2 + i]
    assert torch.allclose(conv(x), y, atol=1e-6)


def test_causal_mean_is_the_mean_so_far() -> None:
    x, y = clip(), CausalMean()(clip())
    for t in range(7):
        assert torch.allclose(y[:, :, t], x[:, :, : t + 1].mean(2), atol=1e-6)


def test_squeeze_is_what_it_says() -> None:
    x = clip()
    for causal in (False, True):
        gate = SqueezeExcitation(4, 8, nn.SiLU, nn.Sigmoid, causal=causal)
        w1, w2 = gate.reduce.weight.flatten(1), gate.expand.weight.flatten(1)
        for t in range(7):
            mean = x[:, :, : t + 1 if causal else 7].mean((2, 3, 4))
            read = torch.cat((mean, x[:, :, t].mean((2, 3))), 1) if causal else mean
            hidden = functional.silu(read @ w1.T + gate.reduce.bias)
            factor = torch.sigmoid(hidden @ w2.T + gate.expand.bias)
            assert torch.allclose(gate(x)[:, :, t], x[:, :, t] * factor[:, :, None, None], atol=1e-6)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("changed", [0, 3, 6])
def test_no_frame_sees_a_later_one(name: str, changed: int) -> None:
    layer, x, y = CAUSAL[name](), clip(), clip()
    y[:, :, changed] += 1
    differs = (layer(x) - layer(y)).abs().amax((0, 1, 3, 4)) > 1e-6
    assert not differs[:changed].any()
    assert differs[changed]


@pytest.mark.parametrize("pieces", [[1] * 7, [3, 1, 1, 2], [5, 2], [7]])
@pytest.mark.parametrize("name", CAUSAL)
def test_pieces_give_the_whole(name: str, pieces: list[int]) -> None:
    layer = CAUSAL[name]()
    keeper = layer.mean if isinstance(layer, SqueezeExcitation) else layer
    assert keeper is not None
    x, said, past = clip(), [], None
    for piece in x.split(pieces, 2):
        keeper.past, keeper.remember = past, True
        said.append(layer(piece))
        past = keeper.last
    assert torch.allclose(torch.cat(said, 2), whole(layer, keeper, x), atol=1e-5)


def whole(layer: nn.Module, keeper: nn.Module, x: Tensor) -> Tensor:
    """What the layer says of all frames at once."""
    keeper.past, keeper.remember = None, False
    return layer(x)
