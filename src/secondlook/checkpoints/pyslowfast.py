"""PySlowFast: C2D, I3D (with non-local blocks or without), Slow, SlowFast and X3D."""

from __future__ import annotations

import re

from torch import Tensor

from secondlook.checkpoints._layout import CLASSIFIER, Layout, Shapes

_STEM = "s1.pathway0_stem."


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """Folds sub-batch normalisations; names what stands for two things in the code base after the one it is.

    `pathway0` becomes `slow` where there is a second pathway, and the stem's `conv` becomes `conv_t` beside `conv_xy`.
    """
    file = _folded(file)
    two = any(".pathway1_" in name for name in file)
    factors = f"{_STEM}conv_xy.weight" in file
    named = {}
    for name, tensor in file.items():
        if factors:
            name = name.replace(f"{_STEM}conv.", f"{_STEM}conv_t.")
        if two:
            name = re.sub(r"^(s\d\.)pathway0_", r"slow.\1pathway0_", name)
            name = re.sub(r"^(s\d\.)pathway1_", r"fast.\1pathway0_", name)
        named[name] = tensor
    return named


def _folded(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """Batch normalisations for those that had statistics of their own for each part of a batch.

    The parts being of one size, the whole has the mean of their means, and the mean of their variances plus the
    variance of their means. `bn.bn`, which PySlowFast fills so before it evaluates, counts where parts are missing.
    """
    folded: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.items():
        if ".split_bn." in name:
            outer, statistic = name.split(".split_bn.")
            parts.setdefault(outer, {})[statistic] = tensor
        elif "bn.bn." in name:
            folded[name.replace("bn.bn.", "bn.")] = tensor
        elif re.search(r"bn\.(weight|bias)$", name):
            folded[name] = tensor.flatten()  # C x 1 x 1 x 1 in sub-batch normalisations of early releases
        else:
            folded[name] = tensor
    for outer, of_part in parts.items():
        if f"{outer}.weight" in folded and {"running_mean", "running_var"} <= of_part.keys():
            channels = folded[f"{outer}.weight"].numel()
            means, variances = (of_part[name].reshape(-1, channels) for name in ("running_mean", "running_var"))
            folded[f"{outer}.running_mean"] = means.mean(0)
            folded[f"{outer}.running_var"] = variances.mean(0) + means.var(0, unbiased=False)
        if "num_batches_tracked" in of_part:
            folded[f"{outer}.num_batches_tracked"] = of_part["num_batches_tracked"]
    return folded


def _caution(shapes: Shapes) -> str:
    if any(".pathway1_" in name for name in shapes):
        return "Names tell neither alpha nor how far apart frames are; the release's 8x8 has 4, its 4x16 has 8."
    last_stage = shapes.get("s5.pathway0_res0.branch2.a.weight", ())
    if f"{_STEM}conv_xy.weight" not in shapes and last_stage[2:3] == (1,):
        return "Names do not tell a C2D or I3D that pools over pairs of frames from one that does not; ours pools."
    return ""


LAYOUT = Layout(
    about="PySlowFast (facebookresearch/SlowFast)",
    rules=(
        (r"(^|\.)s1\.pathway0_stem\.conv_xy\.", r"\1stem.conv."),
        (r"(^|\.)s1\.pathway0_stem\.conv_t\.", r"\1stem.temporal."),
        (r"(^|\.)s1\.pathway0_stem\.", r"\1stem."),
        *((rf"(^|\.)s{i + 1}\.pathway0_res(\d+)\.", rf"\g<1>layer{i}.\2.") for i in range(1, 5)),
        *((rf"^s{i + 1}\.pathway0_nonlocal(\d+)\.", rf"layer{i}.non_local\1.") for i in range(1, 5)),
        (r"^s1_fuse\.", "lateral.stem."),
        *((rf"^s{i + 1}_fuse\.", f"lateral.layer{i}.") for i in range(1, 4)),
        (r"\.conv_f2s\.", ".conv."),
        (r"\.conv_(theta|phi|g|out)\.", r".\1."),
        (r"\.branch1\.", ".shortcut.conv."),
        (r"\.branch1_bn\.", ".shortcut.norm."),
        (r"\.branch2\.se\.fc1\.", ".se.reduce."),
        (r"\.branch2\.se\.fc2\.", ".se.expand."),
        *((rf"\.branch2\.{letter}\.", f".conv{i}.") for i, letter in enumerate("abc", 1)),
        *((rf"\.branch2\.{letter}_bn\.", f".norm{i}.") for i, letter in enumerate("abc", 1)),
        (r"^head\.conv_5\.", "head.conv."),
        (r"^head\.conv_5_bn\.", "head.norm."),
        (r"^head\.lin_5\.", "head.widen."),
        (r"\.bn\.", ".norm."),
        (r"^head\.projection\.", CLASSIFIER),
    ),
    recognise=lambda shapes: any(name.startswith(_STEM) for name in shapes),
    prepare=_prepare,
    caution=_caution,
)
