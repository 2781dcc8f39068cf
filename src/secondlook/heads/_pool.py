"""Average pooling of a map to a grid, in operations that every exporter knows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class GridPool(nn.Module):
    """`x_BCTHW -> B x C x grid`, each cell the mean of the places that fall into it.

    Args:
        grid: cells in time, height and width; None keeps an axis.
    """

    def __init__(self, grid: tuple[int | None, int | None, int | None]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """The pooled map, as `nn.AdaptiveAvgPool3d` gives it; an axis with fewer places than cells repeats them."""
        sizes = x_BCTHW.shape[2:]
        time, height, width = (s if cells is None else cells for s, cells in zip(sizes, self.grid, strict=True))
        grid = (time, height, width)
        if grid == (sizes[0], 1, 1):
            return x_BCTHW.mean((3, 4), keepdim=True)
        if all(size % cells == 0 for size, cells in zip(sizes, grid, strict=True)):
            kernel = [size // cells for size, cells in zip(sizes, grid, strict=True)]
            return functional.avg_pool3d(x_BCTHW, kernel, kernel)
        for axis, (size, cells) in enumerate(zip(sizes, grid, strict=True), 2):
            if size != cells:
                bounds = [(i * size // cells, -(-(i + 1) * size // cells)) for i in range(cells)]
                parts = [x_BCTHW.narrow(axis, start, end - start).mean(axis) for start, end in bounds]
                x_BCTHW = torch.stack(parts, axis)
        return x_BCTHW

    def extra_repr(self) -> str:
        """Its grid, for printing."""
        return f"grid={self.grid}"


class FramePool(nn.Module):
    """`x_BCTHW -> tokens_BTC`: the mean over each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = GridPool((None, 1, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """One vector a frame."""
        tokens_BTC: Tensor = self.grid(x_BCTHW).flatten(2).transpose(1, 2)
        return tokens_BTC
