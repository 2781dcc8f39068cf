"""Input times gradient: how much each pixel adds to the class score, if the network were linear around the clip.

    heat(t, i, j) = sum over channels of  x(k, t, i, j) dy_c / dx(k, t, i, j)

with `x` the normalised input, so that a pixel of the mean colour adds nothing (Shrikumar et al. 2016, "Not Just a Black
Box", section 2). Signed. For a network of linear layers and ReLUs without biases the heat sums to the logit. Computed
by Captum (`InputXGradient`).
"""

from __future__ import annotations

from typing import Any

from captum.attr import InputXGradient
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._captum import asked, over_channels
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip


def explain(model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, channels: str = "sum") -> HeatMap:
    """Input times gradient of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        channels: `sum` (signed), `sum_abs` or `max_abs`, see `_captum.over_channels`.

    Returns:
        Heat on the network's input grid, in the source video's frames. Notes: `channels`, `total` (what the values sum
        to, to be compared with `logit`), those of the prediction.

    Raises:
        BadValue: if the label is not a class of the network, or there is no such way to join channels.
    """
    with asked(model, clip, label) as question:
        x_BCTHW = question.x_BCTHW.requires_grad_()
        values_BCTHW = InputXGradient(question.forward).attribute(x_BCTHW, target=label).detach()
        heat_THW = over_channels(values_BCTHW, channels)[0].cpu().numpy()
    notes: dict[str, Any] = {"channels": channels, "total": float(values_BCTHW.sum()), **question.notes()}
    return heat_map(heat_THW, clip, method="input_x_gradient", label=label, **notes)
