"""R3D and R(2+1)D of the SRTG repository (alexandrosstergiou/Squeeze-and-Recursion-Temporal-Gates)."""

from __future__ import annotations

import re

from torch import Tensor

from secondlook.checkpoints._layout import RESNET_TAIL, Layout, Shapes

_R3D = "layer1.0.conv1.0.0.weight"
_BOTTLENECK = "layer1.0.conv3.0.weight"


def is_stergiou(shapes: Shapes) -> bool:
    """Whether the names are this repository's and not torchvision's; those of its R(2+1)D-18 and -34 are both's."""
    if "stem.0.weight" not in shapes:
        return False
    deeper = _R3D in shapes and "stem.3.weight" not in shapes
    bottleneck = _BOTTLENECK in shapes and "layer1.0.conv2.0.0.weight" in shapes
    return deeper or bottleneck or _recurrent(shapes)


def _recurrent(shapes: Shapes) -> bool:
    return any(".sar.lstm." in name for name in shapes)


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives the 3D networks names of their own: in those of (2+1)D, `stem.0` and `conv1.0.0` are spatial factors."""
    if "stem.3.weight" in file:
        return file
    names = {name: re.sub(r"\.(conv\d)\.0\.0\.", r".\1.0.", name) for name in file}
    stem = {"stem.0.": "stem.conv.", "stem.1.": "stem.norm."}
    return {stem.get(names[name][:7], names[name][:7]) + names[name][7:]: tensor for name, tensor in file.items()}


def _refuse(shapes: Shapes) -> str:
    if _recurrent(shapes):
        return "has the recurrent blocks of SRTG (`sar.lstm`), which no network here has"
    if _BOTTLENECK in shapes and shapes[_BOTTLENECK][0] == 4 * shapes["layer1.0.conv1.0.weight"][0]:
        return "has bottlenecks that widen fourfold, as the repository's first state had them; ours are of its last"
    return ""


LAYOUT = Layout(
    about="R3D and R(2+1)D of the SRTG repository (alexandrosstergiou)",
    rules=(
        (r"^stem\.0\.", "stem.spatial."),
        (r"^stem\.1\.", "stem.norm1."),
        (r"^stem\.3\.", "stem.temporal."),
        (r"^stem\.4\.", "stem.norm2."),
        (r"\.conv(\d)\.0\.0\.", r".conv\1.spatial."),
        (r"\.conv(\d)\.0\.1\.", r".conv\1.norm."),
        (r"\.conv(\d)\.0\.3\.", r".conv\1.temporal."),
        (r"\.conv(\d)\.0\.weight$", r".conv\1.weight"),
        (r"\.conv(\d)\.1\.", r".norm\1."),
        *RESNET_TAIL,
    ),
    recognise=is_stergiou,
    prepare=_prepare,
    refuse=_refuse,
    caution=lambda _: (
        "Its stem's kernel sees 3 frames (r3d takes stem_kernel=3). Names do not tell whether a max-pool follows: in "
        "the repository's last state it does, as in r3d; in its first it does not (max_pool=False), nor in resnet3d."
    ),
)
