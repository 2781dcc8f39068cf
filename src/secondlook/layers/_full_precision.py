"""Sums over many channels and frames, reckoned without autocast's half precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Autocast is off inside; nothing at all where it was off already, so that an exported program stays free of it."""
    device = x.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def wide(x: Tensor) -> Tensor:
    """The same values in float32, or wider where they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
