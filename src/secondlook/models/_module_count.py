"""Operations as module counters of the ptflops kind count them: normalisations, activations and pools are in, too."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip


def module_operations(network: nn.Module, x_CTHW: tuple[int, int, int, int]) -> int:
    """Counts one clip by modules: the convention of `late-temporal-bert`, section 3.6.

    Convolutions: multiply-accumulates, and their bias once an output; batch normalisation: 2 an output; ReLU: 1 an
    output; pools: 1 an input; linear layers as convolutions. Products that are no module (attention, non-local
    affinity) are not counted. `_count.cost` counts them, and leaves normalisations, activations and pools out: the two
    differ by about 1 % on convolutional networks.

    Args:
        network: in evaluation mode while it is counted; cheap on the device `meta`.
        x_CTHW: shape of the clip.
    """
    counted = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        counted += _operations(module, inputs[0], output)

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, _COUNTED)]
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(torch.empty(1, *x_CTHW, device=next(network.parameters()).device))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return counted


_COUNTED: tuple[type[nn.Module], ...] = (*_CONVOLUTIONS, *_NORMS, *_POOLS, nn.ReLU, nn.Linear)


def _operations(module: nn.Module, x: Tensor, y: Tensor) -> int:
    if isinstance(module, _CONVOLUTIONS):
        each = math.prod(module.kernel_size) * module.in_channels // module.groups
        return y.numel() * (each + (module.bias is not None))
    if isinstance(module, nn.Linear):
        return y.numel() * (module.in_features + (module.bias is not None))
    if isinstance(module, _NORMS):
        return 2 * y.numel()
    return y.numel() if isinstance(module, nn.ReLU) else x.numel()
