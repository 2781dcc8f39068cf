"""torchvision's R3D (r3d_18)."""

from __future__ import annotations

from secondlook.checkpoints._layout import RESNET_TAIL, Layout
from secondlook.checkpoints.stergiou import is_stergiou

LAYOUT = Layout(
    about="torchvision's R3D",
    rules=(
        (r"^stem\.0\.", "stem.conv."),
        (r"^stem\.1\.", "stem.norm."),
        (r"\.conv(\d)\.0\.weight$", r".conv\1.weight"),
        (r"\.conv(\d)\.1\.", r".norm\1."),
        *RESNET_TAIL,
    ),
    recognise=lambda shapes: "stem.0.weight" in shapes and "stem.3.weight" not in shapes and not is_stergiou(shapes),
)
