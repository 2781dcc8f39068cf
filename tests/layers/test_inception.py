"""The Inception module against its four branches written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.inception import Inception, outputs

WIDTHS = (4, 3, 6, 2, 5, 7)


@torch.no_grad()
@pytest.mark.spec("late-temporal-bert", "F31")
def test_is_its_four_branches_side_by_side() -> None:
    module = Inception(5, WIDTHS).eval()
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm3d)):
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.5)
        norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator))
    x = torch.randn(2, 5, 3, 4, 5, generator=generator)

    def unit(x: Tensor, unit: nn.Module) -> Tensor:
        y = functional.conv3d(x, unit.conv.weight, padding=unit.conv.weight.shape[2] // 2)
        mean, variance = (b.view(1, -1, 1, 1, 1) for b in (unit.norm.running_mean, unit.norm.running_var))
        return ((y - mean) / (variance + 1e-3).sqrt()).clamp(min=0)

    expected = torch.cat(
        [
            unit(x, module.branch0.unit),
            unit(unit(x, module.branch1.reduce), module.branch1.unit),
            unit(unit(x, module.branch2.reduce), module.branch2.unit),
            unit(functional.max_pool3d(x, 3, 1, 1), module.branch3.unit),
        ],
        1,
    )
    assert expected.shape[1] == outputs(WIDTHS) == 22
    assert torch.allclose(module(x), expected, atol=1e-5)


def test_refuses_no_channels() -> None:
    with pytest.raises(BadValue, match="at least one channel everywhere"):
        Inception(5, (4, 3, 0, 2, 5, 7))
