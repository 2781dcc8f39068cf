"""torchvision's R(2+1)D (r2plus1d_18); IG-65M's releases have the same names."""

from __future__ import annotations

from secondlook.checkpoints._layout import RESNET_TAIL, Layout
from secondlook.checkpoints.stergiou import is_stergiou

LAYOUT = Layout(
    about="torchvision's R(2+1)D (IG-65M's releases have the same names)",
    rules=(
        (r"^stem\.0\.", "stem.spatial."),
        (r"^stem\.1\.", "stem.norm1."),
        (r"^stem\.3\.", "stem.temporal."),
        (r"^stem\.4\.", "stem.norm2."),
        (r"\.conv(\d)\.0\.0\.", r".conv\1.spatial."),
        (r"\.conv(\d)\.0\.1\.", r".conv\1.norm."),
        (r"\.conv(\d)\.0\.3\.", r".conv\1.temporal."),
        (r"\.conv(\d)\.1\.", r".norm\1."),
        *RESNET_TAIL,
    ),
    recognise=lambda shapes: {"stem.0.weight", "stem.3.weight"} <= shapes.keys() and not is_stergiou(shapes),
    caution=lambda _: (
        "The SRTG repository gives these very names and shapes to a network with a further max-pool after the stem, "
        "which is r3d:r2plus1d-18 here; names cannot tell the two apart, so check where the file comes from."
    ),
)
