"""The maps before pooling of 3D networks: their sizes as `late-temporal-bert` tabulates them, and what is left of T."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog

Shape = tuple[int, ...]
TABLE: list[tuple[str, Shape, Shape]] = [
    ("resnet2d:18", (3, 16, 224, 224), (512, 16, 7, 7)),
    ("resnet2d:50", (3, 16, 224, 224), (2048, 16, 7, 7)),
    ("tsm:r50", (3, 8, 224, 224), (2048, 8, 7, 7)),
    ("hara:101", (3, 16, 112, 112), (2048, 1, 4, 4)),
    ("hara:resnext101", (3, 16, 112, 112), (2048, 1, 4, 4)),
    ("hara:resnext101", (3, 64, 112, 112), (2048, 4, 4, 4)),
    ("hara:resnext101", (2, 64, 112, 112), (2048, 4, 4, 4)),
    ("hara:resnext101", (3, 64, 224, 224), (2048, 4, 7, 7)),
    ("i3d:rgb", (3, 64, 224, 224), (1024, 8, 7, 7)),
    ("i3d:flow", (2, 64, 224, 224), (1024, 8, 7, 7)),
    ("r2plus1d:34", (3, 32, 112, 112), (512, 4, 7, 7)),
    ("r2plus1d:34", (3, 64, 112, 112), (512, 8, 7, 7)),
    ("mfnet:3d", (3, 16, 224, 224), (768, 8, 7, 7)),
    ("modified_resnet:50", (3, 32, 224, 224), (2048, 4, 7, 7)),
    ("modified_resnet:50", (3, 64, 224, 224), (2048, 8, 7, 7)),
    ("modified_resnet:50-nl", (3, 32, 224, 224), (2048, 4, 7, 7)),
    ("modified_resnet:50-nl", (3, 64, 224, 224), (2048, 8, 7, 7)),
]
"""Section 1.30: C x T x H x W of the clip, and of the map before temporal pooling."""

FACTORS: list[tuple[str, int]] = [
    ("hara:18", 16),
    ("hara:50", 16),
    ("hara:101", 16),
    ("hara:resnext101", 16),
    ("r3d:r3d-50", 16),
    ("r3d:r2plus1d-50", 16),
    ("p3d:50", 16),
    ("modified_resnet:50", 8),
    ("modified_resnet:50-nl", 8),
    ("r2plus1d:34", 8),
    ("r2plus1d:18", 8),
    ("resnet3d:18", 8),
    ("i3d:rgb", 8),
    ("mfnet:3d", 2),
]


def make(name: str, channels: int, frames: int, size: int) -> nn.Module:
    family, _, variant = name.partition(":")
    build = catalog.find("models", family).build
    return build(variant, 51, in_channels=channels, frames=frames, height=size, width=size).eval()


@pytest.mark.spec("late-temporal-bert", "F46")
@pytest.mark.parametrize(("name", "clip", "expected"), TABLE)
def test_map_before_pooling(name: str, clip: Shape, expected: Shape) -> None:
    with torch.device("meta"):
        network = make(name, clip[0], clip[1], clip[2])
        assert network.features(torch.empty(2, *clip)).shape == (2, *expected)
    assert network.head.classifier.in_features == expected[0]


@pytest.mark.spec("late-temporal-bert", "F47")
@pytest.mark.parametrize(("name", "factor"), FACTORS)
@pytest.mark.parametrize("times", [1, 2, 4])
def test_frames_left(name: str, factor: int, times: int) -> None:
    with torch.device("meta"):
        network = make(name, 3, 16 * times, 224)
        assert network.features(torch.empty(1, 3, 16 * times, 224, 224)).shape[2] == 16 * times // factor


@pytest.mark.spec("late-temporal-bert", "F47")
def test_the_fast_pathway_keeps_its_frames() -> None:
    with torch.device("meta"):
        slow, fast = make("slowfast:50-8x8", 3, 32, 224).pathway_features(torch.empty(1, 3, 32, 224, 224))
    assert slow.shape == (1, 2048, 8, 7, 7)
    assert fast.shape == (1, 256, 32, 7, 7)


@pytest.mark.parametrize("name", ["hara:18", "r3d:r3d-50", "p3d:50", "modified_resnet:50"])
@pytest.mark.parametrize("frames", [7, 8, 9, 15, 17, 23])
def test_a_head_that_knows_its_frames_fits_clips_of_any_length(name: str, frames: int) -> None:
    """`build` reckons T of the features as the network gives it."""
    family, _, variant = name.partition(":")
    with torch.device("meta"):
        network = catalog.find("models", family).build(variant, 5, "concat", frames=frames)
        assert network.eval()(torch.empty(2, 3, frames, 64, 64)).shape == (2, 5)
