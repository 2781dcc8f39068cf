"""Layers that look back in time, and what they keep of a video that is fed to them piece by piece."""

from __future__ import annotations

from typing import Any


class Remembering:
    """A layer whose output for a frame needs something of the frames before it, and nothing of those after it.

    Each clip stands alone, unless `past` says what came before it. Mix it in before `nn.Module`. See
    `models._streaming.Stream`, which puts the values in and takes them out.
    """

    past: Any = None
    """What the layer keeps of all that came before, a tensor or a tuple; None for nothing."""
    last: Any = None
    """What `past` must be for the frames that follow those of the latest pass; kept only where `remember` is set."""
    remember: bool = False
