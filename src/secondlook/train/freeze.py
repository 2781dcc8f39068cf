"""Parts of a network that are not trained: their weights stay, and their normalisations keep their statistics."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from secondlook.errors import UnknownName
from secondlook.layers.class_regularisation import modules_beside_class_regularisation

BACKBONE = "backbone"
"""Everything but the head."""
BESIDE = "beside-class-regularisation"
"""Everything but the modules of Class Regularisation."""


def freeze(network: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    """Switches off the gradients of modules by dotted name, and gives the modules.

    Call `hold` after each `network.train()`: batch normalisation would otherwise go on gathering statistics, and
    dropout dropping. `late-temporal-bert`, sections 1.24 and 3.2 (half of the blocks frozen).

    Args:
        network: from `models/`.
        names: such as `stem`, `layer1`, `layer2.0`; or `backbone`, all but the head; or `beside-class-regularisation`.

    Raises:
        UnknownName: if there is no such module; names the nearest.
        BadValue: if all but Class Regularisation is to be frozen, and there is none.
    """
    known = {name: module for name, module in network.named_modules() if name}
    frozen: list[nn.Module] = []
    for name in names:
        if name == BACKBONE:
            frozen += [module for child, module in network.named_children() if child != "head"]
        elif name == BESIDE:
            frozen += [network.get_submodule(part) for part in modules_beside_class_regularisation(network)]
        elif name in known:
            frozen.append(known[name])
        else:
            top = [child for child in known if child.count(".") < 2]
            raise UnknownName(
                "part to freeze", name, (BACKBONE, BESIDE, *top), "`secondlook show models` lists the stages."
            )
    for module in frozen:
        module.requires_grad_(False)
    return tuple(frozen)


def hold(frozen: Sequence[nn.Module]) -> None:
    """Puts frozen modules into evaluation mode."""
    for module in frozen:
        module.eval()


def trainable(network: nn.Module) -> tuple[int, int]:
    """How many of a network's values are trained, and how many there are."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)
