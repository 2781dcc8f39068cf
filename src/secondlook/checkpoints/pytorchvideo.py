"""PyTorchVideo: Slow, C2D and I3D ResNets, SlowFast, X3D, CSN and the bottleneck R(2+1)D."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from secondlook.checkpoints._layout import CLASSIFIER, Layout, Shapes

_BARE_SHORTCUT = "blocks.1.res_blocks.0.branch1_conv.weight"
_ITS_NORM = "blocks.1.res_blocks.0.branch1_norm."
_EPS = 1e-5


def _is_x3d(names: Shapes | dict[str, Tensor]) -> bool:
    return "blocks.5.pool.pre_conv.weight" in names


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """Counts stages of C2D and I3D without the pool between; gives X3D's bare shortcut a norm that does nothing.

    `w (x - 0) / sqrt(1 + eps) + 0 = x` for `w = sqrt(1 + eps)`.
    """
    has_pool = "blocks.6.proj.weight" in file and not any(".multipathway_" in name for name in file)
    if has_pool:
        file = {
            re.sub(r"^blocks\.([3-6])\.", lambda m: f"blocks.{int(m[1]) - 1}.", name): tensor
            for name, tensor in file.items()
        }
    if _is_x3d(file) and _BARE_SHORTCUT in file and f"{_ITS_NORM}weight" not in file:
        ones = torch.ones_like(file[_BARE_SHORTCUT][:, 0, 0, 0, 0])
        file = file | {
            f"{_ITS_NORM}weight": ones * (1 + _EPS) ** 0.5,
            f"{_ITS_NORM}bias": torch.zeros_like(ones),
            f"{_ITS_NORM}running_mean": torch.zeros_like(ones),
            f"{_ITS_NORM}running_var": ones.clone(),
            f"{_ITS_NORM}num_batches_tracked": torch.tensor(0, device=ones.device),
        }
    return file


def _caution(shapes: Shapes) -> str:
    if _is_x3d(shapes) and f"{_ITS_NORM}weight" not in shapes:
        return (
            "PyTorchVideo's X3D has no normalisation in the shortcut of its first stage; ours starts as one that does "
            "nothing, and normalises by the batch once it is trained further."
        )
    return ""


LAYOUT = Layout(
    about="PyTorchVideo (facebookresearch/pytorchvideo)",
    rules=(
        (r"^blocks\.(\d)\.multipathway_blocks\.0\.", r"slow.blocks.\1."),
        (r"^blocks\.(\d)\.multipathway_blocks\.1\.", r"fast.blocks.\1."),
        (r"^blocks\.0\.multipathway_fusion\.", "lateral.stem."),
        (r"^blocks\.(\d)\.multipathway_fusion\.", r"lateral.layer\1."),
        (r"\.conv_fast_to_slow\.", ".conv."),
        (r"(^|\.)blocks\.0\.conv\.conv_t\.", r"\1stem.conv."),  # X3D: the names of its two factors are swapped
        (r"(^|\.)blocks\.0\.conv\.conv_xy\.", r"\1stem.temporal."),
        (r"(^|\.)blocks\.0\.", r"\1stem."),
        (r"(^|\.)blocks\.(\d)\.res_blocks\.", r"\1layer\2."),
        (r"\.branch1_(conv|norm)\.", r".shortcut.\1."),
        (r"\.norm_b\.0\.", ".norm_b."),
        (r"\.norm_b\.1\.block\.0\.", ".se.reduce."),
        (r"\.norm_b\.1\.block\.2\.", ".se.expand."),
        (r"\.conv_b\.conv_t\.", ".conv2.temporal."),
        (r"\.conv_b\.conv_xy\.", ".conv2.spatial."),
        (r"\.conv_b\.norm\.", ".conv2.norm."),
        (r"\.branch2\.", "."),
        (r"\.(conv|norm)_a\.", r".\g<1>1."),
        (r"\.(conv|norm)_b\.", r".\g<1>2."),
        (r"\.(conv|norm)_c\.", r".\g<1>3."),
        (r"^blocks\.5\.pool\.pre_(conv|norm)\.", r"head.\1."),
        (r"^blocks\.5\.pool\.post_conv\.", "head.widen."),
        (r"^blocks\.[56]\.proj\.", CLASSIFIER),
    ),
    recognise=lambda shapes: any(
        name in shapes
        for name in (
            "blocks.0.conv.weight",
            "blocks.0.conv.conv_t.weight",
            "blocks.0.multipathway_blocks.0.conv.weight",
        )
    ),
    prepare=_prepare,
    caution=_caution,
)
