"""Multi-temporal convolutions in the place of 3 x 3 x 3 ones: in ResNets of other families and in one's own network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.layers.multi_temporal import MultiTemporalConv, channel_split
from secondlook.layers.multi_temporal_swap import replace_convolutions
from secondlook.models._count import parameters


def make(name: str, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    return catalog.find("models", family).build(variant, 5, **options)


def outputs_of(network: nn.Module, names: list[str], x: torch.Tensor) -> dict[str, torch.Size]:
    seen: dict[str, torch.Size] = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda _m, _x, y, name=name: seen.__setitem__(name, y.shape))
    network(x)
    return seen


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "37", "45", "46")
def test_resnet_50() -> None:
    """Table 5.2's network: 16 convolutions exchanged, every shape on the way as before, parameters told."""
    with torch.device("meta"):
        network = make("r3d:r3d-50")
        before = parameters(network)
        names = [
            f"layer{i}.{b}.conv2" for i, depth in zip((1, 2, 3, 4), (3, 4, 6, 3), strict=True) for b in range(depth)
        ]
        x_BCTHW = torch.empty(1, 3, 16, 112, 112)
        plain = outputs_of(network.eval(), names, x_BCTHW)
    found = replace_convolutions(network)
    assert [r.name for r in found] == names
    assert next(network.parameters()).device.type == "meta"
    assert outputs_of(network, names, x_BCTHW) == plain
    assert parameters(network) - before == sum(r.parameters - r.parameters_before for r in found)
    widths = [c for c, depth in zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True) for _ in range(depth)]
    for row, width in zip(found, widths, strict=True):
        local, prolonged = channel_split(width, 7 / 8)
        assert row.parameters_before == 27 * width**2
        assert row.parameters == 27 * width**2 + local * prolonged + 2 * local + 4 * prolonged
    assert [round(n / 1e6, 2) for n in (before, parameters(network))] == [36.56, 36.71]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "45")
@pytest.mark.parametrize(
    "name", ["resnet3d:tiny", "r3d:tiny", "r3d:tiny-bottleneck", "csn:tiny", "x3d:tiny", "mfnet:tiny"]
)
def test_any_3d_network_trains_on(name: str) -> None:
    """Strides, groups and depth-wise kernels are kept."""
    network = make(name)
    old = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv3d) and m.kernel_size == (3, 3, 3)}
    x_BCTHW = torch.randn(2, 2, 7, 33, 40)
    plain = outputs_of(network, list(old), x_BCTHW)
    found = replace_convolutions(network, 0.75, pooling="avg_cos")
    assert {r.name for r in found} == set(old)
    assert outputs_of(network, list(old), x_BCTHW) == plain
    for n, conv in old.items():
        new = network.get_submodule(n)
        assert isinstance(new, MultiTemporalConv)
        assert new.pool.pooling == "avg_cos"
        assert (new.local.groups > 1) == (conv.groups > 1)
    nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([0, 3])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "45")
def test_option_of_the_resnet() -> None:
    """Off by default; the share is that of every 3 x 3 x 3 convolution, and of no other."""
    plain, mixed = make("resnet3d:tiny"), make("resnet3d:tiny", multi_temporal=0.75)
    assert not any(isinstance(m, MultiTemporalConv) for m in plain.modules())
    new = [m for m in mixed.modules() if isinstance(m, MultiTemporalConv)]
    assert [m.channels for m in new] == [(12, 4)] * 2 + [(18, 6)] * 2 + [(30, 10)] * 2 + [(48, 16)] * 2
    x_BCTHW = torch.randn(1, 2, 6, 33, 41)
    assert mixed.eval().features(x_BCTHW).shape == plain.eval().features(x_BCTHW).shape
    first_stage = make("resnet3d:mc3-18", multi_temporal=0.75)
    assert {n.split(".")[0] for n, m in first_stage.named_modules() if isinstance(m, MultiTemporalConv)} == {"layer1"}
    with pytest.raises(BadValue, match=r"must lie in \(0, 1\]"):
        make("resnet3d:tiny", multi_temporal=0)


def test_by_name_and_in_the_same_state() -> None:
    network = nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), nn.Conv3d(8, 8, 3), nn.Conv3d(8, 8, 1)).double().eval()
    kept = network[0]
    found = replace_convolutions(network, names=["1"])
    assert [r.name for r in found] == ["1"]
    assert network[0] is kept
    assert not network[1].training
    assert network[1].local.weight.dtype == torch.float64
    assert network(torch.randn(1, 2, 5, 6, 7, dtype=torch.float64)).shape == (1, 8, 3, 4, 5)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals_leave_the_network_alone() -> None:
    network = nn.Sequential(nn.Conv3d(2, 8, 3), nn.Conv3d(8, 8, 1), nn.ReLU(), nn.Conv3d(8, 8, 3, dilation=2))
    before = list(network)
    with pytest.raises(UnknownName, match="module '7' is not known"):
        replace_convolutions(network, names=["0", "7"])
    with pytest.raises(BadValue, match="not 3 x 3 x 3"):
        replace_convolutions(network, names=["0", "1"])
    with pytest.raises(BadValue, match="not 3 x 3 x 3"):
        replace_convolutions(network, names=["3"])
    with pytest.raises(BadValue, match=r"is no nn\.Conv3d, but ReLU"):
        replace_convolutions(network, names=["0", "2"])
    with pytest.raises(BadValue, match=r"must lie in \(0, 1\]"):
        replace_convolutions(network, 1.5)
    with pytest.raises(UnknownName, match="Did you mean 'softpool'"):
        replace_convolutions(network, pooling="softpol")
    with pytest.raises(BadValue, match="another way than with so many zeros"):
        replace_convolutions(nn.Sequential(nn.Conv3d(2, 2, 3, padding="same")), names=["0"])
    with pytest.raises(BadValue, match="has no 3 x 3 x 3"):
        replace_convolutions(nn.Sequential(nn.Conv2d(2, 2, 3)))
    assert list(network) == before
