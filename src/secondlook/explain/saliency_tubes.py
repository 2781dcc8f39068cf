"""Saliency Tubes: where and when the last convolution found what the class is read from; no backward pass.

Stergiou, Kapidis, Kalliatakis, Chrysoulas, Veltkamp and Poppe, "Saliency Tubes: Visual Explanations for
Spatio-Temporal Convolutions", ICIP 2019; `srtg-mtnet-classreg-visualisation`, section 2.13. For channels `a_j` of the
last stage and weights `y_j` of a class in the classifier, over all places R of the map:

    f_j = y_j a_j,  kept where  max over R of f_j  >=  tau
    z_j = (f_j - min over R of f_j) / (max over R of f_j - min over R of f_j)      (equation 7.1; 0 for a constant f_j)
    tube = min-max of  sum over kept j of  spline(z_j)^2

`spline` enlarges to the network's input with cubic splines: rows and columns first, then time. Where it undershoots 0
it is cut at 0. A map of one time step gives a tube that is constant over time.

* `order="spline_then_square"` (default): as the text has it, channel by channel. `order="square_then_spline"`:
  squares are added up on the map's own grid and enlarged once; quick, and not the same.
* `mode="cam"`: what the authors' public script draws, `min-max of spline(sum over all j of f_j)`; no threshold, no
  squares.
* `against`: a second class. The heat is the tube of the label minus the tube of the other, from -1 to 1: what speaks
  for one of two classes that are mixed up, and not for the other.
* `layer`: a Class Regularisation, or the module it stands in or after (section 2.12). Its own weights of the class,
  `relu(P y)`, stand for `y`, and what it gives out is the map. Any other module: the classifier's weights, if it has as
  many channels.

Mind three things. Each channel is brought to [0, 1] before it is squared, so of a weight only its sign (and whether it
is 0) counts. After a ReLU the largest value of a channel with a negative weight is 0 if it is silent anywhere, and with
`tau = 0` such a channel stays, upside down: places where it is silent are hot. A threshold just above 0 (say 1e-9)
drops these channels; the note `upside_down` counts them. And classes that share channels have nearly the same tube.

Departs from the source, which states neither tau nor what is compared with it, nor how splines are continued at
borders: as above, and mirrored (`_spline`). A head that is more than pooling and one linear layer has no weights of
classes over the map's channels and is refused; the note `linear_head` says whether the logits really are
`y . mean(a) + b`. What is stored is the tube after `_project.heat_map`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _tube
from secondlook.explain._class_weights import ClassWeights, class_weights, no_class_weights
from secondlook.explain._hooks import as_batch, explained_logit, fold, logits_of, point_of, predicted_notes, watch
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._spline import resize
from secondlook.explain._tube import Order
from secondlook.video.transform import InputClip

Mode = Literal["tube", "cam"]
NO_CLASS = -1
"""`against` nothing."""


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Why a network has no tube by default: its class weights are not over the channels of its last stage."""
    return no_class_weights(model, card)


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    layer: str = "",
    threshold: float = 0.0,
    order: Order = "spline_then_square",
    mode: Mode = "tube",
    against: int = NO_CLASS,
) -> HeatMap:
    """The Saliency Tube of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the last stage and the classifier.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        layer: a layer with Class Regularisation, or any with the classifier's channels; empty: the last stage.
        threshold: tau; `-inf` keeps every channel.
        order: `spline_then_square` or `square_then_spline`.
        mode: `tube` or `cam`.
        against: a class whose tube is subtracted; -1: none.

    Returns:
        Heat in the source video's frames, from 0 to 1, or signed with `against`. Notes: `order`, `mode`, `threshold`
        (`-inf` as text), `against`, `weights_of` (whose class weights), `channels`, `kept` and
        `upside_down` (how many), `linear_head`, `logit`, `confidence`, `predicted`, `grid`, `box`, `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if a class is none of the network's, the channels do not fit the class weights, or the network has no
            class weights over channels.
    """
    if not layer:
        must_suit("saliency_tubes", model, card)
    _check(order, mode, threshold)
    read = read_map(model, card, clip, class_weights(model, card, layer))
    explained_logit(read.logits_BK, label)
    size_THW = tuple(clip.x_CTHW.shape[1:])
    heat_THW, notes = _of_class(read, label, size_THW, threshold, order, mode)
    if against != NO_CLASS:
        explained_logit(read.logits_BK, against)
        heat_THW = heat_THW - _of_class(read, against, size_THW, threshold, order, mode)[0]
    return heat_map(
        heat_THW.cpu().numpy(),
        clip,
        method="saliency_tubes",
        label=label,
        module=read.weights.module,
        order=order,
        mode=mode,
        threshold=threshold if math.isfinite(threshold) else str(threshold),
        against=against,
        weights_of=read.weights.owner,
        **notes,
        **predicted_notes(read.logits_BK[0], label),
    )


@dataclass(frozen=True)
class Read:
    """A map of one clip with the weights of every class over its channels."""

    weights: ClassWeights
    map_Cthw: Tensor
    logits_BK: Tensor

    @property
    def linear_head(self) -> bool:
        """Whether the logits are what these weights say of the map's mean."""
        found_K = (
            self.weights.of_KC.double() @ self.map_Cthw.double().mean(dim=(1, 2, 3)) + self.weights.bias_K.double()
        )
        logits_K = self.logits_BK[0].double()
        return bool((found_K - logits_K).abs().max() <= 1e-3 * logits_K.abs().max())


def read_map(model: nn.Module, card: ModelCard, clip: InputClip, weights: ClassWeights) -> Read:
    """One forward pass."""
    return read_maps(model, card, clip, {"": weights})[""]


def read_maps(
    model: nn.Module, card: ModelCard, clip: InputClip, weights: Mapping[str, ClassWeights]
) -> dict[str, Read]:
    """One forward pass, for the maps of several layers.

    Raises:
        BadValue: if a layer does not run, its output has no places, or not as many channels as there are weights.
    """
    with watch(model, [w.module for w in weights.values()]) as watched, torch.no_grad():
        logits_BK = logits_of(model, as_batch(model, clip.x_CTHW)).detach()
        found = {}
        for name, wanted in weights.items():
            output = watched.output(wanted.module).detach()
            point = point_of(card, wanted.module)[1]
            map_Cthw = fold(output, point, 1, clip.x_CTHW.shape[1], wanted.module)[0].float()
            channels = wanted.of_KC.shape[1]
            if len(map_Cthw) != channels:
                rule = f"gives {len(map_Cthw)} channels, and the class weights of {wanted.owner} are over {channels}"
                raise BadValue(wanted.module, rule, "Name a layer with as many (--layer).")
            found[name] = Read(wanted, map_Cthw, logits_BK)
    return found


def _of_class(
    read: Read, label: int, size_THW: tuple[int, ...], threshold: float, order: Order, mode: Mode
) -> tuple[Tensor, dict[str, Any]]:
    time, height, width = size_THW
    weight_C = read.weights.of_KC[label]
    notes: dict[str, Any] = {"channels": len(weight_C), "linear_head": read.linear_head}
    if mode == "cam":
        sum_1thw = (weight_C[:, None, None, None] * read.map_Cthw).sum(dim=0, keepdim=True)
        return _tube.min_max(resize(sum_1thw, (time, height, width)))[0], notes
    kept = _tube.keep(read.map_Cthw, weight_C, threshold)
    notes |= {"kept": len(kept.channel_N), "upside_down": int((weight_C[kept.channel_N] < 0).sum())}
    total_THW = _tube.tube(kept.shown_Nthw, (time, height, width), order)
    return _tube.min_max(total_THW[None])[0], notes


def _check(order: str, mode: str, threshold: float) -> None:
    if order not in get_args(Order):
        raise BadValue(order, f"order must be one of {', '.join(get_args(Order))}")
    if mode not in get_args(Mode):
        raise BadValue(mode, f"mode must be one of {', '.join(get_args(Mode))}")
    if math.isnan(threshold):
        raise BadValue(threshold, "threshold must be a number", "Give -inf to keep every channel.")
