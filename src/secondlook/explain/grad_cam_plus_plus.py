"""Grad-CAM++: Grad-CAM whose weights favour small evidence, so that several instances of a thing are all found.

Chattopadhay et al. 2018, "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional Networks",
section 3. The class score is `Y = exp(y_c)` of the logit `y_c`, and what follows the layer is taken as
piecewise linear, so that with `g = dy_c/dA` the derivatives of `Y` are `Y g`, `Y g^2` and `Y g^3`:

    L_c(t, i, j) = ReLU( sum over k of  w_k A_k(t, i, j) )
    w_k = sum over p of  a_k(p) ReLU( g_k(p) )
    a_k(p) = g_k(p)^2 / ( 2 g_k(p)^2 + g_k(p)^3 * sum over q of A_k(q) )  =  1 / ( 2 + g_k(p) * sum over q of A_k(q) )

Places `p` and `q` are all of t, i, j (`weights="channel"`, one weight a channel) or those of one time step
(`weights="channel_time"`, Grad-CAM++ of each time step on its own).

The divisor is at least 2 where it counts (`g > 0`) if activations are >= 0, as they are after a ReLU. At a layer with
activations of both signs it may pass through 0; the source does not foresee that, a divisor of 0 gives `a = 0` here.

Departs from the source: the factor `Y`, the same for all places and channels, is left out, since the map is divided by
its maximum (note `scale`); `a` is written in its second form, which does not underflow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._cam import Weights, check_weights, divide, layer_heat, places, read_slopes
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
    """Grad-CAM++ of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        layer: dotted name of any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).
        weights: `channel` or `channel_time`, see above.

    Returns:
        Heat in the source video's frames, >= 0. Notes: `weights`, `logit`, `confidence`, `predicted`, `grid`, `box`,
        `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    check_weights(weights)
    read = read_slopes(model, card, clip, label, layer, pathway)
    heat_thw = cam(read.activations_BCthw, read.slope_BCthw, weights)[0]
    return layer_heat("grad_cam_plus_plus", heat_thw, read, clip, weights=weights)


def cam(activations_BCthw: Tensor, gradient_BCthw: Tensor, weights: Weights = "channel") -> Tensor:
    """`ReLU(sum_k w_k A_k)` on the layer's own grid.

    Args:
        activations_BCthw: what the layer gives out.
        gradient_BCthw: gradient of the class logit there.
        weights: what shares a weight, and what is summed in the divisor: all of t, h, w, or h, w of a time step.

    Returns:
        `heat_Bthw`, float32, >= 0.
    """
    activations, slope = activations_BCthw.double(), gradient_BCthw.double()
    over = places(weights)
    share_BCthw = divide(torch.ones_like(slope), 2 + slope * activations.sum(dim=over, keepdim=True))
    weight_BCt11 = (share_BCthw * slope.relu()).sum(dim=over, keepdim=True)
    return (weight_BCt11 * activations).sum(dim=1).relu().float()
