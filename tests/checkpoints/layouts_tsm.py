"""State dicts as the TSM release and torchvision save MobileNetV2 and non-local ResNets, from their code's naming."""

from __future__ import annotations

from tests.checkpoints.layouts_torchvision import Shapes, resnet

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Table 2 of MobileNetV2: expansion, channels, blocks, stride of the first."""
NON_LOCAL = ("layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4")


def blocks() -> list[tuple[int, int, int, int, int]]:
    """(index in `features`, expansion, channels in, channels out, stride) of each block."""
    found, inside = [], 32
    for expansion, channels, depth, stride in ROWS:
        for b in range(depth):
            found.append((len(found) + 1, expansion, inside, channels, stride if b == 0 else 1))
            inside = channels
    return found


def _norm(name: str, channels: int) -> Shapes:
    named = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**named, f"{name}.num_batches_tracked": ()}


def mobilenet(classes: int, *, shift: bool) -> Shapes:
    """The release's `archs/mobilenet_v2.py` in `ops/models.py` (with `shift` as TSM, else as TSN)."""
    shapes = {"features.0.0.weight": (32, 3, 3, 3), **_norm("features.0.1", 32)}
    for i, expansion, inside, channels, stride in blocks():
        inner, j = inside * expansion, 0
        if expansion > 1:
            net = ".net" if shift and stride == 1 and inside == channels else ""
            shapes |= {
                f"features.{i}.conv.0{net}.weight": (inner, inside, 1, 1),
                **_norm(f"features.{i}.conv.1", inner),
            }
            j = 3
        shapes |= {f"features.{i}.conv.{j}.weight": (inner, 1, 3, 3), **_norm(f"features.{i}.conv.{j + 1}", inner)}
        shapes |= {f"features.{i}.conv.{j + 3}.weight": (channels, inner, 1, 1)}
        shapes |= _norm(f"features.{i}.conv.{j + 4}", channels)
    shapes |= {"features.18.0.weight": (1280, 320, 1, 1), **_norm("features.18.1", 1280)}
    renamed = {f"base_model.{name}": shape for name, shape in shapes.items()}
    return renamed | {"new_fc.weight": (classes, 1280), "new_fc.bias": (classes,)}


def mobilenet_online(classes: int) -> Shapes:
    """The release's `online_demo/mobilenet_v2_tsm.py`; also the ImageNet file that the release starts from."""
    bare = {name.removeprefix("base_model."): shape for name, shape in mobilenet(classes, shift=False).items()}
    return {name.replace("new_fc", "classifier"): shape for name, shape in bare.items()}


def mobilenet_torchvision(classes: int) -> Shapes:
    """`torchvision.models.mobilenet_v2`."""
    shapes = {"features.0.0.weight": (32, 3, 3, 3), **_norm("features.0.1", 32)}
    for i, expansion, inside, channels, _ in blocks():
        inner, j = inside * expansion, 0
        if expansion > 1:
            shapes |= {f"features.{i}.conv.0.0.weight": (inner, inside, 1, 1), **_norm(f"features.{i}.conv.0.1", inner)}
            j = 1
        shapes |= {f"features.{i}.conv.{j}.0.weight": (inner, 1, 3, 3), **_norm(f"features.{i}.conv.{j}.1", inner)}
        shapes |= {f"features.{i}.conv.{j + 1}.weight": (channels, inner, 1, 1)}
        shapes |= _norm(f"features.{i}.conv.{j + 2}", channels)
    shapes |= {"features.18.0.weight": (1280, 320, 1, 1), **_norm("features.18.1", 1280)}
    return shapes | {"classifier.1.weight": (classes, 1280), "classifier.1.bias": (classes,)}


def resnet_non_local(classes: int) -> Shapes:
    """The release's TSM ResNet-50 with `--non_local`: shifts go in first, the five blocks are wrapped then."""
    shapes: Shapes = {}
    for name, shape in resnet((3, 4, 6, 3), classes, bottleneck=True, tsm=True).items():
        name = name.removeprefix("module.")
        for block in NON_LOCAL:
            name = name.replace(f"base_model.{block}.", f"base_model.{block}.block.")
        shapes[name] = shape
    for block in NON_LOCAL:
        width = 512 if block.startswith("layer2") else 1024
        for name in ("g.0", "theta", "phi.0"):
            shapes |= {f"base_model.{block}.nl.{name}.weight": (width // 2, width, 1, 1, 1)}
            shapes |= {f"base_model.{block}.nl.{name}.bias": (width // 2,)}
        shapes |= {f"base_model.{block}.nl.W.0.weight": (width, width // 2, 1, 1, 1)}
        shapes |= {f"base_model.{block}.nl.W.0.bias": (width,), **_norm(f"base_model.{block}.nl.W.1", width)}
    return shapes


def resnet101(classes: int) -> Shapes:
    """The release's TSM ResNet-101: `n_round=2`, every second block of each stage is shifted."""
    shapes: Shapes = {}
    for name, shape in resnet((3, 4, 23, 3), classes, bottleneck=True, tsm=True).items():
        name = name.removeprefix("module.")
        parts = name.split(".")
        odd = parts[1].startswith("layer") and int(parts[2]) % 2 == 1
        shapes[name.replace(".conv1.net.", ".conv1.") if odd else name] = shape
    return shapes


FILES: dict[str, tuple[str, Shapes]] = {
    "TSM MobileNetV2": ("tsm", mobilenet(400, shift=True)),
    "TSN MobileNetV2": ("tsm", mobilenet(400, shift=False)),
    "TSM MobileNetV2 online": ("tsm", mobilenet_online(27)),
    "TSM ResNet-50 non-local": ("tsm", resnet_non_local(400)),
    "TSM ResNet-101": ("tsm", resnet101(174)),
    "ImageNet MobileNetV2": ("torchvision_mobilenet", mobilenet_torchvision(1000)),
}
