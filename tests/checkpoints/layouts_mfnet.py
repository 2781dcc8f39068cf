"""State dicts of the MFNet release, from the published code's naming."""

from __future__ import annotations

from collections.abc import Iterator

from tests.checkpoints.layouts_torchvision import Shapes

FIBERS = 16


def mfnet(classes: int, units: tuple[int, ...] = (3, 4, 6, 3), *, flat: bool = False) -> Shapes:
    """`MFNET_3D`; with `flat` the 2D network that it starts from (kernels without time)."""

    def unit(name: str, outputs: int, inputs: int, kernel: tuple[int, int, int], groups: int = 1) -> Shapes:
        size = kernel[1:] if flat else kernel
        return {**dict(_norm(f"{name}.bn", inputs)), f"{name}.conv.weight": (outputs, inputs // groups, *size)}

    shapes: Shapes = {"conv1.conv.weight": (16, 3, *((5, 5) if flat else (3, 5, 5))), **dict(_norm("conv1.bn", 16))}
    inside = 16
    for stage, (depth, width) in enumerate(zip(units, (96, 192, 384, 768), strict=True), 2):
        for b in range(1, depth + 1):
            name = f"conv{stage}.B{b:02d}"
            shapes |= unit(f"{name}.conv_i1", width // 4, inside, (1, 1, 1))
            shapes |= unit(f"{name}.conv_i2", inside, width // 4, (1, 1, 1))
            shapes |= unit(f"{name}.conv_m1", width, inside, (3, 3, 3), FIBERS)
            if b == 1:
                shapes |= unit(f"{name}.conv_m2", width, width, (1, 1, 1))
                shapes |= unit(f"{name}.conv_w1", width, inside, (1, 1, 1))
            else:
                shapes |= unit(f"{name}.conv_m2", width, width, (1, 3, 3), FIBERS)
            inside = width
    shapes |= dict(_norm("tail.bn", inside))
    return shapes | {"classifier.weight": (classes, inside), "classifier.bias": (classes,)}


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


FILES: dict[str, tuple[str, Shapes]] = {
    "MFNet-3D": ("mfnet", mfnet(400)),
    "MFNet-2D": ("mfnet", mfnet(1000, flat=True)),
}
