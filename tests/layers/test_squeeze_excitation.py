"""Squeeze-and-excitation against a loop in NumPy; widths are rounded as the source rounds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.layers.squeeze_excitation import SqueezeExcitation, rounded


def test_each_channel_is_scaled_by_what_the_means_of_all_say() -> None:
    torch.manual_seed(0)
    gate = SqueezeExcitation(5, 3)
    x_BCTHW = torch.randn(2, 5, 3, 4, 2)
    w1, b1, w2, b2 = (
        p.detach().numpy() for p in (gate.reduce.weight, gate.reduce.bias, gate.expand.weight, gate.expand.bias)
    )
    expected = np.empty(x_BCTHW.shape, np.float32)
    for b, clip in enumerate(x_BCTHW.numpy()):
        mean_C = clip.mean((1, 2, 3))
        hidden = np.maximum(w1[:, :, 0, 0, 0] @ mean_C + b1, 0)
        scale_C = 1 / (1 + np.exp(-(w2[:, :, 0, 0, 0] @ hidden + b2)))
        for c in range(5):
            expected[b, c] = clip[c] * scale_C[c]
    assert np.allclose(gate(x_BCTHW).detach().numpy(), expected, atol=1e-6)


def test_order_and_place_do_not_matter_to_the_gate() -> None:
    gate = SqueezeExcitation(16)
    x_BCTHW = torch.randn(1, 16, 4, 5, 5)
    assert torch.allclose(gate(x_BCTHW.flip(2, 3)), gate(x_BCTHW).flip(2, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("width", "factor", "expected"),
    [
        *((54, 1 / 16, 8), (108, 1 / 16, 8), (216, 1 / 16, 16), (432, 1 / 16, 32), (1, 1.0, 8)),
        *((12, 2.0, 24), (12, 2.9, 32), (24, 2.9, 72), (48, 2.9, 136), (96, 2.9, 280)),
    ],
)
def test_widths_are_multiples_of_eight_and_lose_no_tenth(width: int, factor: float, expected: int) -> None:
    assert rounded(width, factor) == expected
    assert expected >= 0.9 * width * factor


@pytest.mark.parametrize(("channels", "hidden"), [(0, None), (4, 0), (-3, 2)])
def test_counts_that_cannot_be(channels: int, hidden: int | None) -> None:
    with pytest.raises(BadValue, match="at least one channel outside and inside"):
        SqueezeExcitation(channels, hidden)
