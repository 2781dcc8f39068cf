"""Temporal Grad-CAM: which moments of the clip spoke for the class, Grad-CAM added up over each time step's places.

    L_c(t) = sum over i, j of  ReLU( sum over k of  alpha_k(t) A_k(t, i, j) )

with the weights `alpha` of `grad_cam`, in either definition: `weights="channel"` (default), one weight for all time
steps, so that they can be compared, or `weights="channel_time"`, a weight for each. What there is to see is a curve
over the sampled frames, spread evenly over each frame. `label-reassessment`, its future work: temporal Grad-CAM.

A layer whose grid has one time step left says nothing about time; its curve is flat. A grid with fewer steps than
frames gives a smoother curve than the frames have.

Departs from the source, which thinks of masks over frames that are learned for each clip: this is one backward pass.
"""

from __future__ import annotations

from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._cam import Weights, check_weights, layer_heat, read_slopes
from secondlook.explain.grad_cam import cam
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    layer: str = "",
    pathway: str = "",
    weights: Weights = "channel",
) -> HeatMap:
    """Temporal Grad-CAM of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        layer: dotted name of any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).
        weights: `channel` or `channel_time`, see `grad_cam`.

    Returns:
        Heat that is the same all over a frame, >= 0. Notes: `temporal`, `weights`, `logit`, `confidence`, `predicted`,
        `grid` (t, 1, 1), `box`, `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    check_weights(weights)
    read = read_slopes(model, card, clip, label, layer, pathway)
    heat_thw = cam(read.activations_BCthw, read.slope_BCthw, weights)[0]
    heat_t11 = heat_thw.sum(dim=(1, 2), keepdim=True)
    return layer_heat("temporal_grad_cam", heat_t11, read, clip, weights=weights, temporal=True)
