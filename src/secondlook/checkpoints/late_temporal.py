"""The late temporal BERT release (artest08/LateTemporalModeling3DCNN): R(2+1)D-34, I3D, ResNeXt-101, with BERT or not.

Its trunks are the children of a network in an `nn.Sequential`, so that names are `features.{i}.*`; queries, keys and
values are three linear layers, here one. A feature reduction block after the trunk (FRAB) is part of the head `frab`.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from secondlook.checkpoints._layout import CLASSIFIER, RESNET, Layout, Shapes
from secondlook.checkpoints.piergiaj_i3d import LAYOUT as I3D
from secondlook.checkpoints.torchvision_r2plus1d import LAYOUT as R2PLUS1D

_R2PLUS1D_TRUNK = {0: "stem", **{i: f"layer{i}" for i in (1, 2, 3, 4)}}
_RESNEXT_TRUNK = {0: "conv1", 1: "bn1", **{i + 3: f"layer{i}" for i in (1, 2, 3, 4)}}
_I3D_TRUNK = {
    **{0: "Conv3d_1a_7x7", 2: "Conv3d_2b_1x1", 3: "Conv3d_2c_3x3", 5: "Mixed_3b", 6: "Mixed_3c"},
    **{8: "Mixed_4b", 9: "Mixed_4c", 10: "Mixed_4d", 11: "Mixed_4e", 12: "Mixed_4f", 14: "Mixed_5b", 15: "Mixed_5c"},
}
_QKV = re.compile(r"^(bert\.transformer_blocks\.\d+\.attention\.)linear_layers\.0\.(weight|bias)$")


def _trunk(names: Shapes | dict[str, Tensor]) -> dict[int, str]:
    """Names of the trunk's children by their number; empty if it is none that we know."""
    if "features.0.3.weight" in names:
        return _R2PLUS1D_TRUNK
    if "features.0.conv3d.weight" in names:
        return _I3D_TRUNK
    return _RESNEXT_TRUNK if "features.0.weight" in names else {}


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    trunk = _trunk(file)
    after = "then." if any(name.startswith("mapper.") for name in file) else ""
    out = {}
    for name, tensor in _fused(file).items():
        number, _, rest = name.removeprefix("features.").partition(".")
        if name.startswith("bert."):
            out[after + name] = tensor
        elif name.startswith("features.") and number.isdigit() and int(number) in trunk:
            out[f"{trunk[int(number)]}.{rest}"] = tensor
        else:
            out[name] = tensor
    return out


def _fused(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file with queries, keys and values in one tensor, wherever it has all three."""
    out = dict(file)
    for name in file:
        if match := _QKV.match(name):
            names = [f"{match[1]}linear_layers.{i}.{match[2]}" for i in range(3)]
            if len({file[n].shape for n in names if n in file}) == 1 and all(n in file for n in names):
                out[f"{match[1]}qkv.{match[2]}"] = torch.cat([out.pop(n) for n in names])
    return out


def _refuse(shapes: Shapes) -> str:
    if not _trunk(shapes):
        return "has names of this release, and a trunk that is none of R(2+1)D-34, I3D and ResNeXt-101"
    return ""


def _caution(shapes: Shapes) -> str:
    if "bert.clsToken" not in shapes:
        return ""
    frames = shapes.get("bert.embedding.learnedPosition.pe", (1, 1))[1] - 1
    unit = " and unit_tokens=true" if _trunk(shapes) is _I3D_TRUNK else ""
    return (
        f"Its BERT has {frames} frames. Names tell neither how many attention heads it has (the release has 8) "
        "nor that its code computes layer norm with an unbiased deviation and GELU by tanh: build the head with "
        f"as_released=true{unit} to have its very numbers."
    )


LAYOUT = Layout(
    about="the late temporal BERT release (artest08/LateTemporalModeling3DCNN)",
    rules=(
        (r"^(then\.)?bert\.clsToken$", r"head.\1embed.class_token"),
        (r"^(then\.)?bert\.embedding\.learnedPosition\.pe$", r"head.\1embed.positions"),
        (r"^(then\.)?bert\.transformer_blocks\.", r"head.\1encoder.layers."),
        (r"\.attention\.output_linear\.", ".attention.out."),
        (r"\.feed_forward\.w_([12])\.", r".ffn.fc\1."),
        (r"\.input_sublayer\.norm\.a_2$", ".norm1.weight"),
        (r"\.input_sublayer\.norm\.b_2$", ".norm1.bias"),
        (r"\.output_sublayer\.norm\.a_2$", ".norm2.weight"),
        (r"\.output_sublayer\.norm\.b_2$", ".norm2.bias"),
        (r"^mapper\.", "head.unit."),
        (r"^fc_action\.", CLASSIFIER),
        *RESNET,
        *R2PLUS1D.rules,
        *I3D.rules,
    ),
    recognise=lambda shapes: "fc_action.weight" in shapes and any(name.startswith("features.") for name in shapes),
    prepare=_prepare,
    refuse=_refuse,
    caution=_caution,
)
