"""Every stage of SlowFast has the size that the source prints, counted without memory."""

from __future__ import annotations

import pytest
import torch

from secondlook.models import slowfast

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
SLOW = ((64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7))
FAST = ((8, 56), (32, 56), (64, 28), (128, 14), (256, 7))
"""Channels and height (width) after pool1 and after res2 to res5 (label-reassessment 5.3)."""


def stages(alpha: int | None, frames: int) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...], int]:
    """Sizes after each stage of both pathways, of the logits, and the width that the classifier reads."""
    options = {} if alpha is None else {"alpha": alpha}
    seen: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        network = slowfast.build("50-8x8", 174, **options)
        for pathway in ("slow", "fast"):
            for stage in STAGES:
                network.get_submodule(f"{pathway}.{stage}").register_forward_hook(
                    lambda _module, _inputs, output, key=f"{pathway}.{stage}": seen.__setitem__(
                        key, tuple(output.shape)
                    )
                )
        logits_BK = network(torch.empty(2, 3, frames, 224, 224))
    return seen, tuple(logits_BK.shape), network.head.classifier.in_features


@pytest.mark.spec("label-reassessment", "I3")
@pytest.mark.parametrize(("alpha", "fast", "slow"), [(None, 32, 8), (4, 16, 4), (8, 32, 4)])
def test_stages_of_both_pathways(alpha: int | None, fast: int, slow: int) -> None:
    """64 frames of which Slow takes every 16th (4): Fast has 16 of them with alpha 4, and 32 with alpha 8."""
    seen, logits, features = stages(alpha, fast)
    for pathway, frames, sizes in (("slow", slow, SLOW), ("fast", fast, FAST)):
        for stage, (channels, side) in zip(STAGES, sizes, strict=True):
            assert seen[f"{pathway}.{stage}"] == (2, channels, frames, side, side), f"{pathway}.{stage}"
    assert features == 2048 + 256 == 2304
    assert logits == (2, 174)
