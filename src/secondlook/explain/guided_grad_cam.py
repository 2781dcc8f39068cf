"""Guided Grad-CAM: which pixels spoke for the class, guided backpropagation masked by the Grad-CAM of a layer.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", section 3.2:

    heat(t, y, x) = sum over colours of  G(colour, t, y, x)  *  up(L_c)(t, y, x)

`L_c` is the Grad-CAM of a layer (`grad_cam`, same options), `up` its trilinear upsampling to the network's input (the
source's is bilinear, for images). `G` is guided backpropagation (Springenberg et al. 2015) of the logit `y_c` to the
input: the gradient, with what is negative set to 0 on its way back through each ReLU. Computed by Captum.

* `values="signed"` (default): as defined. A negative pixel would have to be darker (lower, after normalising), a
  positive one brighter. Colours may cancel.
* `values="positive"`: what is negative in `G` is set to 0 first, colour by colour.

What holds for guided backpropagation (see `guided_backprop`, whose maths this is): it changes the gradient at `nn.ReLU`
modules, also where one is used several times, and nowhere else. A `torch.relu` or `functional.relu` inside a `forward`,
and every other activation (SiLU, GELU), passes the plain gradient; a network without a single `nn.ReLU` is refused. It
depends little on the class; Grad-CAM is what tells classes apart.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._cam import Weights, check_weights, layer_heat, read_slopes
from secondlook.explain._captum import asked
from secondlook.explain._methods import must_suit
from secondlook.explain._rectifiers import no_rectifiers, rectifier_notes
from secondlook.explain.grad_cam import cam
from secondlook.explain.guided_backprop import guided
from secondlook.video.transform import InputClip

Values = Literal["signed", "positive"]


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Why it says nothing about a network: it has no ReLU whose gradient guided backpropagation could change."""
    return no_rectifiers(model)


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    layer: str = "",
    pathway: str = "",
    weights: Weights = "channel",
    values: Values = "signed",
) -> HeatMap:
    """Guided Grad-CAM of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the default layer and how stages lie in memory.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        layer: layer of the Grad-CAM, any module with an output over places; empty: the last stage of the card.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).
        weights: `channel` or `channel_time`, see `grad_cam`.
        values: `signed` or `positive`, see above.

    Returns:
        Heat of each pixel of the input, in the source video's frames. `module` is the layer of the Grad-CAM. Notes:
        `weights`, `values`, `rectifiers` and `other_activations` (how many there are), `logit`, `confidence`,
        `predicted`, `grid`, `box`, `scale`.

    Raises:
        UnknownName: if there is no such layer.
        BadValue: if the label is not a class of the network, the layer's output has no places, or the network has no
            ReLU module.
    """
    must_suit("guided_grad_cam", model, card)
    check_weights(weights)
    if values not in get_args(Values):
        raise BadValue(values, f"values must be one of {', '.join(get_args(Values))}")
    read = read_slopes(model, card, clip, label, layer, pathway)
    with asked(model, clip, label) as question:
        guided_BCTHW = guided(question)
    heat_Bthw = cam(read.activations_BCthw, read.slope_BCthw, weights)
    heat_THW = masked(guided_BCTHW.relu() if values == "positive" else guided_BCTHW, heat_Bthw)[0]
    notes = {"weights": weights, "values": values, **rectifier_notes(model)}
    return layer_heat("guided_grad_cam", heat_THW, read, clip, **notes)


def masked(guided_BCTHW: Tensor, heat_Bthw: Tensor) -> Tensor:
    """`sum over colours of G`, times the Grad-CAM at the size of the input: `B x T x H x W`, float32."""
    size = tuple(guided_BCTHW.shape[2:])
    upsampled_B1THW = functional.interpolate(heat_Bthw[:, None], size, mode="trilinear", align_corners=False)
    return guided_BCTHW.float().sum(dim=1) * upsampled_B1THW[:, 0]
