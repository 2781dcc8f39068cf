"""P3D ResNets: which kind of block stands where, where time is halved, what a 2D ResNet has besides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.layers.pseudo_3d import Pseudo3DBottleneck
from secondlook.models._count import parameters
from secondlook.models._staged import STAGES


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    return catalog.find("models", "p3d").build(variant, classes, **options)


def kinds(network: nn.Module) -> str:
    return "".join(m.kind for m in network.modules() if isinstance(m, Pseudo3DBottleneck))


@pytest.mark.spec("late-temporal-bert", "F41")
@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("a-50", "A" * 13),
        ("b-50", "B" * 13),
        ("c-50", "C" * 13),
        ("50", "ABCABCABCABCA"),
        ("199", "ABC" * 15 + "AB"),
        ("tiny", "ABC"),
    ],
)
def test_kinds_go_on_in_turn_over_the_stages(variant: str, expected: str) -> None:
    with torch.device("meta"):
        assert kinds(make(variant)) == expected


@pytest.mark.parametrize(("variant", "depth"), [("50", 63), ("101", 131), ("199", 199)])
def test_the_longest_way(variant: str, depth: int) -> None:
    """The depth by which the deepest is named: convolutions of the branches, the stem and the classifier."""
    with torch.device("meta"):
        network = make(variant)
    branch = [n for n, m in network.named_modules() if isinstance(m, nn.Conv3d) and "shortcut" not in n]
    assert len(branch) + 1 == depth


def test_costs_a_2d_resnet_and_its_kernels_in_time() -> None:
    with torch.device("meta"):
        flat = parameters(catalog.find("models", "resnet2d").build("50", 5))
        network = make("50")
    time = sum(parameters(m) for n, m in network.named_modules() if n.endswith((".temporal", ".temporal_norm")))
    assert parameters(network) == flat + time
    assert time == sum(depth * (3 * c * c + 2 * c) for depth, c in ((3, 64), (4, 128), (6, 256)))


def test_shapes_on_the_way() -> None:
    """The released network's: 16 x 160 x 160 pixels, pools in time after the stem and three stages."""
    seen: dict[str, torch.Size] = {}
    with torch.device("meta"):
        network = make("199").eval()
        for name in STAGES:
            network.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: seen.__setitem__(name, output.shape[1:])
            )
        network(torch.empty(1, 3, 16, 160, 160))
    rows = [(64, 8, 40, 40), (256, 4, 40, 40), (512, 2, 20, 20), (1024, 1, 10, 10), (2048, 1, 5, 5)]
    assert seen == dict(zip(STAGES, rows, strict=True))


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 17])
def test_no_frame_is_lost_where_they_cannot_be_paired(frames: int) -> None:
    network = make("tiny").eval()
    x_BCTHW = torch.randn(1, 2, frames, 32, 32)
    changed = x_BCTHW.clone()
    changed[:, :, -1] += 3
    assert not torch.allclose(network(x_BCTHW), network(changed))
