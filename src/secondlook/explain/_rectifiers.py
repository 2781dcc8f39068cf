"""Which activations of a network are rectifiers, the only ones that guided backpropagation and deconvolution change."""

from __future__ import annotations

from torch import nn

OTHERS = (nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.ELU, nn.SELU, nn.CELU, nn.LeakyReLU, nn.PReLU, nn.ReLU6)
"""Activations that stand where a rectifier could: their gradient stays as it is."""


def no_rectifiers(model: nn.Module) -> str:
    """Why a method that changes the gradient of rectifiers says nothing about a network; empty where it does."""
    if any(isinstance(module, nn.ReLU) for module in model.modules()):
        return ""
    found = sorted({type(module).__name__ for module in model.modules() if isinstance(module, OTHERS)})
    said = f"its activations are {', '.join(found)}" if found else "it has no activations"
    return f"{said}, no ReLU whose gradient could be changed, so this would be the plain gradient"


def rectifier_notes(model: nn.Module) -> dict[str, int]:
    """How many activations are rectifiers, and how many keep their ordinary gradient (`other_activations`)."""
    return {
        "rectifiers": sum(isinstance(module, nn.ReLU) for module in model.modules()),
        "other_activations": sum(isinstance(module, OTHERS) for module in model.modules()),
    }
