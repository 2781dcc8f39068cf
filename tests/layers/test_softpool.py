"""SoftPool against loops in NumPy, autograd of the plain formula and finite differences; precision, sizes, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.softpool import SoftPool1d, SoftPool2d, SoftPool3d, soft_pool

POOLS = {1: SoftPool1d, 2: SoftPool2d, 3: SoftPool3d}


def by_hand(x: np.ndarray, kernel: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    """Window by window over the last axes of one channel; padding is left out of each."""
    counts = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape, kernel, stride, padding, strict=True)]
    out = np.zeros(counts)
    for place in itertools.product(*map(range, counts)):
        window = []
        for offset in itertools.product(*map(range, kernel)):
            at = [i * s + o - p for i, s, o, p in zip(place, stride, offset, padding, strict=True)]
            if all(0 <= a < n for a, n in zip(at, x.shape, strict=True)):
                window.append(float(x[tuple(at)]))
        weights = np.exp(np.array(window) - max(window))
        out[place] = (weights / weights.sum() * np.array(window)).sum()
    return out


def plain(x: Tensor, kernel: int, stride: int) -> Tensor:
    """The formula as autograd would have it, 2D without padding."""
    windows = functional.unfold(x, kernel, stride=stride).reshape(*x.shape[:2], kernel**2, -1)
    size = [(n - kernel) // stride + 1 for n in x.shape[2:]]
    return (torch.softmax(windows, 2) * windows).sum(2).reshape(*x.shape[:2], *size)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "25")
@pytest.mark.parametrize(
    ("window", "wanted"), [((1, 2, 3, 4), 3.4926527346), ((-1, 0, 0, 1), 0.4621171573), ((0, 0, 0, 0), 0)]
)
def test_printed_windows(window: tuple[int, ...], wanted: float) -> None:
    x = torch.tensor(window, dtype=torch.float64)
    for pool, shape in (
        (SoftPool1d(4), (1, 1, 4)),
        (SoftPool2d(2), (1, 1, 2, 2)),
        (SoftPool3d((1, 2, 2)), (1, 1, 1, 2, 2)),
    ):
        assert pool(x.reshape(shape)).item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (3, 1, 0), (2, 3, 1), (1, 1, 0)])
def test_twin(dimensions: int, kernel: int, stride: int | None, padding: int) -> None:
    x = 3 * torch.randn(2, 2, *(7, 5, 6)[:dimensions], dtype=torch.float64)
    out = POOLS[dimensions](kernel, stride, padding)(x)
    sizes = tuple((n,) * dimensions for n in (kernel, stride or kernel, padding))
    for b, c in itertools.product(range(2), range(2)):
        np.testing.assert_allclose(out[b, c].numpy(), by_hand(x[b, c].numpy(), *sizes), atol=1e-12)


def test_uneven_windows_and_a_last_one_that_sticks_out() -> None:
    x = torch.randn(1, 1, 4, 5, 7, dtype=torch.float64)
    out = SoftPool3d((1, 3, 2), (2, 1, 2), (0, 1, 0))(x)
    np.testing.assert_allclose(out[0, 0].numpy(), by_hand(x[0, 0].numpy(), (1, 3, 2), (2, 1, 2), (0, 1, 0)), atol=1e-12)
    with_rest = SoftPool2d(2, ceil_mode=True)(x[:, 0])
    assert with_rest.shape == (1, 4, 3, 4)
    assert torch.equal(with_rest[..., -1, -1], x[:, 0, :, -1, -1])
    assert torch.equal(with_rest[..., :2, :3], SoftPool2d(2)(x[:, 0]))
    for kernel, stride, padding in itertools.product((1, 2, 3), (1, 2, 3), (0, 1)):
        if 2 * padding <= kernel:
            wanted = nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)(x[:, 0]).shape
            assert SoftPool2d(kernel, stride, padding, ceil_mode=True)(x[:, 0]).shape == wanted


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "26")
@pytest.mark.parametrize("value", [0.0, -3.7, 1e4, -1e4, 6e4, 1e38])
def test_equal_values_and_large_ones(value: float) -> None:
    x = torch.full((1, 1, 5, 5), value, requires_grad=True)
    for pool in (SoftPool2d(2), SoftPool2d(3, 2, 1)):
        out = pool(x)
        assert torch.equal(out, torch.full_like(out, value))
        (gradient,) = torch.autograd.grad(out.sum(), x)
        assert gradient.isfinite().all()
        assert gradient.sum().item() == pytest.approx(out.numel(), rel=1e-6)
    mixed = torch.tensor([[[[1e4, -1e4], [0.0, 9999.0]]]])
    assert SoftPool2d(2)(mixed).item() == pytest.approx(1e4 - 1 / (1 + np.e), rel=1e-6)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "27")
def test_gradient() -> None:
    """`w_r (1 + a_r - abar)`, what autograd makes of the plain formula, and finite differences."""
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    pool = SoftPool2d(2)
    upstream = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    (ours,) = torch.autograd.grad(pool(x), x, upstream)
    (other,) = torch.autograd.grad(plain(x, 2, 2), x, upstream)
    assert torch.allclose(ours, other, atol=1e-12)
    window = x[0, 0, :2, :2].detach()
    weight = torch.softmax(window.flatten(), 0).reshape(2, 2)
    formula = weight * (1 + window - (weight * window).sum())
    assert torch.allclose(ours[0, 0, :2, :2], upstream[0, 0, 0, 0] * formula, atol=1e-12)
    for other_pool in (pool, SoftPool2d(3, 2, 1), SoftPool2d((3, 2), 1), SoftPool2d(2, ceil_mode=True)):
        assert torch.autograd.gradcheck(other_pool, x[:1, :1])
        assert torch.autograd.gradgradcheck(other_pool, x[:1, :1])
    assert torch.autograd.gradcheck(SoftPool3d(2, 1, 1), x[None, :1, :3].detach().requires_grad_())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "27")
def test_between_mean_and_largest_and_not_monotone() -> None:
    x = 4 * torch.randn(3, 4, 9, 9, dtype=torch.float64)
    for kernel, stride in ((2, 2), (3, 1)):
        out = SoftPool2d(kernel, stride)(x)
        assert (out >= functional.avg_pool2d(x, kernel, stride) - 1e-12).all()
        assert (out <= functional.max_pool2d(x, kernel, stride)).all()
    low, lower = torch.tensor([[[5.0, 0.0]]]), torch.tensor([[[5.0, 2.0]]])
    assert SoftPool1d(2)(lower) < SoftPool1d(2)(low), "a larger input, a smaller mean"


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "28")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_reckons_in_float32_and_gives_the_type_of_its_input(dtype: torch.dtype) -> None:
    x = (20 * torch.randn(2, 3, 8, 8)).to(dtype).requires_grad_()
    for pool in (SoftPool2d(2), SoftPool2d(3, 2, 1)):
        wanted = pool(x.detach().double()).to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            out = pool(x)
        assert out.dtype == dtype
        assert torch.allclose(out, wanted, rtol=torch.finfo(dtype).eps * 2, atol=1e-6)
        out.float().sum().backward()
        assert x.grad.dtype == dtype
        exact = x.detach().double().requires_grad_()
        pool(exact).sum().backward()
        assert torch.allclose(x.grad.double(), exact.grad, rtol=1e-2, atol=1e-2 if dtype.itemsize == 2 else 1e-4)
        x.grad = None


def test_memory_of_the_way_back_is_modest() -> None:
    """The input, and three numbers a window; the plain formula keeps several copies of all windows."""
    kept = []
    x = torch.randn(1, 8, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        SoftPool2d(2)(x)
    assert sum(kept) == x.numel() * (1 + 3 / 4)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(BadValue, match="at least 1"):
        SoftPool2d(0)
    with pytest.raises(BadValue, match="half its window"):
        SoftPool2d(2, 2, 2)
    with pytest.raises(BadValue, match="one number, or 3"):
        SoftPool3d((2, 2))
    with pytest.raises(BadValue, match="2 further axes"):
        SoftPool2d(2)(torch.zeros(1, 4, 4))
    with pytest.raises(BadValue, match="does not fit"):
        SoftPool1d(4)(torch.zeros(1, 1, 3))
    with pytest.raises(BadValue, match="floating-point"):
        soft_pool(torch.zeros(1, 4, dtype=torch.int64), 2, dimensions=1)
    with pytest.raises(BadValue, match="at least 2 axes"):
        soft_pool(torch.zeros(4), 2, dimensions=2)
