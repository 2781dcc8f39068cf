"""State dicts laid out as their publishers lay them out, written from the published code's naming, not from ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
PLANES = (64, 128, 256, 512)


def values(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Random values for each name, no two tensors alike (a counter is an integer)."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) + 0.1 if shape else torch.tensor(i + 1)
        for i, (name, shape) in enumerate(shapes.items())
    }


def torchvision_r3d(blocks: tuple[int, ...], classes: int, *, mixed: bool = False) -> Shapes:
    """`torchvision.models.video.r3d_18` is `blocks=(2, 2, 2, 2)`; `mc3_18` is the same but `mixed`."""
    shapes: Shapes = {"stem.0.weight": (64, 3, 3, 7, 7), **dict(_norm("stem.1", 64))}
    for prefix, inside, planes, first in _blocks(blocks, bottleneck=False):
        for i, channels in ((1, inside), (2, planes)):
            frames = 1 if mixed and not prefix.startswith("layer1.") else 3
            shapes[f"{prefix}.conv{i}.0.weight"] = (planes, channels, frames, 3, 3)
            shapes |= _norm(f"{prefix}.conv{i}.1", planes)
        if first and inside != planes:
            shapes |= {f"{prefix}.downsample.0.weight": (planes, inside, 1, 1, 1)}
            shapes |= _norm(f"{prefix}.downsample.1", planes)
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def torchvision_r2plus1d(blocks: tuple[int, ...], classes: int, middles: Mapping[str, int]) -> Shapes:
    """`r2plus1d_18`, or IG-65M's 34; `middles` gives the middle width of each convolution by `layer.block.conv`."""
    shapes: Shapes = {"stem.0.weight": (45, 3, 1, 7, 7), **dict(_norm("stem.1", 45))}
    shapes |= {"stem.3.weight": (64, 45, 3, 1, 1), **dict(_norm("stem.4", 64))}
    for prefix, inside, planes, first in _blocks(blocks, bottleneck=False):
        for i, channels in ((1, inside), (2, planes)):
            middle = middles.get(f"{prefix}.conv{i}", {64: 144, 128: 288, 256: 576, 512: 1152}[planes])
            shapes[f"{prefix}.conv{i}.0.0.weight"] = (middle, channels, 1, 3, 3)
            shapes |= _norm(f"{prefix}.conv{i}.0.1", middle)
            shapes[f"{prefix}.conv{i}.0.3.weight"] = (planes, middle, 3, 1, 1)
            shapes |= _norm(f"{prefix}.conv{i}.1", planes)
        if first and inside != planes:
            shapes |= {f"{prefix}.downsample.0.weight": (planes, inside, 1, 1, 1)}
            shapes |= _norm(f"{prefix}.downsample.1", planes)
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


R2PLUS1D_18 = {f"layer{i}.0.conv{c}": m for i, m in ((2, 230), (3, 460), (4, 921)) for c in (1, 2)}
"""torchvision reckons the middle once a block, from the block's input."""
R2PLUS1D_34 = {f"layer{i}.0.conv1": m for i, m in ((2, 230), (3, 460), (4, 921))}
"""IG-65M reckons it for each convolution."""


def resnet(
    blocks: tuple[int, ...], classes: int, *, bottleneck: bool, tsm: bool = False, in_block: bool = False
) -> Shapes:
    """torchvision's 2D ResNet, or (`tsm`) what the TSM release saves, or (`in_block`) with shifts around blocks."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7), **dict(_norm("bn1", 64))}
    for prefix, inside, planes, first in _blocks(blocks, bottleneck=bottleneck):
        block = f"{prefix}.net" if in_block else prefix
        out = planes * (4 if bottleneck else 1)
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = (inside, planes, planes, out) if bottleneck else (inside, planes, planes)
        for i, kernel in enumerate(kernels, 1):
            net = ".net" if tsm and i == 1 and not in_block else ""
            shapes[f"{block}.conv{i}{net}.weight"] = (widths[i], widths[i - 1], kernel, kernel)
            shapes |= _norm(f"{block}.bn{i}", widths[i])
        if first and inside != out:
            shapes |= {f"{block}.downsample.0.weight": (out, inside, 1, 1), **dict(_norm(f"{block}.downsample.1", out))}
    width = 2048 if bottleneck else 512
    if not tsm:
        return shapes | {"fc.weight": (classes, width), "fc.bias": (classes,)}
    renamed = {f"module.base_model.{name}": shape for name, shape in shapes.items()}
    return renamed | {"module.new_fc.weight": (classes, width), "module.new_fc.bias": (classes,)}


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def _blocks(blocks: tuple[int, ...], *, bottleneck: bool) -> Iterator[tuple[str, int, int, bool]]:
    """(prefix, channels in, planes, first of its stage) of each block."""
    inside = 64
    for stage, (depth, planes) in enumerate(zip(blocks, PLANES, strict=True), 1):
        for b in range(depth):
            yield f"layer{stage}.{b}", inside, planes, b == 0
            inside = planes * (4 if bottleneck else 1)


def _bare(shapes: Shapes) -> Shapes:
    return {name.removeprefix("module."): shape for name, shape in shapes.items()}


FILES: dict[str, tuple[str, Shapes]] = {
    "torchvision r3d_18": ("torchvision_r3d", torchvision_r3d((2, 2, 2, 2), 400)),
    "torchvision mc3_18": ("torchvision_r3d", torchvision_r3d((2, 2, 2, 2), 400, mixed=True)),
    "torchvision r2plus1d_18": ("torchvision_r2plus1d", torchvision_r2plus1d((2, 2, 2, 2), 400, R2PLUS1D_18)),
    "IG-65M r2plus1d_34": ("torchvision_r2plus1d", torchvision_r2plus1d((3, 4, 6, 3), 359, R2PLUS1D_34)),
    "TSM ResNet-50": ("tsm", _bare(resnet((3, 4, 6, 3), 174, bottleneck=True, tsm=True))),
    "ImageNet ResNet-18": ("torchvision_2d", resnet((2, 2, 2, 2), 1000, bottleneck=False)),
}
"""Case -> (the layout that must know it, name -> shape as `read_state` gives them)."""
