"""Deconvolution: the class score sent back through the network, every ReLU working on the way back as on the way up.

At each ReLU `z = max(a, 0)` the gradient going back is `g_a = max(g_z, 0)`: whether the unit was active does not count
(Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1). Elsewhere it is the
gradient, which is what the paper's switches do at max pools.

Computed by Captum (`Deconvolution`), which needs every ReLU to be a module; in-place ones are fine. It changes the
gradient at the tensor that goes into a ReLU: were that tensor also used elsewhere (a shortcut around the ReLU), the
gradient from there would be lost. Activations other than ReLU (GELU, SiLU) keep their ordinary gradient; the note
`other_activations` counts them.
"""

from __future__ import annotations

from typing import Any

from captum.attr import Deconvolution
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._captum import Asked, asked, over_channels
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._rectifiers import no_rectifiers, rectifier_notes
from secondlook.video.transform import InputClip


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Why deconvolution says nothing about a network: it has no ReLU."""
    return no_rectifiers(model)


def explain(model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, channels: str = "sum") -> HeatMap:
    """Deconvolution of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        channels: `sum` (signed), `sum_abs` or `max_abs`, see `_captum.over_channels`.

    Returns:
        Heat on the network's input grid, in the source video's frames. Notes: `channels`, `rectifiers`,
        `other_activations`, those of the prediction.

    Raises:
        BadValue: if the network has no ReLU, the label is not a class of it, or there is no such way to join channels.
    """
    must_suit("deconvolution", model, card)
    with asked(model, clip, label) as question:
        heat_THW = over_channels(deconvolved(question), channels)[0].cpu().numpy()
    notes: dict[str, Any] = {"channels": channels, **rectifier_notes(model), **question.notes()}
    return heat_map(heat_THW, clip, method="deconvolution", label=label, **notes)


def deconvolved(question: Asked) -> Tensor:
    """What arrives at the input, shaped as it."""
    x_BCTHW = question.x_BCTHW.requires_grad_()
    found: Tensor = Deconvolution(question.model).attribute(x_BCTHW, target=question.label)
    return found.detach()
