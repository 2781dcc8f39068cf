"""torchvision's R3D (r3d_18)."""

from __future__ import annotations

from secondlook.checkpoints._layout import RESNET_TAIL, Layout, Shapes


def _refuse(shapes: Shapes) -> str:
    if "layer1.0.conv1.0.0.weight" in shapes:
        return "has the names of the SRTG repository's R3D, whose stem ends in a max-pool that torchvision's has not"
    return ""


LAYOUT = Layout(
    about="torchvision's R3D",
    rules=(
        (r"^stem\.0\.", "stem.conv."),
        (r"^stem\.1\.", "stem.norm."),
        (r"\.conv(\d)\.0\.weight$", r".conv\1.weight"),
        (r"\.conv(\d)\.1\.", r".norm\1."),
        *RESNET_TAIL,
    ),
    recognise=lambda shapes: "stem.0.weight" in shapes and "stem.3.weight" not in shapes,
    refuse=_refuse,
)
