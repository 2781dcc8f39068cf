"""Gradient: how strongly each pixel would move the class score if it changed a little.

    heat(t, i, j) = max over channels of | dy_c / dx(k, t, i, j) |

for class `c` with logit `y_c` (Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks", section 3.1:
the largest magnitude over the colour channels). It says where the network is sensitive, not what speaks for the class:
the sign is dropped. `channels="sum"` keeps it, `channels="sum_abs"` adds magnitudes up. Computed by Captum
(`Saliency`).
"""

from __future__ import annotations

from captum.attr import Saliency
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._captum import Asked, asked, over_channels
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip


def explain(model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, channels: str = "max_abs") -> HeatMap:
    """The gradient of the class logit at the input.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        channels: `max_abs`, `sum_abs` (both >= 0) or `sum` (signed), see `_captum.over_channels`.

    Returns:
        Heat on the network's input grid, in the source video's frames. Notes: `channels`, those of the prediction.

    Raises:
        BadValue: if the label is not a class of the network, or there is no such way to join channels.
    """
    with asked(model, clip, label) as question:
        heat_THW = over_channels(slope(question), channels)[0].cpu().numpy()
    return heat_map(heat_THW, clip, method="gradient", label=label, channels=channels, **question.notes())


def slope(question: Asked) -> Tensor:
    """`dy_c / dx`, shaped as the input."""
    x_BCTHW = question.x_BCTHW.requires_grad_()
    found: Tensor = Saliency(question.forward).attribute(x_BCTHW, target=question.label, abs=False)
    return found.detach()
