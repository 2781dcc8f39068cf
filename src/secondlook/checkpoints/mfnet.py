"""The MFNet release (cypw/PyTorch-MFNet), 3D; kernels of its 2D network are repeated along time."""

from __future__ import annotations

from secondlook.checkpoints._inception import with_counters
from secondlook.checkpoints._layout import CLASSIFIER, Layout

LAYOUT = Layout(
    about="the MFNet release (cypw/PyTorch-MFNet)",
    rules=(
        (r"^classifier\.", CLASSIFIER),
        (r"^tail\.bn\.", "layer4.norm."),
        (r"^conv1\.conv\.", "stem.conv."),
        (r"^conv1\.bn\.", "stem.norm."),
        *((rf"^conv{i + 1}\.", f"layer{i}.") for i in (1, 2, 3, 4)),
        *((rf"^(layer\d)\.B0{b}\.", rf"\g<1>.{b - 1}.") for b in range(1, 7)),
        (r"\.conv_i([12])\.bn\.", r".multiplexer.norm\1."),
        (r"\.conv_i([12])\.conv\.", r".multiplexer.conv\1."),
        (r"\.conv_m([12])\.bn\.", r".norm\1."),
        (r"\.conv_m([12])\.conv\.", r".conv\1."),
        (r"\.conv_w1\.bn\.", ".shortcut.norm."),
        (r"\.conv_w1\.conv\.", ".shortcut.conv."),
    ),
    recognise=lambda shapes: "conv2.B01.conv_i1.conv.weight" in shapes,
    prepare=with_counters,
)
