"""State dicts as Hara's repository and MARS save 3D ResNets and ResNeXts, from their code's naming."""

from __future__ import annotations

from tests.checkpoints.layouts_torchvision import Shapes


def _norm(name: str, channels: int) -> Shapes:
    named = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**named, f"{name}.num_batches_tracked": ()}


def resnet(
    blocks: tuple[int, ...], classes: int, *, bottleneck: bool, shortcut: str = "B", in_channels: int = 3
) -> Shapes:
    """`models/resnet.py` of Hara: `generate_model`."""
    out = 4 if bottleneck else 1
    rows = [(planes, planes, planes * out) for planes in (64, 128, 256, 512)]
    return _network(blocks, rows, classes, groups=1, bottleneck=bottleneck, shortcut=shortcut, in_channels=in_channels)


def resnext(blocks: tuple[int, ...], classes: int, *, in_channels: int = 3) -> Shapes:
    """`models/resnext.py` of MARS: cardinality 32."""
    rows = [(planes, planes, planes * 2) for planes in (128, 256, 512, 1024)]
    return _network(blocks, rows, classes, groups=32, bottleneck=True, shortcut="B", in_channels=in_channels)


def _network(
    blocks: tuple[int, ...],
    rows: list[tuple[int, int, int]],
    classes: int,
    *,
    groups: int,
    bottleneck: bool,
    shortcut: str,
    in_channels: int,
) -> Shapes:
    shapes: Shapes = {"conv1.weight": (64, in_channels, 7, 7, 7), **_norm("bn1", 64)}
    inside = 64
    for stage, (depth, (inner, middle, out)) in enumerate(zip(blocks, rows, strict=True), 1):
        for b in range(depth):
            name = f"layer{stage}.{b}"
            widths = (inside, inner, middle, out) if bottleneck else (inside, inner, out)
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            for i, k in enumerate(kernels, 1):
                fan = widths[i - 1] // (groups if k == 3 else 1)
                shapes[f"{name}.conv{i}.weight"] = (widths[i], fan, k, k, k)
                shapes |= _norm(f"{name}.bn{i}", widths[i])
            if shortcut == "B" and (inside != out or (stage > 1 and b == 0)):
                shapes[f"{name}.downsample.0.weight"] = (out, inside, 1, 1, 1)
                shapes |= _norm(f"{name}.downsample.1", out)
            inside = out
    return shapes | {"fc.weight": (classes, inside), "fc.bias": (classes,)}


def r2plus1d(classes: int) -> Shapes:
    """The first names of Hara's `models/resnet2p1d.py`, depth 18."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7, 7), **_norm("bn1", 64)}
    for name in ("layer1.0", "layer2.0"):
        for i in (1, 2):
            shapes |= {f"{name}.conv{i}_s.weight": (144, 64, 1, 3, 3), **_norm(f"{name}.bn{i}_s", 144)}
            shapes |= {f"{name}.conv{i}_t.weight": (64, 144, 3, 1, 1), **_norm(f"{name}.bn{i}_t", 64)}
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def pre_activation(classes: int) -> Shapes:
    """Hara's `models/pre_act_resnet.py`: norms have the width of what they read."""
    shapes = resnet((2, 2, 2, 2), classes, bottleneck=True)
    for name in [n for n in shapes if n.startswith("layer") and ".bn" in n and shapes[n]]:
        shapes[name] = shapes[name.split(".bn")[0] + f".conv{name.split('.bn')[1][0]}.weight"][1:2]
    return shapes


FILES: dict[str, tuple[str, Shapes]] = {
    "Hara ResNet-18": ("hara", resnet((2, 2, 2, 2), 700, bottleneck=False)),
    "Hara ResNet-50": ("hara", resnet((3, 4, 6, 3), 1139, bottleneck=True)),
    "Hara ResNet-18, shortcut A": ("hara", resnet((2, 2, 2, 2), 400, bottleneck=False, shortcut="A")),
    "Hara R(2+1)D": ("hara", r2plus1d(700)),
    "Hara pre-activation": ("hara", pre_activation(400)),
    "MARS ResNeXt-101": ("hara", resnext((3, 4, 23, 3), 400)),
}
