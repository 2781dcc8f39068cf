"""torchvision's 2D ResNets (ImageNet); 3D networks of the same plan take them inflated."""

from __future__ import annotations

from secondlook.checkpoints._layout import RESNET, Layout

LAYOUT = Layout(
    about="torchvision's 2D ResNet (ImageNet)",
    rules=((r"^(layer\d\.\d+)\.net\.", r"\1.block."), *RESNET),
    recognise=lambda shapes: (
        {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= shapes.keys() and len(shapes["conv1.weight"]) == 4
    ),
)
