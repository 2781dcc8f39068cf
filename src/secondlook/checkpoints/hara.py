"""Hara's 3D ResNets (kenshohara/3D-ResNets-PyTorch), and the 3D ResNeXts of MARS (craston/MARS), which name alike."""

from __future__ import annotations

from secondlook.checkpoints._layout import RESNET, Layout, Shapes


def _recognise(shapes: Shapes) -> bool:
    stem = shapes.get("conv1.weight", ())
    blocks = any(name.startswith("layer1.0.conv") for name in shapes)
    return blocks and "bn1.weight" in shapes and len(stem) == 5 and stem[2] == 7


def _refuse(shapes: Shapes) -> str:
    if "layer1.0.conv1_s.weight" in shapes or "layer1.0.conv2_s.weight" in shapes:
        return "is Hara's R(2+1)D, whose stem and middle widths are those of none of our networks"
    if "layer2.0.downsample.0.weight" not in shapes:
        return "has shortcuts without weights (type A, padded with zeros), where ours are convolutions (type B)"
    norm, conv = shapes.get("layer2.1.bn1.weight"), shapes.get("layer2.1.conv1.weight")
    if norm and conv and norm[0] != conv[0]:
        return "is a pre-activation ResNet: it normalises before each convolution, and ours after it"
    return ""


def _caution(shapes: Shapes) -> str:
    outputs, inputs = shapes.get("layer1.0.conv2.weight", (1, 1))[:2]
    if outputs != inputs:  # grouped
        return (
            "Names do not tell how pixels were scaled: the ResNeXts of MARS, and Hara's of 2017, saw values of 0 to "
            "255 less a mean, as the card of resnext101 has it."
        )
    return (
        "Names do not tell how pixels were scaled: the cards have what the files of 700 classes were trained on; those "
        "of 400 saw values of 0 to 255 less a mean. Nor do they tell a stem with a stride in time, or without a pool."
    )


LAYOUT = Layout(
    about="Hara's 3D ResNets (kenshohara/3D-ResNets-PyTorch), or MARS's ResNeXt (craston/MARS)",
    rules=RESNET,
    recognise=_recognise,
    refuse=_refuse,
    caution=_caution,
)
