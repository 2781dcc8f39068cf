"""Max-pooling with "same" padding against plain loops, and against the ports that pad with zeros."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.layers.same_max_pool import SameMaxPool3d

WINDOWS = [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))]


def by_loops(x_BCTHW: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """The slow twin: each output looks at its own window; TensorFlow's rule says where the first one starts."""
    sizes = x_BCTHW.shape[2:]
    out_sizes = [math.ceil(n / s) for n, s in zip(sizes, stride, strict=True)]
    starts = []
    for n, k, s, out in zip(sizes, kernel, stride, out_sizes, strict=True):
        total = max((out - 1) * s + k - n, 0)
        starts.append(-(total // 2))
    out = torch.empty(*x_BCTHW.shape[:2], *out_sizes)
    for t in range(out_sizes[0]):
        for h in range(out_sizes[1]):
            for w in range(out_sizes[2]):
                bounds = [
                    (max(f + i * s, 0), f + i * s + k)
                    for f, i, s, k in zip(starts, (t, h, w), stride, kernel, strict=True)
                ]
                (t0, t1), (h0, h1), (w0, w1) = bounds
                out[:, :, t, h, w] = x_BCTHW[:, :, t0:t1, h0:h1, w0:w1].amax((2, 3, 4))
    return out


@pytest.mark.parametrize(("kernel", "stride"), [*WINDOWS, ((1, 5, 3), (3, 2, 3)), ((4, 2, 3), (2, 3, 4))])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2), (3, 4, 5), (4, 7, 6), (5, 8, 9)])
def test_equals_plain_loops(sizes: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
    x_BCTHW = torch.randn(2, 3, *sizes, generator=torch.Generator().manual_seed(0)) - 2  # negative: a zero would win
    assert torch.equal(SameMaxPool3d(kernel, stride)(x_BCTHW), by_loops(x_BCTHW, kernel, stride))


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_zeros_around_what_is_not_negative_change_nothing(kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
    x_BCTHW = torch.rand(1, 2, 4, 7, 6, generator=torch.Generator().manual_seed(0))
    sides = []
    for n, k, s in reversed(list(zip(x_BCTHW.shape[2:], kernel, stride, strict=True))):
        total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
        sides += [total // 2, total - total // 2]
    expected = functional.max_pool3d(functional.pad(x_BCTHW, sides), kernel, stride)
    assert torch.equal(SameMaxPool3d(kernel, stride)(x_BCTHW), expected)


def test_refuses_an_even_window_that_moves_by_one() -> None:
    with pytest.raises(BadValue, match="odd width"):
        SameMaxPool3d((2, 3, 3), (1, 1, 1))
