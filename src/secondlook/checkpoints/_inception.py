"""What files of I3D, S3D and MFNet need beyond a change of names."""

from __future__ import annotations

import torch
from torch import Tensor


def with_counters(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file with a count of 0 batches for each batch normalisation that has none, as before PyTorch 0.4.1.

    In evaluation nothing reads it.
    """
    ends = "running_mean"
    norms = (name.removesuffix(ends) for name in file if name.endswith(ends))
    return {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms} | file


def with_linear(file: dict[str, Tensor], weight: str) -> dict[str, Tensor]:
    """The file with the weight of that name, of a 1 x 1 x 1 convolution, as that of a linear layer."""
    return {name: tensor.flatten(1) if name == weight else tensor for name, tensor in file.items()}
