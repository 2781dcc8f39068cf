"""The non-local block against its formula in loops over places, and where it starts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.layers.non_local import NonLocal
from secondlook.layers.residual import Sum

Array = npt.NDArray[np.float64]


def opened(channels: int = 6, **options) -> NonLocal:
    """A block that is not the identity: large weights, and a norm as after training."""
    block = NonLocal(channels, **options).double().eval()
    for parameter in block.parameters():
        nn.init.normal_(parameter, 0.0, 0.7)
    if isinstance(block.norm, nn.BatchNorm3d):
        block.norm.running_mean.normal_()
        block.norm.running_var.uniform_(0.5, 2)
    return block


def twin(block: NonLocal, x: Array) -> Array:
    """`z_i = norm(W sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j)) + x_i`, for one clip C x T x H x W, in loops."""

    def project(conv: nn.Conv3d, x: Array) -> Array:
        weight = conv.weight.detach().numpy()[:, :, 0, 0, 0]
        bias = 0.0 if conv.bias is None else conv.bias.detach().numpy()
        return weight @ x + bias

    def pool(x: Array) -> Array:
        channels, frames, height, width = x.shape
        out = np.empty((channels, frames, math.ceil(height / 2), math.ceil(width / 2)))
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                out[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((2, 3))
        return out

    def at_all_places(conv: nn.Conv3d, x: Array) -> Array:
        out = np.empty((conv.out_channels, *x.shape[1:]))
        for place in np.ndindex(x.shape[1:]):
            out[(slice(None), *place)] = project(conv, x[(slice(None), *place)])
        return out

    reduced = isinstance(block.pool, nn.MaxPool3d)
    source = pool(x) if reduced and not block.pool_last else x
    phi, g = at_all_places(block.phi, source), at_all_places(block.g, source)
    if reduced and block.pool_last:
        phi, g = pool(phi), pool(g)
    z = np.empty_like(x)
    for i in np.ndindex(x.shape[1:]):
        here = (slice(None), *i)
        theta = project(block.theta, x[here])
        scores = [theta @ phi[(slice(None), *j)] * block.scale for j in np.ndindex(phi.shape[1:])]
        shares = np.exp(np.array(scores) - max(scores))
        shares /= shares.sum()
        y = sum(share * g[(slice(None), *j)] for share, j in zip(shares, np.ndindex(g.shape[1:]), strict=True))
        out = project(block.out, y)
        if isinstance(block.norm, nn.BatchNorm3d):
            mean, variance = block.norm.running_mean.numpy(), block.norm.running_var.numpy()
            scale, shift = block.norm.weight.detach().numpy(), block.norm.bias.detach().numpy()
            out = (out - mean) / np.sqrt(variance + block.norm.eps) * scale + shift
        z[here] = out + x[here]
    return z


@pytest.mark.spec("late-temporal-bert", "F36")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pool": False},
        {"scaled": True},
        {"norm": False, "bias": False},
        {"inner": 2, "pool_last": True},
    ],
)
@pytest.mark.parametrize("shape", [(3, 4, 6), (2, 5, 3), (1, 1, 1)])
def test_is_its_formula(options: dict[str, object], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    block = opened(**options)
    x_BCTHW = torch.randn(2, 6, *shape, dtype=torch.float64)
    expected = np.stack([twin(block, x) for x in x_BCTHW.numpy()])
    assert np.allclose(block(x_BCTHW).detach().numpy(), expected, atol=1e-9)


@pytest.mark.spec("late-temporal-bert", "F36")
@pytest.mark.parametrize("training", [True, False])
def test_starts_as_the_identity(training: bool) -> None:
    x_BCTHW = torch.randn(2, 8, 3, 5, 4)
    assert torch.equal(NonLocal(8).train(training)(x_BCTHW), x_BCTHW)


@pytest.mark.spec("late-temporal-bert", "F36")
def test_phi_and_g_read_a_quarter_of_the_places() -> None:
    block = NonLocal(4)
    seen: list[torch.Size] = []
    block.phi.register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
    block.theta.register_forward_hook(lambda _m, _i, output: seen.append(output.shape))
    block(torch.randn(1, 4, 3, 6, 8))
    assert seen == [(1, 2, 3, 6, 8), (1, 2, 3, 3, 4)]


def test_the_sum_is_a_module() -> None:
    assert any(isinstance(m, Sum) for m in NonLocal(4).modules())


def test_nothing_to_attend_with() -> None:
    with pytest.raises(BadValue, match="at least one channel"):
        NonLocal(1)
