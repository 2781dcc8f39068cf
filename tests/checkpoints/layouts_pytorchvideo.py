"""PyTorchVideo's state dicts, written from the naming of its code (`models/{resnet,slowfast,x3d,csn,r2plus1d}.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Shapes = dict[str, tuple[int, ...]]
Kernels = Sequence[Sequence[int]]

R50, R101 = (3, 4, 6, 3), (3, 4, 23, 3)
WIDTHS = (64, 128, 256, 512)
SLOW: Kernels = ((1,), (1,), (3,), (3,))
FAST: Kernels = ((3,), (3,), (3,), (3,))
I3D: Kernels = ((3,), (3, 1), (3, 1), (1, 3))
C2D: Kernels = ((1,), (1,), (1,), (1,))
SIX = (3,) * 6 + (1,) * 17


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def block(name: str, inside: int, inner: int, outside: int, kernel_a: int, middle: Shapes) -> Shapes:
    """A residual block; `middle` has the tensors of `conv_b` by their names after `branch2.`."""
    shapes: Shapes = {}
    if inside != outside:
        shapes[f"{name}.branch1_conv.weight"] = (outside, inside, 1, 1, 1)
        shapes |= norm(f"{name}.branch1_norm", outside)
    shapes[f"{name}.branch2.conv_a.weight"] = (inner, inside, kernel_a, 1, 1)
    shapes |= norm(f"{name}.branch2.norm_a", inner)
    shapes |= {f"{name}.branch2.{part}": shape for part, shape in middle.items()}
    shapes |= norm(f"{name}.branch2.norm_b", inner)
    shapes[f"{name}.branch2.conv_c.weight"] = (outside, inner, 1, 1, 1)
    return shapes | dict(norm(f"{name}.branch2.norm_c", outside))


def stages(
    name: str, depths: Sequence[int], kernels: Kernels, *, thin: int = 1, more: int = 0, pool: int = 0
) -> Shapes:
    """Four stages of bottlenecks; `name` has a `{}` for the number, one more after stage 1 if a pool stands there."""
    shapes: Shapes = {}
    inside = 64 // thin
    for i, (depth, width, row) in enumerate(zip(depths, WIDTHS, kernels, strict=True), 1):
        inside += inside * more // 8
        for b in range(depth):
            prefix = f"{name.format(i + pool * (i > 1))}.res_blocks.{b}"
            inner = width // thin
            middle = {"conv_b.weight": (inner, inner, 1, 3, 3)}
            shapes |= block(prefix, inside, inner, 4 * inner, row[b % len(row)], middle)
            inside = 4 * inner
    return shapes


def stem(name: str, channels: int, kernel: tuple[int, int, int]) -> Shapes:
    return {f"{name}.conv.weight": (channels, 3, *kernel), **dict(norm(f"{name}.norm", channels))}


def projection(name: str, channels: int, classes: int) -> Shapes:
    return {f"{name}.proj.weight": (classes, channels), f"{name}.proj.bias": (classes,)}


def resnet(classes: int, kernels: Kernels = SLOW, stem_frames: int = 1, *, pool: bool = False) -> Shapes:
    """`slow_r50`; with a pool after the first stage `c2d_r50` and `i3d_r50`."""
    shapes = stem("blocks.0", 64, (stem_frames, 7, 7)) | stages("blocks.{}", R50, kernels, pool=int(pool))
    return shapes | projection(f"blocks.{5 + pool}", 2048, classes)


def slowfast(classes: int, depths: Sequence[int] = R50, lateral: int = 7, third: Sequence[int] = (3,)) -> Shapes:
    """`slowfast_r50`; `third` has the temporal kernels of the third stage."""
    shapes: Shapes = {}
    slow, fast = (*SLOW[:2], third, SLOW[3]), (*FAST[:2], third, FAST[3])
    shapes |= stem("blocks.0.multipathway_blocks.0", 64, (1, 7, 7))
    shapes |= stem("blocks.0.multipathway_blocks.1", 8, (5, 7, 7))
    shapes |= stages("blocks.{}.multipathway_blocks.0", depths, slow, more=2)
    shapes |= stages("blocks.{}.multipathway_blocks.1", depths, fast, thin=8)
    for i, channels in enumerate((8, 32, 64, 128)):
        name = f"blocks.{i}.multipathway_fusion"
        shapes[f"{name}.conv_fast_to_slow.weight"] = (2 * channels, channels, lateral, 1, 1)
        shapes |= norm(f"{name}.norm", 2 * channels)
    return shapes | projection("blocks.6", 2304, classes)


def x3d(classes: int, depths: Sequence[int] = (3, 5, 11, 7)) -> Shapes:
    """`x3d_m`: the stem's `conv_t` is the spatial factor; the first shortcut has no normalisation."""
    shapes: Shapes = {
        "blocks.0.conv.conv_t.weight": (24, 3, 1, 3, 3),
        "blocks.0.conv.conv_xy.weight": (24, 1, 5, 1, 1),
        **dict(norm("blocks.0.norm", 24)),
    }
    inside = 24
    for i, (depth, outside) in enumerate(zip(depths, (24, 48, 96, 192), strict=True), 1):
        inner = int(2.25 * outside)
        hidden = {54: 8, 108: 8, 216: 16, 432: 32}[inner]
        for b in range(depth):
            name = f"blocks.{i}.res_blocks.{b}"
            made = block(name, inside, inner, outside, 1, {"conv_b.weight": (inner, 1, 3, 3, 3)})
            if i == 1 and b == 0:
                shapes[f"{name}.branch1_conv.weight"] = (outside, inside, 1, 1, 1)
            shapes |= {part.replace(".norm_b.", ".norm_b.0."): shape for part, shape in made.items()}
            if b % 2 == 0:
                se = f"{name}.branch2.norm_b.1.block"
                shapes |= {f"{se}.0.weight": (hidden, inner, 1, 1, 1), f"{se}.0.bias": (hidden,)}
                shapes |= {f"{se}.2.weight": (inner, hidden, 1, 1, 1), f"{se}.2.bias": (inner,)}
            inside = outside
    shapes["blocks.5.pool.pre_conv.weight"] = (432, 192, 1, 1, 1)
    shapes |= norm("blocks.5.pool.pre_norm", 432)
    shapes["blocks.5.pool.post_conv.weight"] = (2048, 432, 1, 1, 1)
    return shapes | projection("blocks.5", 2048, classes)


def csn(classes: int) -> Shapes:
    """`csn_r101`: one filter a channel in `conv_b`, nothing before it, so interaction-reduced."""
    made = stem("blocks.0", 64, (3, 7, 7)) | stages("blocks.{}", R101, C2D) | projection("blocks.5", 2048, classes)
    return {name: (shape[0], 1, 3, 3, 3) if "conv_b" in name else shape for name, shape in made.items()}


def r2plus1d(classes: int) -> Shapes:
    """`r2plus1d_r50`: in `conv_b`, `conv_t` comes first."""
    shapes: Shapes = {}
    made = stem("blocks.0", 64, (1, 7, 7)) | stages("blocks.{}", R50, C2D) | projection("blocks.5", 2048, classes)
    for name, shape in made.items():
        if "conv_b" not in name:
            shapes[name] = shape
            continue
        inner, conv_b = shape[0], name.removesuffix(".weight")
        shapes[f"{conv_b}.conv_t.weight"] = (inner, inner, 3, 1, 1)
        shapes |= norm(f"{conv_b}.norm", inner)
        shapes[f"{conv_b}.conv_xy.weight"] = (inner, inner, 1, 3, 3)
    return shapes


FILES: dict[str, tuple[str, Shapes]] = {
    case: ("pytorchvideo", shapes)
    for case, shapes in {
        "PyTorchVideo slow_r50": resnet(400),
        "PyTorchVideo c2d_r50": resnet(400, C2D, pool=True),
        "PyTorchVideo i3d_r50": resnet(400, I3D, 5, pool=True),
        "PyTorchVideo slowfast_r50": slowfast(400),
        "PyTorchVideo slowfast_r101": slowfast(400, R101, 5),
        "PyTorchVideo slowfast_16x8_r101_50_50": slowfast(400, R101, 5, SIX),
        "PyTorchVideo x3d_m": x3d(400),
        "PyTorchVideo x3d_l": x3d(400, (5, 10, 25, 15)),
        "PyTorchVideo csn_r101": csn(400),
        "PyTorchVideo r2plus1d_r50": r2plus1d(400),
    }.items()
}
"""Case -> (the layout that must know it, name -> shape as `read_state` gives them)."""
