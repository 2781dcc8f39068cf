"""State dicts as the SRTG repository (alexandrosstergiou) saves R3D and R(2+1)D, from its code's naming."""

from __future__ import annotations

from tests.checkpoints.layouts_torchvision import Shapes


def _norm(name: str, channels: int) -> Shapes:
    named = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**named, f"{name}.num_batches_tracked": ()}


def video_resnet(
    blocks: tuple[int, ...],
    classes: int,
    *,
    bottleneck: bool = True,
    factorised: bool = False,
    expansion: int = 1,
    width_per_group: int = 64,
    recursion: bool = False,
) -> Shapes:
    """`VideoResNet` of `network/srtg_resnet.py`."""
    if factorised:
        shapes: Shapes = {"stem.0.weight": (45, 3, 1, 7, 7), **_norm("stem.1", 45)}
        shapes |= {"stem.3.weight": (64, 45, 3, 1, 1), **_norm("stem.4", 64)}
    else:
        shapes = {"stem.0.weight": (64, 3, 3, 7, 7), **_norm("stem.1", 64)}
    inside = 64
    for stage, (depth, planes) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), 1):
        for b in range(depth):
            name, out = f"layer{stage}.{b}", planes * (expansion if bottleneck else 1)
            middle = inside * planes * 27 // (inside * 9 + 3 * planes) * width_per_group // 64
            inner = planes * width_per_group // 64 if bottleneck else planes
            widths = (inside, inner, inner, out) if bottleneck else (inside, inner, out)
            for i in range(1, len(widths)):
                wide = not bottleneck or i == 2
                shapes |= _conv(f"{name}.conv{i}.0", widths[i - 1], widths[i], middle, wide, factorised)
                shapes |= _norm(f"{name}.conv{i}.1", widths[i])
            if recursion:
                for layer in (0, 1):
                    for way in ("ih", "hh"):
                        shapes[f"{name}.sar.lstm.weight_{way}_l{layer}"] = (4 * out, out)
                        shapes[f"{name}.sar.lstm.bias_{way}_l{layer}"] = (4 * out,)
            if inside != out or (stage > 1 and b == 0):
                shapes[f"{name}.downsample.0.weight"] = (out, inside, 1, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", out)
            inside = out
    return shapes | {"fc.weight": (classes, inside), "fc.bias": (classes,)}


def _conv(name: str, channels_in: int, channels: int, middle: int, wide: bool, factorised: bool) -> Shapes:
    if not wide:
        return {f"{name}.weight": (channels, channels_in, 1, 1, 1)}
    if not factorised:
        return {f"{name}.0.weight": (channels, channels_in, 3, 3, 3)}
    return {
        f"{name}.0.weight": (middle, channels_in, 1, 3, 3),
        **_norm(f"{name}.1", middle),
        f"{name}.3.weight": (channels, middle, 3, 1, 1),
    }


R50 = (3, 4, 6, 3)
FILES: dict[str, tuple[str, Shapes]] = {
    "SRTG's r3d_18": ("stergiou", video_resnet((2, 2, 2, 2), 400, bottleneck=False)),
    "SRTG's r3d_50": ("stergiou", video_resnet(R50, 400)),
    "SRTG's wide_r3d50_2": ("stergiou", video_resnet(R50, 400, width_per_group=128)),
    "SRTG's r2plus1d_50": ("stergiou", video_resnet(R50, 400, factorised=True)),
    "SRTG's r3d_50, first state": ("stergiou", video_resnet(R50, 400, expansion=4)),
    "SRTG's srtg_r3d_50": ("stergiou", video_resnet(R50, 400, recursion=True)),
    "SRTG's srtg_r2plus1d_50": ("stergiou", video_resnet(R50, 400, factorised=True, recursion=True)),
    "SRTG's srtg_r2plus1d_18": (
        "stergiou",
        video_resnet((2, 2, 2, 2), 400, bottleneck=False, factorised=True, recursion=True),
    ),
    # Its plain r2plus1d_18 has torchvision's names and shapes to the last tensor.
    "SRTG's r2plus1d_18": (
        "torchvision_r2plus1d",
        video_resnet((2, 2, 2, 2), 400, bottleneck=False, factorised=True),
    ),
}
