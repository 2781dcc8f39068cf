"""Inverted residual against its formula, in 2D and 3D, with and without the sum, the widening and a shift."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.inverted_residual import InvertedResidual, joins
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.residual import Sum
from secondlook.layers.temporal_shift import TemporalShift

KINDS = [
    (nn.Conv2d, nn.BatchNorm2d, functional.conv2d, 2),
    (nn.Conv3d, nn.BatchNorm3d, functional.conv3d, 3),
]


@pytest.mark.parametrize(("conv", "norm", "convolve", "dims"), KINDS)
@pytest.mark.parametrize("expansion", [1, 6])
@pytest.mark.parametrize(("channels_in", "stride"), [(8, 1), (8, 2), (6, 1), (6, 2)])
def test_is_the_formula(conv, norm, convolve, dims: int, expansion: int, channels_in: int, stride: int) -> None:
    block = kaiming_(InvertedResidual(conv, channels_in, 8, expansion, stride, norm)).eval()
    for module in block.modules():
        if isinstance(module, norm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    x = torch.randn(2, channels_in, *[5] * dims)
    y = x
    if expansion > 1:
        y = functional.relu6(block.expand.norm(convolve(y, block.expand.conv.weight)))
    inner = channels_in * expansion
    y = convolve(y, block.separable.depthwise.weight, stride=stride, padding=1, groups=inner)
    y = block.norm(convolve(functional.relu6(block.separable.norm(y)), block.separable.pointwise.weight))
    joined = channels_in == 8 and stride == 1
    expected = x + y if joined else y
    assert torch.allclose(block(x), expected, atol=1e-5)
    assert joins(channels_in, 8, stride) == joined == any(isinstance(m, Sum) for m in block.modules())
    widening = expansion > 1
    convolutions = widening * channels_in * inner + inner * 3**dims + inner * 8
    assert sum(p.numel() for p in block.parameters() if p.ndim > 1) == convolutions


def test_what_comes_before_is_in_the_branch_only() -> None:
    shift = TemporalShift(0.25)
    shift.frames = 3
    block = InvertedResidual(nn.Conv2d, 8, 8, 2, 1, nn.BatchNorm2d, before=shift).eval()
    plain = InvertedResidual(nn.Conv2d, 8, 8, 2, 1, nn.BatchNorm2d).eval()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(6, 8, 4, 4)
    moved = shift(x)
    assert torch.allclose(block(x), plain(moved) - moved + x, atol=1e-6)


def test_refuses_to_narrow_inside() -> None:
    with pytest.raises(BadValue, match="expansion must be at least 1"):
        InvertedResidual(nn.Conv2d, 8, 8, 0, 1, nn.BatchNorm2d)
