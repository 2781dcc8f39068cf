"""Integrated gradients: how much each pixel adds to the class score on the way from an empty clip to this one.

    heat = sum over channels of  (x - x') * integral from 0 to 1 of  dy_c / dx ( x' + a (x - x') )  da

with `x'` an empty clip, the baseline (Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", section
3: a black image for networks that see images). Signed. The heat sums to `y_c(x) - y_c(x')` (completeness) up to an
error of the sum that stands for the integral; the error is kept as note `completeness_error`: where it is a large share
of `gained`, take more steps. Computed by Captum (`IntegratedGradients`, Gauss-Legendre points).
"""

from __future__ import annotations

from typing import Any

from captum.attr import IntegratedGradients
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _blocks
from secondlook.explain._captum import asked, over_channels
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    baseline: str = "black",
    steps: int = 10,
    channels: str = "sum",
    at_once: int = 5,
) -> HeatMap:
    """Integrated gradients of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        baseline: the empty clip: `black`, `mean` or `blur`, see `_blocks.fill`.
        steps: points of the integral (the paper takes 20 to 300).
        channels: `sum` (signed), `sum_abs` or `max_abs`, see `_captum.over_channels`.
        at_once: points in one pass.

    Returns:
        Heat on the network's input grid, in the source video's frames. Notes: the options, `gained`
        (`y_c(x) - y_c(x')`), `completeness_error` (sum of the values, less `gained`), those of the prediction.

    Raises:
        BadValue: if an option is out of range, or the label is not a class of the network.
    """
    if steps < 1 or at_once < 1:
        raise BadValue((steps, at_once), "steps and at_once must be at least 1")
    with asked(model, clip, label) as question:
        x_BCTHW = question.x_BCTHW
        empty_BCTHW = _blocks.fill(x_BCTHW, card.clip, baseline)
        values_BCTHW, error_B = IntegratedGradients(question.forward).attribute(
            x_BCTHW.requires_grad_(),
            baselines=empty_BCTHW,
            target=label,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=min(at_once, steps),
            return_convergence_delta=True,
        )
        heat_THW = over_channels(values_BCTHW, channels)[0].cpu().numpy()
    error = float(error_B[0])
    notes: dict[str, Any] = {"baseline": baseline, "steps": steps, "channels": channels}
    notes |= {"gained": float(values_BCTHW.detach().sum()) - error, "completeness_error": error}
    return heat_map(heat_THW, clip, method="integrated_gradients", label=label, **notes, **question.notes())
