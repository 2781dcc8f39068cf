"""I3D in PyTorch with branches by number (hassony2/kinetics_i3d_pytorch): RGB and flow."""

from __future__ import annotations

from torch import Tensor

from secondlook.checkpoints._inception import with_counters, with_linear
from secondlook.checkpoints._layout import CLASSIFIER, Layout


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    return with_linear(with_counters(file), "conv3d_0c_1x1.conv3d.weight")


LAYOUT = Layout(
    about="the PyTorch port of I3D with numbered branches (hassony2/kinetics_i3d_pytorch)",
    rules=(
        (r"^conv3d_0c_1x1\.conv3d\.", CLASSIFIER),
        (r"^conv3d_(\d\w)_\dx\d\.", r"conv_\1."),
        (r"\.branch_0\.", ".branch0.unit."),
        (r"\.branch_([12])\.0\.", r".branch\1.reduce."),
        (r"\.branch_([123])\.1\.", r".branch\1.unit."),
        (r"\.conv3d\.", ".conv."),
        (r"\.batch3d\.", ".norm."),
    ),
    recognise=lambda shapes: "mixed_3b.branch_1.0.conv3d.weight" in shapes,
    prepare=_prepare,
    caution=lambda _: (
        "That port pads as TensorFlow does only where T is a multiple of 4 and H and W are multiples of 16; elsewhere "
        "its logits differ a little from these."
    ),
)
