"""Where the windows of a pool lie, along any axes: how many there are, and a view for each place in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.errors import BadValue


@dataclass(frozen=True)
class Windows:
    """Windows of a size, so far apart, along the last axes of a tensor.

    Raises:
        BadValue: for a window or step below 1, or padding of more than half a window.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    """Places before and after each axis, which count for nothing."""
    ceil: bool = False
    """A last window that sticks out is kept."""

    def __post_init__(self) -> None:
        if not len(self.kernel) == len(self.stride) == len(self.padding):
            raise BadValue((self.kernel, self.stride, self.padding), "a pool needs as many of each as it has axes")
        if min(*self.kernel, *self.stride) < 1:
            raise BadValue((self.kernel, self.stride), "window and stride of a pool must be at least 1")
        if any(not 0 <= 2 * p <= k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise BadValue(self.padding, "padding of a pool must lie between 0 and half its window")

    def counts(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Windows along each axis.

        Raises:
            BadValue: if a side is smaller than its window.
        """
        found = []
        for n, k, s, p in zip(sizes, self.kernel, self.stride, self.padding, strict=True):
            span = n + 2 * p - k
            if span < 0 and not self.ceil:
                raise BadValue(tuple(sizes), f"a window of {k} does not fit", "Give more, or a smaller window.")
            count = (-(-span // s) if self.ceil else span // s) + 1
            found.append(max(1, count - 1 if (count - 1) * s >= n + p else count))  # none starts behind the end
        return tuple(found)

    def padding_of(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Places that are put before and after each axis; none after where the windows end earlier."""
        axes = zip(sizes, self.counts(sizes), self.kernel, self.stride, self.padding, strict=True)
        return [(p, max(0, (count - 1) * s + k - n - p)) for n, count, k, s, p in axes]

    def padded(self, x: Tensor, value: float) -> Tensor:
        """The tensor with its padding; the tensor itself where there is none."""
        around = self.padding_of(x.shape[-len(self.kernel) :])
        if not any(map(any, around)):
            return x
        return functional.pad(x, [n for before_after in reversed(around) for n in before_after], value=value)

    def without_padding(self, wide: Tensor, sizes: Sequence[int]) -> Tensor:
        """The part of a padded tensor that is no padding, a view."""
        around = self.padding_of(sizes)
        return _part(wide, [slice(before, before + n) for (before, _), n in zip(around, sizes, strict=True)])

    def places(self, wide: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """For each place in a window, first to last, a view of what all windows have there."""
        for offsets in itertools.product(*map(range, self.kernel)):
            steps = zip(offsets, counts, self.stride, strict=True)
            yield _part(wide, [slice(o, o + (count - 1) * s + 1, s) for o, count, s in steps])


def axes(value: int | Sequence[int], number: int) -> tuple[int, ...]:
    """One number for all axes, or one an axis.

    Raises:
        BadValue: for another number of numbers.
    """
    found = (value,) * number if isinstance(value, int) else tuple(value)
    if len(found) != number:
        raise BadValue(value, f"must be one number, or {number}")
    return found


def _part(x: Tensor, slices: list[slice]) -> Tensor:
    index: Any = (..., *slices)
    return x[index]


def precise(x: Tensor) -> torch.dtype:
    """The type to reckon in: float32, or the tensor's own where that is finer."""
    return x.dtype if x.dtype == torch.float64 else torch.float32
