"""The TSM release (mit-han-lab/temporal-shift-module): TSN and TSM on 2D ResNets."""

from __future__ import annotations

from secondlook.checkpoints._layout import CLASSIFIER, RESNET, Layout, Shapes


def _caution(shapes: Shapes) -> str:
    if not any(".net." in name for name in shapes):
        return "No convolution of the file was shifted: it is a TSN; build with shift_fraction=0 to run it so."
    return (
        "Names tell neither the share of shifted channels nor the direction; the release's are one eighth, both ways."
    )


LAYOUT = Layout(
    about="the TSM release (mit-han-lab/temporal-shift-module)",
    rules=(
        (r"^base_model\.", ""),
        (r"^new_fc\.", CLASSIFIER),
        (r"^(layer\d\.\d+)\.net\.", r"\1.block."),
        (r"\.conv1\.net\.", ".conv1."),
        *RESNET,
    ),
    recognise=lambda shapes: any(name.startswith("base_model.") for name in shapes),
    caution=_caution,
)
