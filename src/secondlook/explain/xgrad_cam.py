"""XGrad-CAM: Grad-CAM whose weights count a slope for more where the layer is active; the map adds up to the score.

Fu et al. 2020, "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs": for class `c`
with logit `y_c` and a layer's activations `A`,

    L_c(t, i, j) = ReLU( sum over k of  alpha_k A_k(t, i, j) )
    alpha_k = sum over p of  A_k(p) * dy_c / dA_k(p)  /  sum over p of A_k(p)

Places `p` are all of t, i, j (`weights="channel"`, one weight a channel) or those of one time step
(`weights="channel_time"`). Either way the map before ReLU sums to `sum of A * dy_c/dA`, which is the logit where what
follows the layer is linear without a bias (the axioms of sensitivity and conservation).

A channel that sums to 0 gets the weight 0. The weight is an average of slopes only where activations are >= 0 (after a
ReLU); where they have both signs their sum may be small and a weight as large as it will.

Departs from the source: applied to video in two ways, see above, and the map is divided by its maximum (note `scale`).
"""

from __future__ import annotations

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
    """XGrad-CAM of one clip for one class.

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
    heat_thw = weighted(read.activations_BCthw, read.slope_BCthw, weights)[0].relu()
    return layer_heat("xgrad_cam", heat_thw, read, clip, weights=weights)


def weighted(activations_BCthw: Tensor, gradient_BCthw: Tensor, weights: Weights = "channel") -> Tensor:
    """`sum_k alpha_k A_k` on the layer's own grid, `signed_Bthw`, float32: XGrad-CAM before its ReLU."""
    activations, slope = activations_BCthw.double(), gradient_BCthw.double()
    over = places(weights)
    alpha_BCt11 = divide((activations * slope).sum(dim=over, keepdim=True), activations.sum(dim=over, keepdim=True))
    return (alpha_BCt11 * activations).sum(dim=1).float()
