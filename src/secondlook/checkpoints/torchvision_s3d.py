"""torchvision's S3D (s3d)."""

from __future__ import annotations

from torch import Tensor

from secondlook.checkpoints._inception import with_linear
from secondlook.checkpoints._layout import CLASSIFIER, Layout

_MODULES = {0: "conv_1a", 2: "conv_2b", 3: "conv_2c", 5: "mixed_3b", 6: "mixed_3c"}
_MODULES |= {8 + i: f"mixed_4{letter}" for i, letter in enumerate("bcdef")} | {14: "mixed_5b", 15: "mixed_5c"}


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    return with_linear(file, "classifier.1.weight")


LAYOUT = Layout(
    about="torchvision's S3D",
    rules=(
        (r"^classifier\.1\.", CLASSIFIER),
        *((rf"^features\.{i}\.", f"{name}.") for i, name in _MODULES.items()),
        (r"^(mixed_\d\w\.branch0)\.", r"\1.unit."),
        (r"^(mixed_\d\w\.branch[12])\.0\.", r"\1.reduce."),
        (r"^(mixed_\d\w\.branch[123])\.1\.", r"\1.unit."),
        (r"^(conv_1a|conv_2c|mixed_\d\w\.branch[12]\.unit)\.0\.", r"\1.spatial."),
        (r"^(conv_1a|conv_2c|mixed_\d\w\.branch[12]\.unit)\.1\.", r"\1.temporal."),
        (r"\.0\.weight$", ".conv.weight"),
        (r"\.1\.(\w+)$", r".norm.\1"),
    ),
    recognise=lambda shapes: "features.5.branch0.0.weight" in shapes,
    prepare=_prepare,
)
