"""Figures that others printed of a network, kept beside it: `docs/zoo.md` and a test hold ours against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One printed row: a variant at an input, and what it costs there. A family lists its own in `FIGURES`."""

    variant: str
    classes: int
    input: tuple[int, int, int]
    """T, H, W of the clip."""
    source: str
    """Who printed it: paper, table; repository; specification, section."""
    parameters: int | None = None
    """Exact count, where one is known."""
    millions: str = ""
    """Parameters in millions with the digits that were printed (rounded or cut off), such as "24.328"."""
    gmac: float | None = None
    """Multiply-accumulates of convolutions and matrix products for one clip, in 10^9; ours lie within 0.5 %."""
    in_channels: int = 3
    head: str = ""
    """Late temporal head; empty: the family's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else `build` is given, such as `head_options`."""
    reproducible: bool = True
    """False where no reading of the source gives its figure; then `note` says why, and no test holds it."""
    note: str = ""
