"""What a network costs: parameters, multiply-accumulates, and what each stage gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from secondlook import catalog
from secondlook.cards import ExplainPoints, ModelCard
from secondlook.errors import BadValue


@dataclass(frozen=True)
class Stage:
    """One row of a network's summary."""

    module: str
    output: tuple[int, ...]
    """Shape for one clip: C x T x H x W, or K for the logits."""
    parameters: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """A network's size and its work for one clip.

    `macs` counts one multiplication with its addition as one, in convolutions and matrix products only; normalisations,
    activations, pools and sums are left out, as torchvision and most papers do.
    """

    input: tuple[int, ...]
    """C x T x H x W."""
    parameters: int
    macs: int
    stages: tuple[Stage, ...]
    """From input to logits; what lies between two named stages is in none of them."""


def cost(network: nn.Module, points: ExplainPoints, x_CTHW: tuple[int, int, int, int]) -> Cost:
    """Counts a network on one clip of the given shape, in evaluation mode; cheap on the device `meta`.

    Raises:
        BadValue: if the network cannot take such a clip.
    """
    device = next(network.parameters()).device
    outputs: dict[str, Tensor] = {}
    names = [point.module for point in points.stages]
    folded = {point.module for point in points.stages if point.layout == "(BT)CHW"}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.__setitem__(name, output)
        )
        for name in names
    ]
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), _plain_attention(), FlopCounterMode(display=False) as counter:
            logits_BK = network(torch.empty(1, *x_CTHW, device=device))
    except RuntimeError as error:
        raise BadValue(
            x_CTHW, f"this network cannot take such a clip ({error})", "Give more frames or pixels."
        ) from error
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    root = type(network).__name__

    def stage(name: str, shape: tuple[int, ...]) -> Stage:
        work = sum(counts.get(f"{root}.{name}", {}).values()) // 2
        return Stage(name, shape, parameters(network.get_submodule(name)), work)

    stages = []
    for name in names:
        shape = tuple(outputs[name].shape)
        stages.append(stage(name, (shape[1], shape[0], *shape[2:]) if name in folded else shape[1:]))
    if points.classifier:
        stages.append(stage(points.classifier, tuple(logits_BK.shape[1:])))
    return Cost(x_CTHW, parameters(network), counter.get_total_flops() // 2, tuple(stages))


def cost_of(card: ModelCard, num_classes: int) -> Cost:
    """Counts a model by its card, on a clip of the card's recipe, without memory for its weights."""
    clip = card.clip
    with torch.device("meta"):
        shape = {"in_channels": clip.channels, "frames": clip.frames, "height": clip.height, "width": clip.width}
        network = catalog.find("models", card.family).build(
            card.variant, num_classes, card.head, **{**shape, **card.options}
        )
    return cost(network, card.explain, (clip.channels, clip.frames, clip.height, clip.width))


def parameters(network: nn.Module) -> int:
    """Number of learnable values (running means and variances are none)."""
    return sum(p.numel() for p in network.parameters())


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Fused attention, of `nn.MultiheadAttention` and of single calls, hides its products from the counter."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
