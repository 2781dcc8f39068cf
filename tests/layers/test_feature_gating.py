"""Feature gating against plain loops over channels."""

from __future__ import annotations

import math

import pytest
import torch

from secondlook.errors import BadValue
from secondlook.layers.feature_gating import FeatureGating

pytestmark = pytest.mark.spec("late-temporal-bert", "F43")


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_equals_plain_loops(bias: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gating = FeatureGating(5, bias=bias)
        x_BCTHW = torch.randn(2, 5, 3, 4, 2)
    expected = torch.empty_like(x_BCTHW)
    for b in range(2):
        means = [float(x_BCTHW[b, c].sum()) / 24 for c in range(5)]
        for c in range(5):
            product = sum(float(gating.weigh.weight[c, i]) * means[i] for i in range(5))
            product += float(gating.weigh.bias[c]) if bias else 0.0
            expected[b, c] = x_BCTHW[b, c] / (1 + math.exp(-product))
    assert torch.allclose(gating(x_BCTHW), expected, atol=1e-6)


def test_a_gate_is_one_number_a_channel_and_knows_no_place() -> None:
    """Shuffled frames and pixels are gated as they were; a gate lies between 0 and 1."""
    gating = FeatureGating(6)
    x_BCTHW = torch.randn(1, 6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    ratio = (gating(x_BCTHW) / x_BCTHW).flatten(2)
    assert torch.allclose(ratio, ratio[..., :1].expand_as(ratio), atol=1e-5)
    assert (ratio > 0).all()
    assert (ratio < 1).all()
    assert torch.allclose(gating(x_BCTHW.flip(2, 3)), gating(x_BCTHW).flip(2, 3), atol=1e-6)


def test_counts_and_bad_channels() -> None:
    assert sum(p.numel() for p in FeatureGating(7).parameters()) == 7 * 7 + 7
    assert sum(p.numel() for p in FeatureGating(7, bias=False).parameters()) == 7 * 7
    with pytest.raises(BadValue, match="at least one channel"):
        FeatureGating(0)
