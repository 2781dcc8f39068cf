"""State dicts as LateTemporalModeling3DCNN lays them out: a trunk inside an `nn.Sequential`, BERT, `fc_action`."""

from __future__ import annotations

import re

from tests.checkpoints.layouts_torchvision import R2PLUS1D_18, R2PLUS1D_34, Shapes, torchvision_r2plus1d

DEPTH_10 = {name: middle for name, middle in R2PLUS1D_18.items() if ".0." in name}
"""Middle widths of a network of one block a stage, as `r2plus1d:10` reckons them."""


def bert(width: int, frames: int, layers: int = 1) -> Shapes:
    """`BERT5`, with a hidden width of `4 * width`."""
    shapes: Shapes = {
        "bert.clsToken": (1, 1, width),
        "bert.embedding.learnedPosition.pe": (1, frames + 1, width),
    }
    for i in range(layers):
        block = f"bert.transformer_blocks.{i}"
        for name in (*(f"attention.linear_layers.{j}" for j in range(3)), "attention.output_linear"):
            shapes |= {f"{block}.{name}.weight": (width, width), f"{block}.{name}.bias": (width,)}
        shapes |= {
            f"{block}.feed_forward.w_1.weight": (4 * width, width),
            f"{block}.feed_forward.w_1.bias": (4 * width,),
            f"{block}.feed_forward.w_2.weight": (width, 4 * width),
            f"{block}.feed_forward.w_2.bias": (width,),
        }
        for name in ("input_sublayer", "output_sublayer"):
            shapes |= {f"{block}.{name}.norm.a_2": (width,), f"{block}.{name}.norm.b_2": (width,)}
    return shapes


def r2plus1d(blocks: tuple[int, ...], classes: int, frames: int, middles: dict[str, int], layers: int = 1) -> Shapes:
    """`rgb_r2plus1d_32f_34_bert10` is `blocks=(3, 4, 6, 3), frames=4`; with `frames=0`, the network without BERT."""
    trunk: Shapes = {}
    for name, shape in torchvision_r2plus1d(blocks, classes, middles).items():
        if not name.startswith("fc."):
            trunk[re.sub(r"^layer(\d)\.", r"features.\1.", re.sub(r"^stem\.", "features.0.", name))] = shape
    last: Shapes = {"fc_action.weight": (classes, 512), "fc_action.bias": (classes,)}
    return trunk | (bert(512, frames, layers) if frames else {}) | last


def resnext(classes: int = 51) -> Shapes:
    """`rgb_resneXt3D64f101`: blocks of 1, 3 (32 groups) and 1 wide kernels, twice as many channels out as inside."""
    shapes: Shapes = {"features.0.weight": (64, 3, 7, 7, 7), **_norm("features.1", 64)}
    before = 64
    for child, depth, planes in ((4, 3, 128), (5, 4, 256), (6, 23, 512), (7, 3, 1024)):
        for b in range(depth):
            block = f"features.{child}.{b}"
            kernels = ((planes, before, 1), (planes, planes // 32, 3), (2 * planes, planes, 1))
            for i, (out, inside, size) in enumerate(kernels, 1):
                shapes[f"{block}.conv{i}.weight"] = (out, inside, size, size, size)
                shapes |= _norm(f"{block}.bn{i}", out)
            if b == 0:
                shapes[f"{block}.downsample.0.weight"] = (2 * planes, before, 1, 1, 1)
                shapes |= _norm(f"{block}.downsample.1", 2 * planes)
            before = 2 * planes
    return shapes | {"fc_action.weight": (classes, 2048), "fc_action.bias": (classes,)}


def resnext_bert(classes: int, *, after: bool) -> Shapes:
    """`rgb_resneXt3D64f101_bert10_FRAB`, or (not `after`) `..._FRMB`: a narrow block after the trunk or as its last."""
    prefix = "mapper" if after else "features.7.2"
    trunk = {n: s for n, s in resnext().items() if not n.startswith((f"{prefix}.", "fc_action."))}
    block: Shapes = {}
    for i, kernel in enumerate(((256, 2048, 1, 1, 1), (256, 8, 3, 3, 3), (512, 256, 1, 1, 1)), 1):
        block |= {f"{prefix}.conv{i}.weight": kernel, **_norm(f"{prefix}.bn{i}", kernel[0])}
    block |= {f"{prefix}.downsample.0.weight": (512, 2048, 1, 1, 1), **_norm(f"{prefix}.downsample.1", 512)}
    last: Shapes = {"fc_action.weight": (classes, 512), "fc_action.bias": (classes,)}
    return trunk | block | bert(512, 4) | last


INCEPTION = {
    5: (192, (64, 96, 128, 16, 32, 32)),
    6: (256, (128, 128, 192, 32, 96, 64)),
    8: (480, (192, 96, 208, 16, 48, 64)),
    9: (512, (160, 112, 224, 24, 64, 64)),
    10: (512, (128, 128, 256, 24, 64, 64)),
    11: (512, (112, 144, 288, 32, 64, 64)),
    12: (528, (256, 160, 320, 32, 128, 128)),
    14: (832, (256, 160, 320, 32, 128, 128)),
    15: (832, (384, 192, 384, 48, 128, 128)),
}
"""Child of the trunk -> channels in, and widths of its six convolutions; children 1, 4, 7 and 13 are pools."""


def i3d(classes: int, frames: int) -> Shapes:
    """`rgb_I3D64f_bert2` is `frames=8`; with `frames=0`, the network without BERT."""
    shapes: Shapes = {}
    for child, out, inside, size in ((0, 64, 3, 7), (2, 64, 64, 1), (3, 192, 64, 3)):
        shapes |= _unit(f"features.{child}", out, inside, size)
    for child, (inside, (b0, b1a, b1b, b2a, b2b, b3b)) in INCEPTION.items():
        shapes |= _unit(f"features.{child}.b0", b0, inside, 1)
        shapes |= _unit(f"features.{child}.b1a", b1a, inside, 1) | _unit(f"features.{child}.b1b", b1b, b1a, 3)
        shapes |= _unit(f"features.{child}.b2a", b2a, inside, 1) | _unit(f"features.{child}.b2b", b2b, b2a, 3)
        shapes |= _unit(f"features.{child}.b3b", b3b, inside, 1)
    last: Shapes = {"fc_action.weight": (classes, 1024), "fc_action.bias": (classes,)}
    return shapes | (bert(1024, frames) if frames else {}) | last


def _unit(name: str, out: int, inside: int, size: int) -> Shapes:
    return {f"{name}.conv3d.weight": (out, inside, size, size, size), **_norm(f"{name}.bn", out)}


def _norm(name: str, channels: int) -> Shapes:
    values = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return values | {f"{name}.num_batches_tracked": ()}


FILES: dict[str, tuple[str, Shapes]] = {
    "R(2+1)D-34 + BERT, 32 frames": ("late_temporal", r2plus1d((3, 4, 6, 3), 51, 4, R2PLUS1D_34)),
    "R(2+1)D-34 + BERT, 64 frames": ("late_temporal", r2plus1d((3, 4, 6, 3), 101, 8, R2PLUS1D_34)),
    "R(2+1)D-34 of the BERT release": ("late_temporal", r2plus1d((3, 4, 6, 3), 51, 0, R2PLUS1D_34)),
    "I3D + BERT": ("late_temporal", i3d(51, 8)),
    "I3D of the BERT release": ("late_temporal", i3d(51, 0)),
    "ResNeXt-101 of the BERT release": ("late_temporal", resnext()),
    "ResNeXt-101 + FRAB + BERT": ("late_temporal", resnext_bert(51, after=True)),
    "ResNeXt-101 + FRMB + BERT": ("late_temporal", resnext_bert(51, after=False)),
}
"""Case -> (the layout that must know it, name -> shape as `read_state` gives them)."""
