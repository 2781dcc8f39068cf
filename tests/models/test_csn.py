"""Channel-separated networks: what channels tell each other, in `ir` and in `ip`, against plain code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.models import csn
from secondlook.models._count import parameters


@pytest.mark.spec("late-temporal-bert", "F42")
@pytest.mark.parametrize("variant", ["ir-50", "ip-50", "ir-101", "tiny", "tiny-ip"])
def test_only_pointwise_convolutions_mix_channels(variant: str) -> None:
    with torch.device("meta"):
        network = csn.build(variant, 3)
    preserved = "ip" in variant
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            convs = [
                m for m in block.modules() if isinstance(m, nn.Conv3d) and m is not getattr(block.shortcut, "conv", 0)
            ]
            assert [m.kernel_size[0] for m in convs] == ([1, 1, 3, 1] if preserved else [1, 3, 1])
            assert all((m.groups == m.in_channels) == (m.kernel_size[0] == 3) for m in convs)


@pytest.mark.spec("late-temporal-bert", "F42")
@pytest.mark.parametrize("preserved", [False, True])
def test_the_middle_of_a_block_keeps_channels_apart_or_lets_them_meet(*, preserved: bool) -> None:
    """A change in one channel before the depth-wise step reaches that channel only (ir), or all (ip)."""
    block = csn._block(16, 4, (2, 2), preserved=preserved).eval()
    x = torch.randn(1, 4, 4, 5, 5)
    changed = x.clone()
    changed[:, 1] += 1
    moved_C = (block.conv2(x) - block.conv2(changed)).abs().amax((0, 2, 3, 4)) > 1e-6
    assert moved_C.tolist() == ([True] * 4 if preserved else [False, True, False, False])


@pytest.mark.spec("late-temporal-bert", "F42")
@pytest.mark.parametrize("preserved", [False, True])
def test_block_against_plain_code(*, preserved: bool) -> None:
    torch.manual_seed(0)
    block = csn._block(8, 4, (2, 2), preserved=preserved).train()
    x = torch.randn(3, 8, 4, 6, 7)

    def normed(y: torch.Tensor) -> torch.Tensor:  # fresh normalisations, by the batch
        mean, variance = y.mean((0, 2, 3, 4), keepdim=True), y.var((0, 2, 3, 4), keepdim=True, unbiased=False)
        return (y - mean) / (variance + 1e-5).sqrt()

    def pointwise(y: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
        return torch.einsum("bcthw,oc->bothw", y, conv.weight[..., 0, 0, 0])

    y = functional.relu(normed(pointwise(x, block.conv1)))
    depthwise = block.conv2
    if preserved:
        y, depthwise = normed(pointwise(y, block.conv2.pointwise)), block.conv2.depthwise
    y = torch.cat([functional.conv3d(y[:, c : c + 1], depthwise.weight[c : c + 1], None, 2, 1) for c in range(4)], 1)
    y = normed(pointwise(functional.relu(normed(y)), block.conv3))
    around = normed(pointwise(x[:, :, ::2, ::2, ::2], block.shortcut.conv))
    assert torch.allclose(block(x), functional.relu(y + around), atol=1e-4)


@pytest.mark.spec("late-temporal-bert", "F42")
def test_counts_and_what_preservation_costs() -> None:
    with torch.device("meta"):
        count = {variant: parameters(csn.build(variant, 400)) for variant in csn.PLANS}
    assert (count["ir-50"], count["ir-101"], count["ir-152"]) == (13_131_152, 22_213_776, 29_703_568)
    assert count["ip-152"] == 33_016_592
    for depth, blocks in {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}.items():
        extra = sum(n * (c * c + 2 * c) for n, c in zip(blocks, (64, 128, 256, 512), strict=True))
        assert count[f"ip-{depth}"] - count[f"ir-{depth}"] == extra


def test_time_is_reduced_eightfold() -> None:
    with torch.device("meta"):
        assert csn.build("ir-50", 3).features(torch.empty(1, 3, 32, 64, 64)).shape == (1, 2048, 4, 2, 2)
