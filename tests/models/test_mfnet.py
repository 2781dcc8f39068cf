"""MFNet-3D: counts, sizes of its stages, its plan, and its input recipe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook.layers.multi_fiber import MultiFiberUnit
from secondlook.models import mfnet
from secondlook.models._count import cost, parameters


@pytest.mark.spec("late-temporal-bert", "F33")
def test_is_the_network_of_the_specification() -> None:
    with torch.device("meta"):
        network = mfnet.build("3d", 51)
    assert parameters(network) == 7_727_987
    found = cost(network, mfnet.CARDS["3d"].explain, (3, 16, 224, 224))
    assert [s.output for s in found.stages] == [
        (16, 16, 56, 56),
        (96, 8, 56, 56),
        (192, 8, 28, 28),
        (384, 8, 14, 14),
        (768, 8, 7, 7),
        (51,),
    ]
    units = [[m for m in stage if isinstance(m, MultiFiberUnit)] for stage in list(network.children())[1:5]]
    assert [len(stage) for stage in units] == [3, 4, 6, 3]
    for stage in units:
        assert all(unit.conv1.groups == 16 for unit in stage)
        assert [unit.conv2.groups for unit in stage] == [1] + [16] * (len(stage) - 1)
        assert [isinstance(unit.shortcut, nn.Identity) for unit in stage] == [False] + [True] * (len(stage) - 1)
        assert all(unit.multiplexer.conv1.out_channels == unit.conv1.out_channels // 4 for unit in stage)


@pytest.mark.spec("late-temporal-bert", "F33")
def test_features_are_normalised_and_activated() -> None:
    """Pre-activation units leave that to the end; nothing that the head pools is negative."""
    network = mfnet.build("tiny", 3).eval()
    x_BCTHW = torch.randn(1, 2, 7, 30, 30, generator=torch.Generator().manual_seed(0))
    features = network.features(x_BCTHW)
    assert features.shape[:3] == (1, 64, 4)
    assert (features >= 0).all()
    assert (features == 0).any()


def test_recipe_is_the_release_s() -> None:
    """A pixel is `(p - mean) * 0.0167` on the scale of 0 to 255."""
    clip = mfnet.CARDS["3d"].clip
    for pixel in (0, 100, 255):
        ours = [(pixel / 255 - mean) / std for mean, std in zip(clip.mean, clip.std, strict=True)]
        assert ours == pytest.approx([(pixel - mean) * 0.0167 for mean in (124, 117, 104)])
