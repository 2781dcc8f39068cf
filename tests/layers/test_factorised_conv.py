"""The (2+1)D convolution: its middle width; one 3D kernel where nothing stands between its factors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.factorised_conv import FactorisedConv, midplanes

TABLE = [(64, 64, 144), (64, 128, 230), (128, 128, 288), (128, 256, 460), (256, 256, 576), (256, 512, 921)]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "21")
@pytest.mark.parametrize(("channels_in", "channels_out", "expected"), [*TABLE, (512, 512, 1152)])
def test_midplanes_of_the_specification(channels_in: int, channels_out: int, expected: int) -> None:
    assert midplanes(channels_in, channels_out) == expected


@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 1), (3, 17), (16, 24), (64, 128), (100, 7)])
def test_midplanes_are_the_most_that_cost_no_more(channels_in: int, channels_out: int) -> None:
    """The slow twin: widen the middle while the two factors have no more weights than the 3 x 3 x 3 kernel."""
    budget = channels_in * channels_out * 27
    m = 0
    while (m + 1) * channels_in * 9 + (m + 1) * channels_out * 3 <= budget:
        m += 1
    assert midplanes(channels_in, channels_out) == m


def test_midplanes_of_nothing() -> None:
    with pytest.raises(BadValue, match="at least one channel"):
        midplanes(0, 8)


@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_without_what_stands_between_it_is_one_3d_kernel(stride: tuple[int, int]) -> None:
    conv = FactorisedConv(3, 5, 4, stride, nn.BatchNorm3d)
    conv.norm, conv.act = nn.Identity(), nn.Identity()
    kernel = torch.einsum("omt,mihw->oithw", conv.temporal.weight[..., 0, 0], conv.spatial.weight[:, :, 0])
    x_BCTHW = torch.randn(2, 3, 7, 6, 5)
    time, space = stride
    expected = functional.conv3d(x_BCTHW, kernel, stride=(time, space, space), padding=1)
    assert torch.allclose(conv(x_BCTHW), expected, atol=1e-5)


def test_has_a_norm_and_an_activation_between() -> None:
    conv = FactorisedConv(3, 5, 4, (1, 1), nn.BatchNorm3d)
    assert [type(m) for m in conv.children()] == [nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.Conv3d]
