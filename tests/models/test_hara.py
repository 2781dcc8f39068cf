"""Hara's 3D ResNets and ResNeXts: exact counts, cardinality, shortcuts, and the max-pool that others leave out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.models._count import parameters


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    with torch.device("meta"):
        return catalog.find("models", "hara").build(variant, classes, **{"in_channels": 3, **options})


@pytest.mark.spec("late-temporal-bert", "F29")
def test_resnet_101() -> None:
    assert parameters(make("101", 51)) == 85_349_619


@pytest.mark.spec("late-temporal-bert", "F30")
def test_resnext_101() -> None:
    network = make("resnext101", 51)
    assert parameters(network) == 47_625_715
    convs = [m for m in network.modules() if isinstance(m, nn.Conv3d)]
    grouped = [m for m in convs if m.groups > 1]
    assert len(grouped) == 33
    assert {m.groups for m in grouped} == {32}
    assert {m.kernel_size for m in grouped} == {(3, 3, 3)}
    assert [stage[-1].conv3.out_channels for stage in (network.layer1, network.layer4)] == [256, 2048]


@pytest.mark.spec("late-temporal-bert", "F62")
def test_frmb_replaces_the_last_block() -> None:
    plain, reduced = make("resnext101", 51), make("resnext101", 51, reduce_to=512)
    assert parameters(reduced) == 44_222_451
    assert reduced.features(torch.empty(1, 3, 64, 112, 112, device="meta")).shape == (1, 512, 4, 4, 4)
    own = dict(reduced.named_parameters())
    other = {n for n, p in plain.named_parameters() if n not in own or p.shape != own[n].shape}
    assert {n.rpartition(".")[0].rpartition(".")[0].removesuffix(".conv") for n in other} <= {"layer4.2", "head"}
    assert (reduced.layer4[2].conv2.groups, reduced.layer4[2].conv2.in_channels) == (32, 256)


@pytest.mark.spec("late-temporal-bert", "F64")
@pytest.mark.parametrize(("channels", "expected"), [(3, 47_377_907), (2, 47_355_955)])
def test_frmb_and_bert(channels: int, expected: int) -> None:
    assert parameters(make("resnext101", 51, head="bert", in_channels=channels, frames=64, reduce_to=512)) == expected


def test_a_last_block_that_carries_a_stride_stays() -> None:
    with pytest.raises(BadValue, match="its last block carries a stride"):
        make("10", reduce_to=128)
    assert make("tiny", reduce_to=16).features(torch.empty(1, 3, 8, 32, 32, device="meta")).shape[1] == 16


@pytest.mark.spec("late-temporal-bert", "F15")
def test_flow_takes_one_channel_of_the_stem() -> None:
    """64 kernels of 7 x 7 x 7 less."""
    assert parameters(make("resnext101", 51)) - parameters(make("resnext101", 51, in_channels=2)) == 64 * 7**3


@pytest.mark.parametrize(
    ("variant", "depth"), [(v, int(v)) for v in ("10", "18", "34", "50", "101", "152", "200")] + [("resnext101", 101)]
)
def test_depth_counts_the_layers_of_the_longest_way(variant: str, depth: int) -> None:
    """Convolutions of the branches, the stem and the classifier."""
    network = make(variant)
    branch = [n for n, m in network.named_modules() if isinstance(m, nn.Conv3d) and "shortcut" not in n]
    assert len(branch) + 1 == depth


@pytest.mark.parametrize("variant", ["18", "50", "resnext101", "tiny"])
def test_only_the_first_block_of_a_stage_projects(variant: str) -> None:
    network = make(variant)
    for i in (1, 2, 3, 4):
        for b, block in enumerate(getattr(network, f"layer{i}")):
            same = b > 0 or (variant == "18" and i == 1)
            assert isinstance(block.shortcut, nn.Identity) == same


def test_differs_from_resnet3d_by_its_stem() -> None:
    """Same blocks, and so many parameters but for 4 of 7 frames of the stem's kernel; one max-pool more."""
    with torch.device("meta"):
        other = catalog.find("models", "resnet3d").build("18", 5)
    assert parameters(make("18")) - parameters(other) == 64 * 3 * 4 * 7 * 7
    x_BCTHW = torch.empty(1, 3, 16, 112, 112, device="meta")
    assert make("18").stem(x_BCTHW).shape == (1, 64, 8, 28, 28)
    assert other.stem(x_BCTHW).shape == (1, 64, 16, 56, 56)
