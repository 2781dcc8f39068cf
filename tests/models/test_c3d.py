"""C3D: the published count, the layer plan, and its function written plainly."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.models import c3d
from secondlook.models._count import parameters


def make(variant: str = "tiny", **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = c3d.build(variant, 5, **{"in_channels": 3, **options})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.mark.spec("late-temporal-bert", "F43")  # its other half, the gating of S3D, is held with that family
def test_eight_convolutions_five_pools_two_hidden_layers() -> None:
    """78,409,573 parameters at 101 classes; 16 x 112 x 112 shrinks to 512 x 1 x 4 x 4, which `fc6` reads."""
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        network = c3d.build("sports1m", 101).eval()
        for name in c3d.STAGES:
            network.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
        assert network(torch.empty(1, 3, 16, 112, 112)).shape == (1, 101)
    assert seen == [(64, 16, 56, 56), (128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7), (512, 1, 4, 4)]
    assert sum(isinstance(m, nn.Conv3d) for m in network.modules()) == 8
    assert sum(isinstance(m, nn.MaxPool3d) for m in network.modules()) == 5
    assert (network.head.fc6.in_features, network.head.fc6.out_features) == (8192, 4096)
    assert (network.head.fc7.in_features, network.head.fc7.out_features) == (4096, 4096)
    assert parameters(network) == 78_409_573


@pytest.mark.spec("late-temporal-bert", "F43")
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shape", [(16, 40, 52), (9, 33, 47), (1, 20, 20)])
def test_is_the_plain_function(batch_norm: bool, shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    network = make(batch_norm=batch_norm, frames=frames, height=height, width=width)
    x = x_BCTHW = torch.randn(2, 3, *shape)
    for i, name in enumerate(c3d.STAGES):
        stage = network.get_submodule(name)
        for suffix in ("",) if i < 2 else ("a", "b"):
            conv = getattr(stage, f"conv{suffix}")
            x = functional.conv3d(x, conv.weight, conv.bias, padding=1)
            if batch_norm:
                n = getattr(stage, f"norm{suffix}")
                x = functional.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias)
            x = functional.relu(x)
        kernel = (1 if i == 0 else 2, 2, 2)
        missing = [-x.shape[axis] % kernel[axis - 2] for axis in (4, 3, 2)]  # Caffe's pools round up
        padded = functional.pad(x, [p for gap in missing for p in (0, gap)], value=-torch.inf)
        x = functional.max_pool3d(padded, kernel)
    head = network.head
    expected = head.classifier(functional.relu(head.fc7(functional.relu(head.fc6(x.flatten(1))))))
    assert torch.allclose(network(x_BCTHW), expected, atol=1e-5)


def test_dropout_follows_either_hidden_layer() -> None:
    head = make(dropout=0.5).head
    names = [name for name, _ in head.named_children()]
    assert names == ["fc6", "fc6_act", "fc6_dropout", "fc7", "fc7_act", "dropout", "classifier"]
    assert head.fc6_dropout.p == head.dropout.p == 0.5


def test_its_own_head_needs_one_size_and_others_none() -> None:
    with pytest.raises(BadValue, match="exactly 16 frames"):
        make()(torch.randn(1, 3, 8, 40, 52))
    network = make(head="average")
    for shape in ((16, 40, 52), (5, 9, 70), (1, 1, 1)):
        assert network(torch.randn(1, 3, *shape)).shape == (1, 5)
    assert make(head="concat", frames=40)(torch.randn(1, 3, 40, 20, 20)).shape == (1, 5)


@pytest.mark.spec("late-temporal-bert", "F48")
def test_the_tiny_one_has_the_same_layers() -> None:
    with torch.device("meta"):
        big = c3d.build("sports1m", 5, batch_norm=True)
    tiny = make()
    assert parameters(tiny) < 1e6
    assert [(n, type(m)) for n, m in tiny.named_modules()] == [(n, type(m)) for n, m in big.named_modules()]
