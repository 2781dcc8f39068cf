"""PySlowFast's state dicts, written from the naming of its code (`models/video_model_builder.py` and its helpers)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.checkpoints.layouts_pytorchvideo import C2D, FAST, I3D, R50, SLOW, WIDTHS, Kernels, Shapes, norm


def block(
    name: str, inside: int, inner: int, outside: int, kernels: Sequence[tuple[int, ...]], *, strided: bool
) -> Shapes:
    shapes: Shapes = {}
    if inside != outside or strided:
        shapes[f"{name}.branch1.weight"] = (outside, inside, 1, 1, 1)
        shapes |= norm(f"{name}.branch1_bn", outside)
    for letter, out, kernel in zip("abc", (inner, inner, outside), kernels, strict=True):
        shapes[f"{name}.branch2.{letter}.weight"] = (out, *kernel)
        shapes |= norm(f"{name}.branch2.{letter}_bn", out)
    return shapes


def stages(pathway: int, kernels: Kernels, *, thin: int = 1, more: int = 0, depths: Sequence[int] = R50) -> Shapes:
    shapes: Shapes = {}
    inside = 64 // thin
    for i, (depth, width, row) in enumerate(zip(depths, WIDTHS, kernels, strict=True), 2):
        inside += inside * more // 8
        inner = width // thin
        for b in range(depth):
            three = ((inside, row[b % len(row)], 1, 1), (inner, 1, 3, 3), (inner, 1, 1, 1))
            shapes |= block(f"s{i}.pathway{pathway}_res{b}", inside, inner, 4 * inner, three, strided=False)
            inside = 4 * inner
    return shapes


def stem(pathway: int, channels: int, kernel: tuple[int, int, int]) -> Shapes:
    name = f"s1.pathway{pathway}_stem"
    return {f"{name}.conv.weight": (channels, 3, *kernel), **dict(norm(f"{name}.bn", channels))}


def head(channels: int, classes: int) -> Shapes:
    return {"head.projection.weight": (classes, channels), "head.projection.bias": (classes,)}


def resnet(classes: int, kernels: Kernels, stem_frames: int = 1, *, non_local: bool = False) -> Shapes:
    """`C2D_8x8_R50`, `I3D_8x8_R50`, `SLOWONLY_8x8_R50`; `I3D_NLN_8x8_R50` has blocks at [1, 3] and [1, 3, 5]."""
    shapes = stem(0, 64, (stem_frames, 7, 7)) | stages(0, kernels)
    for i, b, channels in [(3, 1, 512), (3, 3, 512), (4, 1, 1024), (4, 3, 1024), (4, 5, 1024)] if non_local else []:
        name = f"s{i}.pathway0_nonlocal{b}"
        for part in ("theta", "phi", "g"):
            shapes[f"{name}.conv_{part}.weight"] = (channels // 2, channels, 1, 1, 1)
            shapes[f"{name}.conv_{part}.bias"] = (channels // 2,)
        shapes |= {f"{name}.conv_out.weight": (channels, channels // 2, 1, 1, 1), f"{name}.conv_out.bias": (channels,)}
        shapes |= norm(f"{name}.bn", channels)
    return shapes | head(2048, classes)


def slowfast(classes: int, lateral: int = 5) -> Shapes:
    """`SLOWFAST_4x16_R50` (5) and `SLOWFAST_8x8_R50` (7)."""
    shapes = stem(0, 64, (1, 7, 7)) | stem(1, 8, (5, 7, 7))
    shapes |= stages(0, SLOW, more=2) | stages(1, FAST, thin=8)
    for i, channels in enumerate((8, 32, 64, 128), 1):
        shapes[f"s{i}_fuse.conv_f2s.weight"] = (2 * channels, channels, lateral, 1, 1)
        shapes |= norm(f"s{i}_fuse.bn", 2 * channels)
    return shapes | head(2304, classes)


def x3d(classes: int, depths: Sequence[int] = (3, 5, 11, 7)) -> Shapes:
    """`X3D_M`: its first shortcut has a normalisation, which PyTorchVideo's has not."""
    shapes: Shapes = {
        "s1.pathway0_stem.conv_xy.weight": (24, 3, 1, 3, 3),
        "s1.pathway0_stem.conv.weight": (24, 1, 5, 1, 1),
        **dict(norm("s1.pathway0_stem.bn", 24)),
    }
    inside = 24
    for i, (depth, outside) in enumerate(zip(depths, (24, 48, 96, 192), strict=True), 2):
        inner = int(2.25 * outside)
        hidden = {54: 8, 108: 8, 216: 16, 432: 32}[inner]
        for b in range(depth):
            name = f"s{i}.pathway0_res{b}"
            three = ((inside, 1, 1, 1), (1, 3, 3, 3), (inner, 1, 1, 1))
            shapes |= block(name, inside, inner, outside, three, strided=b == 0)
            if b % 2 == 0:
                se = f"{name}.branch2.se"
                shapes |= {f"{se}.fc1.weight": (hidden, inner, 1, 1, 1), f"{se}.fc1.bias": (hidden,)}
                shapes |= {f"{se}.fc2.weight": (inner, hidden, 1, 1, 1), f"{se}.fc2.bias": (inner,)}
            inside = outside
    shapes["head.conv_5.weight"] = (432, 192, 1, 1, 1)
    shapes |= norm("head.conv_5_bn", 432)
    shapes["head.lin_5.weight"] = (2048, 432, 1, 1, 1)
    return shapes | head(2048, classes)


def split(shapes: Shapes, parts: int) -> Shapes:
    """The same with `SubBatchNorm3d`: statistics of the whole in `bn`, of each part in `split_bn`."""
    found: Shapes = {}
    for name, shape in shapes.items():
        outer, _, last = name.rpartition(".")
        if last in ("running_mean", "running_var", "num_batches_tracked"):
            found[f"{outer}.bn.{last}"] = shape
            found[f"{outer}.split_bn.{last}"] = tuple(parts * size for size in shape)
        else:
            found[name] = shape
    return found


FILES: dict[str, tuple[str, Shapes]] = {
    case: ("pyslowfast", shapes)
    for case, shapes in {
        "PySlowFast C2D_8x8_R50": resnet(400, C2D),
        "PySlowFast I3D_8x8_R50": resnet(400, I3D, 5),
        "PySlowFast I3D_NLN_8x8_R50": resnet(400, I3D, 5, non_local=True),
        "PySlowFast SLOWONLY_8x8_R50": resnet(400, SLOW),
        "PySlowFast SLOWFAST_4x16_R50": slowfast(400),
        "PySlowFast SLOWFAST_8x8_R50": slowfast(400, 7),
        "PySlowFast X3D_M": x3d(400),
        "PySlowFast X3D_L": x3d(400, (5, 10, 25, 15)),
        "PySlowFast X3D_M split": split(x3d(400), 2),
    }.items()
}
"""Case -> (the layout that must know it, name -> shape as `read_state` gives them)."""
