"""Learned positions in time for clips of another length: each new frame takes the vector of the nearest old one."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def stretch(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """TimeSformer's `1 x T x D` time positions for another T, as its release does; None for any other tensor."""
    fits = tensor.ndim == 3 and len(shape) == 3 and (tensor.shape[0], tensor.shape[2]) == (shape[0], shape[2])
    if name != "embeddings.time_embeddings" or not fits:
        return None
    return functional.interpolate(tensor.transpose(1, 2), size=shape[1], mode="nearest").transpose(1, 2)
