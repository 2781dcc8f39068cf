"""Pooling to a grid against plain loops over cells."""

from __future__ import annotations

import math

import pytest
import torch

from secondlook.heads._pool import FramePool, GridPool


@pytest.mark.parametrize(
    "grid", [(None, 1, 1), (6, 1, 1), (3, 1, 1), (1, 1, 1), (2, 2, 3), (4, 3, 2), (8, 5, 8), (None, None, None)]
)
def test_cells(grid: tuple[int | None, int | None, int | None]) -> None:
    x = torch.randn(2, 3, 6, 4, 7)
    assert torch.allclose(GridPool(grid)(x), torch.nn.AdaptiveAvgPool3d(grid)(x), atol=1e-6)
    cells = [size if n is None else n for size, n in zip(x.shape[2:], grid, strict=True)]
    pooled = GridPool(grid)(x)
    assert pooled.shape == (2, 3, *cells)

    def part(i: int, n: int, size: int) -> slice:
        return slice(math.floor(i * size / n), math.ceil((i + 1) * size / n))

    for t in range(cells[0]):
        for h in range(cells[1]):
            for w in range(cells[2]):
                places = x[:, :, part(t, cells[0], 6), part(h, cells[1], 4), part(w, cells[2], 7)]
                assert torch.allclose(pooled[:, :, t, h, w], places.mean((2, 3, 4)), atol=1e-6)


def test_a_vector_a_frame() -> None:
    x = torch.randn(2, 3, 6, 4, 7)
    assert torch.allclose(FramePool()(x), torch.stack([x[:, :, t].mean((2, 3)) for t in range(6)], 1), atol=1e-6)
