"""What every method of the CAM family reads: a layer's activations and the slope of a class logit there, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._hooks import (
    as_batch,
    explained_logit,
    fold,
    gradient,
    logits_of,
    point_of,
    predicted_notes,
    watch,
)
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip

Weights = Literal["channel", "channel_time"]
_NOTHING = 1e-12
"""A divisor smaller than this counts as 0."""


@dataclass(frozen=True)
class Slopes:
    """A layer as a class logit sees it, for a batch of one clip."""

    module: str
    label: int
    activations_BCthw: Tensor
    slope_BCthw: Tensor
    """Gradient of the class logit at the activations."""
    logits_BK: Tensor


def read_slopes(
    model: nn.Module, card: ModelCard, clip: InputClip, label: int, layer: str = "", pathway: str = ""
) -> Slopes:
    """Runs the network forward once, and backward from one class logit to one layer; see `_hooks.watch`.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets.
        label: class index.
        layer: dotted name of any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    name, point = point_of(card, layer, pathway)
    with watch(model, [name]) as watched:
        x_BCTHW = as_batch(model, clip.x_CTHW)
        logits_BK = logits_of(model, x_BCTHW)
        score = explained_logit(logits_BK, label)
        output = watched.output(name)
        slope = gradient(score, output, name)
        frames = x_BCTHW.shape[2]
        return Slopes(
            name,
            label,
            fold(output.detach(), point, 1, frames, name),
            fold(slope, point, 1, frames, name),
            logits_BK.detach(),
        )


def layer_heat(method: str, heat_thw: Tensor, read: Slopes, clip: InputClip, **notes: Any) -> HeatMap:
    """The heat map of a method, from heat on the layer's own grid."""
    return heat_map(
        heat_thw.cpu().numpy(),
        clip,
        method=method,
        label=read.label,
        module=read.module,
        **notes,
        **predicted_notes(read.logits_BK[0], read.label),
    )


def places(weights: Weights) -> tuple[int, ...]:
    """Dimensions of `A_BCthw` that share a weight: t, h, w (`channel`) or h, w (`channel_time`)."""
    return (2, 3, 4) if weights == "channel" else (3, 4)


def check_weights(weights: str) -> None:
    """Refuses another word.

    Raises:
        BadValue: if it is neither `channel` nor `channel_time`.
    """
    if weights not in get_args(Weights):
        raise BadValue(weights, f"weights must be one of {', '.join(get_args(Weights))}")


def divide(above: Tensor, below: Tensor) -> Tensor:
    """`above / below`; 0 where nothing is below."""
    some = below.abs() > _NOTHING
    return torch.where(some, above / torch.where(some, below, 1.0), 0.0)
