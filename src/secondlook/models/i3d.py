"""I3D: Inception-v1 with every kernel inflated to 3D (`rgb`; `flow` with two channels, across and down; `tiny`).

Carreira, Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017;
`late-temporal-bert`, section 1.8. Convolutions and pools pad as TensorFlow's "same" does, so that each gives `ceil` of
its input over its stride; there are no biases but the classifier's, and batch normalisations add 1e-3 to the variance.
T' is T / 8, rounded up, and C is 1024.

The released networks average 2 x 7 x 7 places with a stride of 1 and then the logits of these windows, which is no
global average: of T' frames, the first and the last weigh half. That is the head here; `average` is the global one,
with as many weights. Departs from the release in the momentum of batch normalisations, PyTorch's own 0.1.
Pixels of `rgb` lie in [-1, 1]; `flow` takes flow in pixels, cut off at 20 and divided by 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from torch import nn

from secondlook.cards import ClipSpec, ModelCard
from secondlook.layers.inception import WHOLE
from secondlook.layers.kaiming import kaiming_
from secondlook.models._figures import Figure
from secondlook.models._inception import TINY, InceptionNetwork, Plan, WindowHead
from secondlook.models._request import CommonOptions, request_of
from secondlook.models._staged import TINY_CLIP

PLANS: Mapping[str, Plan] = {"rgb": Plan(), "flow": Plan(), "tiny": TINY}
_HALF = (0.5, 0.5, 0.5)
_CLIP = ClipSpec(frames=64, sampling="dense", short_side=256, height=224, width=224, mean=_HALF, std=_HALF)
_FLOW: Mapping[str, int] = {"in_channels": 2}
CARDS: Mapping[str, ModelCard] = {
    variant: ModelCard(
        f"i3d:{variant}",
        TINY_CLIP if variant == "tiny" else _CLIP,
        plan.points,
        "Carreira and Zisserman, CVPR 2017",
        _FLOW if variant == "flow" else {},
    )
    for variant, plan in PLANS.items()
}


def build(variant: str, num_classes: int, head: str | None = None, **options: Unpack[CommonOptions]) -> nn.Module:
    """A randomly initialised I3D, `x_BCTHW -> logits_BK`.

    Args:
        variant: a name in `CARDS`; `flow` takes 2 channels when nothing else is said.
        num_classes: K.
        head: a file in `heads/`; the release's windows of 2 x 7 x 7 when left out.
        options: see `CommonOptions`.

    Raises:
        UnknownName: for a variant, head or option that does not exist.
        BadValue: for a number that cannot be.
    """
    if variant == "flow":
        options.setdefault("in_channels", _FLOW["in_channels"])
    request = request_of(CARDS, variant, num_classes, head, options)
    plan = PLANS[variant]
    if request.head_name:
        last = request.head(plan.channels, -(-request.frames // 8))
    else:
        last = WindowHead(plan.channels, num_classes, request.dropout)
    return kaiming_(InceptionNetwork(request.in_channels, plan, WHOLE, last))


_SPEC = "late-temporal-bert, section 8: I3D"
_PORT = "piergiaj/pytorch-i3d, counted"
_MORE = "its 111.50 G (102.69 for flow) also count normalisations, activations and pools"
FIGURES: tuple[Figure, ...] = (
    Figure("rgb", 51, (64, 224, 224), _SPEC, parameters=12_339_539, note=_MORE),
    Figure("flow", 51, (64, 224, 224), _SPEC, parameters=12_317_587, in_channels=2, note=_MORE),
    Figure("rgb", 400, (64, 224, 224), _PORT, millions="12.697", gmac=111.15, note="the paper says 108"),
    Figure("rgb", 400, (16, 224, 224), _PORT, millions="12.697", gmac=27.79),
    Figure(
        "rgb",
        51,
        (64, 224, 224),
        "late-temporal-bert, section 8: I3D-BERT; its code, counted",
        parameters=24_946_003,
        gmac=111.26,
        head="bert",
    ),
    Figure(
        "flow",
        51,
        (64, 224, 224),
        "late-temporal-bert, section 8: I3D-BERT",
        parameters=24_924_051,
        in_channels=2,
        head="bert",
    ),
    *(
        Figure(
            variant,
            51,
            (64, 224, 224),
            "late-temporal-bert, section 8: I3D-FRAB-BERT",
            parameters=count,
            in_channels=channels,
            head="frab",
            options={"head_options": {"unit": "inception"}},
        )
        for variant, count, channels in (("rgb", 16_396_355, 3), ("flow", 16_374_403, 2))
    ),
)
