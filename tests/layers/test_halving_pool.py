"""The six poolings of table 5.8 against loops over windows; odd sides, sides of 1, draws that repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondlook.errors import UnknownName
from secondlook.layers.frame_selection import triplet_cosine_numpy
from secondlook.layers.halving_pool import ODD, POOLINGS, HalvingPool, stochastic_pool


def of_window(name: str, values: np.ndarray) -> float:
    if name == "avg":
        return float(values.mean())
    if name == "max":
        return float(values.max())
    weights = np.exp(values - values.max()) if name == "softpool" else np.maximum(values, 0)
    if not weights.sum():
        weights = np.ones_like(values)
    return float((weights * values).sum() / weights.sum())


def by_hand(x_CTHW: np.ndarray, pooling: str, odd: str) -> np.ndarray:
    """Window by window; in the modes with cosines frame by frame, and then the frames that stay."""
    name, _, cosines = pooling.partition("_")
    if odd == "replicate":
        right, low = (n % 2 if n > 1 else 0 for n in (x_CTHW.shape[3], x_CTHW.shape[2]))
        x_CTHW = np.pad(x_CTHW, ((0, 0), (0, 0), (0, low), (0, right)), mode="edge")
    channels, frames, height, width = x_CTHW.shape
    step = 1 if cosines or frames == 1 else 2
    out = np.zeros((channels, frames // step, -(-height // 2), -(-width // 2)))
    for c, t, i, j in np.ndindex(out.shape):
        window = x_CTHW[c, t * step : (t + 1) * step, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        out[c, t, i, j] = of_window(name, window.flatten())
    return out[:, triplet_cosine_numpy(out)[1]] if cosines else out


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "33")
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("shape", [(6, 4, 8), (7, 5, 3), (1, 6, 1), (2, 1, 1), (3, 1, 5)])
def test_twin(pooling: str, odd: str, shape: tuple[int, int, int]) -> None:
    """In evaluation; the stochastic one gives its expectation there."""
    x_BCTHW = torch.randn(3, 2, *shape, dtype=torch.float64)
    out = HalvingPool(pooling, odd).eval()(x_BCTHW)
    frames, height, width = shape
    assert out.shape[2:] == (max(1, frames // 2), -(-height // 2), -(-width // 2))
    for b in range(3):
        np.testing.assert_allclose(out[b].numpy(), by_hand(x_BCTHW[b].numpy(), pooling, odd), atol=1e-10)


def test_stochastic_draws_as_often_as_values_are_large() -> None:
    window = torch.tensor([1.0, 2.0, 0.0, 5.0]).reshape(1, 1, 1, 2, 2).expand(4000, 1, 1, 2, 2)
    drawn = stochastic_pool(window, (1, 2, 2), sample=True, generator=torch.Generator().manual_seed(0)).flatten()
    shares = [(drawn == value).double().mean().item() for value in (1, 2, 0, 5)]
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 0, 5 / 8], atol=0.03)
    wholly_negative = torch.tensor([-1.0, -2.0, -3.0, -4.0]).reshape(1, 1, 1, 2, 2)
    assert stochastic_pool(wholly_negative, (1, 2, 2), sample=False).item() == -2.5
    sides = stochastic_pool(torch.ones(50, 1, 1, 3, 3), (1, 2, 2), sample=True)
    assert torch.equal(sides, torch.ones(50, 1, 1, 2, 2)), "padding is never drawn"
    assert -5 <= stochastic_pool(-torch.rand(9, 1, 1, 3, 3) - 1, (1, 2, 2), sample=True).max() < 0


def test_stochastic_draws_from_torchs_generator_in_training_alone() -> None:
    pool, x_BCTHW = HalvingPool("stochastic"), torch.rand(2, 3, 4, 6, 6, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        one, other = pool(x_BCTHW), pool(x_BCTHW)
        torch.manual_seed(5)
        assert torch.equal(pool(x_BCTHW), one)
        assert not torch.equal(one, other)
        state = torch.get_rng_state()
        pool.eval()(x_BCTHW)
        assert torch.equal(torch.get_rng_state(), state)
    (gradient,) = torch.autograd.grad(one.sum(), x_BCTHW)
    assert set(gradient.flatten().tolist()) == {0.0, 1.0}
    assert gradient.sum() == one.numel()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'softpool'"):
        HalvingPool("softpol")
    with pytest.raises(UnknownName, match="Did you mean 'ceil'"):
        HalvingPool(odd="ceiling")
