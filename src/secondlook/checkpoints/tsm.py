"""The TSM release (mit-han-lab/temporal-shift-module): TSN and TSM on 2D ResNets and MobileNetV2, non-local blocks."""

from __future__ import annotations

from secondlook.checkpoints._layout import CLASSIFIER, RESNET, Layout, Shapes
from secondlook.checkpoints._mobilenet import mobilenet_rules


def _caution(shapes: Shapes) -> str:
    if not any(name.startswith("base_model.") for name in shapes):
        return (
            "These are the names of the release's online MobileNetV2, which shifts from the past only, and of the "
            "ImageNet weights it starts from: build mobilenet_v2-online for the first."
        )
    if not any(".net." in name for name in shapes):
        return "No convolution of the file was shifted: it is a TSN; build with shift_fraction=0 to run it so."
    return (
        "Names tell neither the share of shifted channels nor the direction; the release's are one eighth, both ways."
    )


LAYOUT = Layout(
    about="the TSM release (mit-han-lab/temporal-shift-module)",
    rules=(
        (r"^base_model\.", ""),
        (r"^(new_fc|classifier)\.", CLASSIFIER),
        (r"^(layer\d\.\d+)\.net\.", r"\1.block."),
        (r"\.conv1\.net\.", ".conv1."),
        (r"\.nl\.(theta)\.", r".non_local.\1."),
        (r"\.nl\.(g|phi)\.0\.", r".non_local.\1."),
        (r"\.nl\.W\.0\.", ".non_local.out."),
        (r"\.nl\.W\.1\.", ".non_local.norm."),
        *RESNET,
        *mobilenet_rules(
            first={"0": "separable.depthwise", "1": "separable.norm", "3": "separable.pointwise", "4": "norm"},
            others={
                "0.net": "expand.conv",
                "0": "expand.conv",
                "1": "expand.norm",
                "3": "separable.depthwise",
                "4": "separable.norm",
                "6": "separable.pointwise",
                "7": "norm",
            },
        ),
    ),
    recognise=lambda shapes: (
        any(name.startswith("base_model.") for name in shapes)
        or {"features.1.conv.0.weight", "features.18.0.weight"} <= shapes.keys()
    ),
    caution=_caution,
)
