"""Grad-CAM: where raising a layer's activations would raise the class score.

For class `c` with logit `y_c` (before softmax) and a layer's activations `A`:

    L_c(t, i, j) = ReLU( sum over k of  alpha_k(t) A_k(t, i, j) )

Two definitions of the weight are in use, and they differ for video:

* `weights="channel"` (default): **one weight a channel**, `alpha_k = mean over t, i, j of dy_c / dA_k(t, i, j)`. The
  same weight holds in every frame, so that frames can be compared. This is the form of `label-reassessment`, section
  1.14 (weight vectors of 256 and 2048), the image form being Selvaraju et al. 2017, equations 1 and 2.
* `weights="channel_time"`: **one weight a channel and time step**, `alpha_k(t) = mean over i, j of
  dy_c / dA_k(t, i, j)`. This is what the public SlowFast code computes: Grad-CAM of each time step on its own.

For one time step (an image network) the two are the same.

Departs from the sources: no min-max per clip is applied to what is stored. The map is divided by its maximum, which is
kept in the notes as `scale`; zero stays zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._cam import Weights, check_weights, layer_heat, places, read_slopes
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
    """Grad-CAM of one clip for one class.

    The network is run once in evaluation mode and is left as it was: see `_hooks.watch`.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain: the given one, the predicted one, or any other.
        layer: dotted name of any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).
        weights: `channel` or `channel_time`, see above.

    Returns:
        Heat in the source video's frames, one map a sampled frame, >= 0, its maximum 1 (or all 0). Notes: `weights`,
        `logit` and `confidence` of the class, `predicted` (index of the highest logit), `grid`, `box`, `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    check_weights(weights)
    read = read_slopes(model, card, clip, label, layer, pathway)
    heat_thw = cam(read.activations_BCthw, read.slope_BCthw, weights)[0]
    return layer_heat("grad_cam", heat_thw, read, clip, weights=weights)


def cam(activations_BCthw: Tensor, gradient_BCthw: Tensor, weights: Weights = "channel") -> Tensor:
    """`ReLU(sum_k alpha_k A_k)` on the layer's own grid.

    Args:
        activations_BCthw: what the layer gives out.
        gradient_BCthw: gradient of the class logit there.
        weights: `channel` (mean of the gradient over t, h, w) or `channel_time` (over h, w).

    Returns:
        `heat_Bthw`, float32, >= 0.
    """
    alpha_BCt11 = gradient_BCthw.float().mean(dim=places(weights), keepdim=True)
    return (alpha_BCt11 * activations_BCthw.float()).sum(dim=1).relu()
