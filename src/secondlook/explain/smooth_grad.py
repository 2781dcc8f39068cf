"""SmoothGrad: the gradient of many noisy copies of the clip, averaged, so that its grain goes.

    heat(t, i, j) = sum over channels of  | 1/n  sum over s of  dy_c / dx ( x + e_s ) |,    e_s ~ N(0, sigma^2)

with `sigma = noise * (max x - min x)` of the clip (Smilkov et al. 2017, "SmoothGrad", sections 2 and 3.2: noise of 10
to 20 percent, 50 copies; magnitudes, as gradients of either sign tell an object from its ground).
`kind="smoothgrad_sq"` averages squares (Hooker et al. 2019), `kind="vargrad"` takes the variance (Adebayo et al. 2018).
Computed by Captum (`NoiseTunnel`), which draws from the global generator: here it starts from `seed`, and is put back.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from captum.attr import NoiseTunnel, Saliency
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._captum import asked, over_channels, seeded
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip

Kind = Literal["smoothgrad", "smoothgrad_sq", "vargrad"]


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    samples: int = 8,
    noise: float = 0.15,
    kind: str = "smoothgrad",
    channels: str = "sum_abs",
    seed: int = 0,
    at_once: int = 4,
) -> HeatMap:
    """SmoothGrad of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        samples: n, noisy copies (the paper's figures use 50).
        noise: standard deviation of the noise, as a share of the clip's range of values.
        kind: `smoothgrad`, `smoothgrad_sq` or `vargrad`.
        channels: `sum_abs`, `max_abs` or `sum` (signed for `smoothgrad`), see `_captum.over_channels`.
        seed: of the noise.
        at_once: noisy copies in one pass.

    Returns:
        Heat on the network's input grid, in the source video's frames. Notes: the options, `sigma`, those of the
        prediction.

    Raises:
        BadValue: if an option is out of range, or the label is not a class of the network.
    """
    if kind not in get_args(Kind):
        raise BadValue(kind, f"kind must be one of {', '.join(get_args(Kind))}")
    if samples < 1 or at_once < 1:
        raise BadValue((samples, at_once), "samples and at_once must be at least 1")
    if not noise > 0:
        raise BadValue(noise, "noise must be above 0", "Without noise this is the method `gradient`.")
    with asked(model, clip, label) as question, seeded(seed):
        x_BCTHW = question.x_BCTHW.requires_grad_()
        sigma = noise * float(x_BCTHW.detach().max() - x_BCTHW.detach().min())
        values_BCTHW = NoiseTunnel(Saliency(question.forward)).attribute(
            x_BCTHW,
            nt_type=kind,
            nt_samples=samples,
            nt_samples_batch_size=min(at_once, samples),
            stdevs=sigma,
            target=label,
            abs=False,
        )
        heat_THW = over_channels(values_BCTHW, channels)[0].cpu().numpy()
    notes: dict[str, Any] = {
        "samples": samples,
        "noise": noise,
        "kind": kind,
        "channels": channels,
        "seed": seed,
        "sigma": sigma,
    }
    return heat_map(heat_THW, clip, method="smooth_grad", label=label, **notes, **question.notes())
