"""Kaiming initialisation of a whole network.

He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 14, as torchvision's video networks use it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def kaiming_(network: nn.Module) -> nn.Module:
    """Fills the weights of a network anew and gives it back.

    Convolutions: normal with variance `2 / fan_out`; normalisations: 1 and 0; linear layers: normal with deviation
    0.01; biases: 0. A module with `initialises_itself = True` is left as it was built, with all that is in it. Draws
    from torch's global generator: wrap it in `torch.random.fork_rng` and `manual_seed`.
    """
    for module in _open_modules(network):
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def _open_modules(module: nn.Module) -> Iterator[nn.Module]:
    if getattr(module, "initialises_itself", False):
        return
    yield module
    for child in module.children():
        yield from _open_modules(child)
