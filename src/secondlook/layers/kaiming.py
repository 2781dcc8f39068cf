"""Kaiming initialisation of a whole network.

He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 14, as torchvision's video networks use it.
"""

from __future__ import annotations

from torch import nn


def kaiming_(network: nn.Module) -> nn.Module:
    """Fills the weights of a network anew and gives it back.

    Convolutions: normal with variance `2 / fan_out`; normalisations: 1 and 0; linear layers: normal with deviation
    0.01; biases: 0. Draws from torch's global generator: wrap it in `torch.random.fork_rng` and `manual_seed`.
    """
    for module in network.modules():
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
