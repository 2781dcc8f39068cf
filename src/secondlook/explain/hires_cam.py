"""HiRes-CAM: which places of a layer the class score really used, weight and activation multiplied place by place.

Grad-CAM averages a channel's slope over places before it multiplies, so that a place can be hot because of slopes
elsewhere. HiRes-CAM does not (Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of
convolutional neural networks"): for class `c` with logit `y_c` and a layer's activations `A`,

    L_c(t, i, j) = ReLU( sum over k of  A_k(t, i, j) * dy_c / dA_k(t, i, j) )

Where what follows the layer is linear, the sum of the map before ReLU is the logit less its bias. There is no mean, and
so there are no two definitions for video.

Departs from the source: like every map here, it is divided by its maximum (note `scale`), not by one per frame.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._cam import layer_heat, read_slopes
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, layer: str = "", pathway: str = ""
) -> HeatMap:
    """HiRes-CAM of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        layer: dotted name of any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).

    Returns:
        Heat in the source video's frames, >= 0. Notes: `logit`, `confidence`, `predicted`, `grid`, `box`, `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    read = read_slopes(model, card, clip, label, layer, pathway)
    heat_thw = contributions(read.activations_BCthw, read.slope_BCthw)[0].relu()
    return layer_heat("hires_cam", heat_thw, read, clip)


def contributions(activations_BCthw: Tensor, gradient_BCthw: Tensor) -> Tensor:
    """`sum_k A_k dy/dA_k` on the layer's own grid, `signed_Bthw`, float32: HiRes-CAM before its ReLU."""
    return (gradient_BCthw.float() * activations_BCthw.float()).sum(dim=1)
