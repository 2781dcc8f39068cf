"""torchvision's MobileNetV2 (ImageNet)."""

from __future__ import annotations

from secondlook.checkpoints._layout import CLASSIFIER, Layout
from secondlook.checkpoints._mobilenet import mobilenet_rules

LAYOUT = Layout(
    about="torchvision's MobileNetV2 (ImageNet)",
    rules=(
        *mobilenet_rules(
            first={"0.0": "separable.depthwise", "0.1": "separable.norm", "1": "separable.pointwise", "2": "norm"},
            others={
                "0.0": "expand.conv",
                "0.1": "expand.norm",
                "1.0": "separable.depthwise",
                "1.1": "separable.norm",
                "2": "separable.pointwise",
                "3": "norm",
            },
        ),
        (r"^classifier\.1\.", CLASSIFIER),
    ),
    recognise=lambda shapes: {"features.1.conv.0.0.weight", "features.18.0.weight"} <= shapes.keys(),
)
