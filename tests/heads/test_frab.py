"""FRAB: the unit's weights are those of the source, and the head is the other head over what the unit gives."""

from __future__ import annotations

import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.heads import frab
from secondlook.layers.feature_reduction import reduction_unit
from secondlook.models._count import parameters


def test_units_by_hand() -> None:
    """ResNeXt: 2048 -> 512, groups 32. I3D: 192 | 96 -> 192 | 24 -> 64 | 64, each with a norm."""
    convs = 2048 * 256 + 256 * 256 // 32 * 27 + 256 * 512 + 2048 * 512
    assert parameters(reduction_unit(2048, 512, 32)) == convs + 2 * (256 + 256 + 512 + 512)
    widths = ((1024, 192, 1), (1024, 96, 1), (96, 192, 27), (1024, 24, 1), (24, 64, 27), (1024, 64, 1))
    head = frab.build(1024, 8, 51, unit="inception")
    assert parameters(head.unit) == sum(i * o * k + 2 * o for i, o, k in widths)


@pytest.mark.spec("late-temporal-bert", "F63")
def test_i3d() -> None:
    with torch.device("meta"):
        options = {"unit": "inception"}
        network = catalog.find("models", "i3d").build("rgb", 51, "frab", head_options=options)
    assert parameters(network) == 16_396_355


@pytest.mark.parametrize("unit", frab.UNITS)
def test_the_other_head_over_the_unit(unit: str) -> None:
    head = frab.build(24, 4, 5, unit=unit, width=64, then="concat").eval()
    x_BCTHW = torch.randn(2, 24, 4, 5, 5)
    narrow = head.unit(x_BCTHW)
    assert narrow.shape == (2, 64, 4, 5, 5)
    joined = narrow.mean((3, 4)).transpose(1, 2).flatten(1)
    assert torch.allclose(head(x_BCTHW), joined @ head.classifier.weight.T + head.classifier.bias, atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'inception'"):
        frab.build(24, 4, 5, unit="incepton")
    with pytest.raises(UnknownName):
        frab.build(24, 4, 5, then="frab")
    with pytest.raises(BadValue, match="multiple of 64"):
        frab.build(24, 4, 5, unit="inception", width=100)
    with pytest.raises(BadValue, match="multiple of 32"):
        frab.build(24, 4, 5, width=100, groups=32)
