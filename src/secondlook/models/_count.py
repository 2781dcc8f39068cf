"""What a network costs: parameters, multiply-accumulates, and what each stage gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from secondlook import catalog
from secondlook.cards import ExplainPoints, ModelCard
from secondlook.errors import BadValue
from secondlook.models._recogniser import Limits, Recogniser


@dataclass(frozen=True)
class Stage:
    """One row of a network's summary."""

    module: str
    output: tuple[int, ...]
    """Shape for one clip: C x T x H x W, or K for the logits."""
    parameters: int
    macs: int
    layout: str = "BCTHW"
    """How the module's own output lies; `(BT)CHW` where it folds time into the batch. `output` is unfolded."""
    pathway: str = ""


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
    trainable: int = 0
    """Parameters that a gradient changes; the others are frozen."""
    features: tuple[int, ...] = ()
    """C x T x H x W of the map that the head reads; empty for what is no `Recogniser`."""
    limits: Limits = field(default_factory=Limits)
    """Which clips the network can take."""

    @property
    def frozen(self) -> int:
        """Parameters that stay as they are."""
        return self.parameters - self.trainable

    @property
    def tokens(self) -> tuple[int, ...]:
        """T x H x W of the features: the places of the clip that the network tells apart."""
        return self.features[1:]


def cost(network: nn.Module, points: ExplainPoints, x_CTHW: tuple[int, int, int, int]) -> Cost:
    """Counts a network on one clip of the given shape, in evaluation mode; cheap on the device `meta`.

    Raises:
        BadValue: if the network cannot take such a clip.
    """
    device = next(network.parameters()).device
    outputs: dict[str, Tensor] = {}
    names = [point.module for point in points.stages]
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
        features = _features(network, torch.empty(1, *x_CTHW, device=device))
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

    def stage(name: str, shape: tuple[int, ...], **where: str) -> Stage:
        work = sum(counts.get(f"{root}.{name}", {}).values()) // 2
        return Stage(name, shape, parameters(network.get_submodule(name)), work, **where)

    stages = []
    for point in points.stages:
        shape = tuple(outputs[point.module].shape)
        one = (shape[1], shape[0], *shape[2:]) if point.layout == "(BT)CHW" else shape[1:]
        stages.append(stage(point.module, one, layout=point.layout, pathway=point.pathway))
    if points.classifier:
        stages.append(stage(points.classifier, tuple(logits_BK.shape[1:]), layout="BK"))
    return Cost(
        input=x_CTHW,
        parameters=parameters(network),
        macs=counter.get_total_flops() // 2,
        stages=tuple(stages),
        trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        features=features,
        limits=network.limits if isinstance(network, Recogniser) else Limits(),
    )


@torch.no_grad()
def _features(network: nn.Module, x_BCTHW: Tensor) -> tuple[int, ...]:
    return tuple(network.features(x_BCTHW).shape[1:]) if isinstance(network, Recogniser) else ()


def cost_of(card: ModelCard, num_classes: int) -> Cost:
    """Counts a model by its card, on a clip of the card's recipe, without memory for its weights."""
    return cost(on_meta(card, num_classes), card.explain, clip_shape(card))


def on_meta(card: ModelCard, num_classes: int, **options: Any) -> nn.Module:
    """The network of a card on the device `meta`: it has shapes and no values.

    Args:
        card: says family, variant, head, clip and options.
        num_classes: K.
        options: of `build`, before those of the card.
    """
    shape = dict(zip(("in_channels", "frames", "height", "width"), clip_shape(card), strict=True))
    with torch.device("meta"):
        network: nn.Module = catalog.find("models", card.family).build(
            card.variant, num_classes, card.head, **{**shape, **card.options, **options}
        )
    return network


def clip_shape(card: ModelCard) -> tuple[int, int, int, int]:
    """C, T, H, W of the clip of a card's recipe; C as its options say, for what no modality gives (flow)."""
    clip = card.clip
    return int(card.options.get("in_channels", clip.channels)), clip.frames, clip.height, clip.width


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
