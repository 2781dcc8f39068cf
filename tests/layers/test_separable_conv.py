"""Group, depth-wise and separable convolution: 1/K of the weights and of the work, against parts cut out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secondlook.errors import BadValue
from secondlook.layers.separable_conv import SeparableConv, depthwise_conv, group_conv

KINDS = [(nn.Conv2d, nn.BatchNorm2d, 2), (nn.Conv3d, nn.BatchNorm3d, 3)]


def work(module: nn.Module, x: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops() // 2


@pytest.mark.spec("late-temporal-bert", "F39")
@pytest.mark.parametrize(("conv", "norm", "dims"), KINDS)
@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_k_groups_have_one_kth_of_weights_and_work(conv, norm, dims: int, groups: int, stride: int) -> None:
    x = torch.randn(2, 8, *[6] * dims)
    common, grouped = group_conv(conv, 8, 16, 3, 1, stride), group_conv(conv, 8, 16, 3, groups, stride)
    assert [p.shape for p in grouped.parameters()] == [(16, 8 // groups, *[3] * dims)]
    assert groups * grouped.weight.numel() == common.weight.numel()
    assert groups * work(grouped, x) == work(common, x)


@pytest.mark.spec("late-temporal-bert", "F39")
@pytest.mark.parametrize(("conv", "norm", "dims"), KINDS)
def test_groups_are_convolutions_side_by_side(conv, norm, dims: int) -> None:
    grouped = group_conv(conv, 6, 9, 3, 3)
    x = torch.randn(2, 6, *[5] * dims)
    parts = []
    for k in range(3):
        part = conv(2, 3, 3, padding=1, bias=False)
        part.weight = nn.Parameter(grouped.weight[3 * k : 3 * k + 3])
        parts.append(part(x[:, 2 * k : 2 * k + 2]))
    assert torch.allclose(grouped(x), torch.cat(parts, 1), atol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F39")
@pytest.mark.parametrize(("conv", "norm", "dims"), KINDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_lets_no_channel_see_another(conv, norm, dims: int, stride: int) -> None:
    layer = depthwise_conv(conv, 5, 3, stride)
    assert 5 * layer.weight.numel() == group_conv(conv, 5, 5, 3, 1).weight.numel()
    x, y = torch.randn(1, 5, *[7] * dims), torch.randn(1, 5, *[7] * dims)
    y[:, [0, 1, 3, 4]] = x[:, [0, 1, 3, 4]]
    differs = (layer(x) - layer(y)).abs().flatten(2).amax(2)[0] > 0
    assert differs.tolist() == [False, False, True, False, False]
    assert layer(x).shape == (1, 5, *[-(-7 // stride)] * dims)


@pytest.mark.spec("late-temporal-bert", "F39")
@pytest.mark.parametrize(("conv", "norm", "dims"), KINDS)
def test_separable_is_depthwise_then_pointwise(conv, norm, dims: int) -> None:
    """By sums over places and channels, written out; and its weights: C 3^d + C O instead of C O 3^d."""
    layer = SeparableConv(conv, 4, 6, 3, 1, norm, nn.ReLU6).eval()
    x = torch.randn(2, 4, *[4] * dims)
    around = torch.zeros_like(x)
    padded = nn.functional.pad(x, [1] * 2 * dims)
    for offset in torch.cartesian_prod(*[torch.arange(3)] * dims).tolist():
        moved = padded
        for axis, o in enumerate(offset):
            moved = moved.narrow(2 + axis, o, 4)
        weight_C = layer.depthwise.weight[(slice(None), 0, *offset)]
        around = around + moved * weight_C.reshape(1, -1, *[1] * dims)
    rectified = (around / (1 + layer.norm.eps) ** 0.5).clamp(0, 6)
    expected = torch.einsum("bc...,oc->bo...", rectified, layer.pointwise.weight.flatten(1))
    assert torch.allclose(layer(x), expected, atol=1e-5)
    convolutions = layer.depthwise.weight.numel() + layer.pointwise.weight.numel()
    assert convolutions == 4 * 3**dims + 4 * 6
    assert convolutions < group_conv(conv, 4, 6, 3, 1).weight.numel()


@pytest.mark.parametrize(("channels", "groups"), [((6, 8), 4), ((8, 6), 4), ((8, 8), 0), ((8, 8), -1)])
def test_refuses_groups_that_do_not_divide(channels: tuple[int, int], groups: int) -> None:
    with pytest.raises(BadValue, match="groups must divide"):
        group_conv(nn.Conv2d, *channels, 3, groups)


@pytest.mark.parametrize("kernel", [0, 2, 4])
def test_refuses_an_even_kernel(kernel: int) -> None:
    with pytest.raises(BadValue, match="kernel must be odd"):
        depthwise_conv(nn.Conv2d, 4, kernel)
