"""Section 8 of `late-temporal-bert`: parameters to the digit, operations by its convention within 0.2 %."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.models._count import on_meta, parameters
from secondlook.models._module_count import module_operations

BERT = {"head": "bert"}
EARLY, LATE = ({"head": "slowfast_bert", "options": {"head_options": {"fusion": f}}} for f in ("early", "late"))
SECTION_8: tuple[tuple[str, tuple[int, int, int, int], int, float, Mapping[str, Any]], ...] = (
    ("hara:101", (3, 16, 112, 112), 85_349_619, 13.950, {}),
    ("hara:resnext101", (3, 16, 112, 112), 47_625_715, 9.643, {}),
    ("hara:resnext101", (3, 64, 112, 112), 47_625_715, 38.570, {}),
    ("hara:resnext101", (2, 64, 112, 112), 47_603_763, 34.164, {}),
    ("hara:resnext101", (3, 64, 112, 112), 44_222_451, 38.357, {"options": {"reduce_to": 512}}),
    ("hara:resnext101", (3, 64, 112, 112), 47_377_907, 38.373, {"options": {"reduce_to": 512}, **BERT}),
    ("i3d:rgb", (3, 64, 224, 224), 12_339_539, 111.50, {}),
    ("i3d:flow", (2, 64, 224, 224), 12_317_587, 102.69, {}),
    ("slowfast:50-8x8", (3, 32, 224, 224), 33_762_043, 50.709, {}),
    ("slowfast:50-8x8", (3, 32, 224, 224), 42_252_283, 52.381, EARLY),
    ("slowfast:50-8x8", (3, 32, 224, 224), 41_116_155, 52.126, LATE),
    ("r2plus1d:34", (3, 32, 112, 112), 63_518_138, 152.955, {}),
    ("r2plus1d:34", (3, 64, 112, 112), 66_675_642, 305.94, BERT),
    ("modified_resnet:50", (3, 32, 224, 224), 27_328_371, 33.051, {}),
    ("modified_resnet:50-nl", (3, 64, 224, 224), 34_686_835, 76.43, {}),
    ("mfnet:3d", (3, 16, 224, 224), 7_727_987, 11.245, {}),
    ("tsm:r50", (3, 8, 224, 224), 23_612_531, 32.96, {}),
)


@pytest.mark.spec("late-temporal-bert", "F88")
@pytest.mark.parametrize(("name", "shape", "count", "giga", "how"), SECTION_8)
def test_section_8(
    name: str, shape: tuple[int, int, int, int], count: int, giga: float, how: Mapping[str, Any]
) -> None:
    family, _, variant = name.partition(":")
    card = catalog.find("models", family).CARDS[variant]
    clip = replace(card.clip, frames=shape[1], height=shape[2], width=shape[3])
    card = replace(card, clip=clip, head=how.get("head", card.head), options={**card.options, **how.get("options", {})})
    network = on_meta(card, 51, in_channels=shape[0])
    assert parameters(network) == count
    assert module_operations(network, shape) / 1e9 == pytest.approx(giga, rel=0.002)


def test_every_kind_of_module_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1),  # 8 outputs a place, each 3 x 27 and a bias
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(8, 8, 1, groups=4, bias=False),  # 2 channels each
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).to("meta")
    places, halved = 4 * 6 * 6, 2 * 3 * 3
    by_hand = 8 * places * 82 + 2 * 8 * places + 8 * places + 8 * places + 8 * halved * 2 + 8 * halved + 5 * 9
    assert module_operations(network, (3, 4, 6, 6)) == by_hand
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())
    assert torch.is_grad_enabled()
