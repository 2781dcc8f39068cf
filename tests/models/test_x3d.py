"""X3D: its expanded plans, its block and head against plain code, and its gates in every second block."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.layers.squeeze_excitation import SqueezeExcitation
from secondlook.models import x3d
from secondlook.models._count import parameters


@pytest.mark.parametrize(
    ("variant", "blocks", "channels", "inner"),
    [
        ("xs", (3, 5, 11, 7), (24, 48, 96, 192), (54, 108, 216, 432)),
        ("m", (3, 5, 11, 7), (24, 48, 96, 192), (54, 108, 216, 432)),
        ("l", (5, 10, 25, 15), (24, 48, 96, 192), (54, 108, 216, 432)),
        ("xl", (5, 10, 25, 15), (32, 72, 136, 280), (72, 162, 306, 630)),
    ],
)
def test_expansion(variant: str, blocks: tuple[int, ...], channels: tuple[int, ...], inner: tuple[int, ...]) -> None:
    plan = x3d.PLANS[variant]
    assert (plan.blocks, plan.channels, plan.inner) == (blocks, channels, inner)


def test_counts() -> None:
    with torch.device("meta"):
        counts = {variant: parameters(x3d.build(variant, 400)) for variant in ("xs", "s", "m", "l", "xl")}
    assert counts == {"xs": 3_794_322, "s": 3_794_322, "m": 3_794_322, "l": 6_153_432, "xl": 11_095_904}


@pytest.mark.parametrize(("variant", "millions"), [("m", 3.76), ("l", 6.08), ("xl", 11.0)])
def test_counts_of_the_paper_leave_out_normalisations(variant: str, millions: float) -> None:
    with torch.device("meta"):
        network = x3d.build(variant, 400)
    norms = sum(parameters(m) for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    assert parameters(network) - norms == pytest.approx(millions * 1e6, abs=10_000)


def test_every_second_block_has_a_gate_and_all_frames_reach_the_head() -> None:
    with torch.device("meta"):
        network = x3d.build("m", 5)
        assert network.features(torch.empty(1, 3, 5, 65, 96)).shape == (1, 192, 5, 3, 3)
    for i in (1, 2, 3, 4):
        gated = [isinstance(block.se, SqueezeExcitation) for block in getattr(network, f"layer{i}")]
        assert gated == [b % 2 == 0 for b in range(len(gated))]
    depthwise = [m for m in network.modules() if isinstance(m, nn.Conv3d) and m.kernel_size == (3, 3, 3)]
    assert all(m.groups == m.in_channels for m in depthwise)
    assert len(depthwise) == 26


def given(x: torch.Tensor, norm: nn.BatchNorm3d) -> torch.Tensor:
    shape = (1, -1, 1, 1, 1)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean.reshape(shape)) * scale.reshape(shape) + norm.bias.reshape(shape)


def shake(module: nn.Module) -> nn.Module:
    for m in module.modules():
        if isinstance(m, nn.BatchNorm3d):
            for tensor in (m.weight.data, m.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (m.bias.data, m.running_mean):
                tensor.normal_(0, 0.3)
    return module.eval()


@pytest.mark.parametrize(("stride", "gated"), [(1, True), (2, True), (2, False), (1, False)])
def test_block(stride: int, *, gated: bool) -> None:
    torch.manual_seed(0)
    block = shake(x3d.Block(4, 9, 4, stride, gated=gated))
    x = clip = torch.randn(2, 4, 3, 6, 7)
    y = functional.relu(given(torch.einsum("bcthw,oc->bothw", x, block.conv1.weight[..., 0, 0, 0]), block.norm1))
    y = torch.cat(
        [  # one channel at a time
            functional.conv3d(y[:, c : c + 1], block.conv2.weight[c : c + 1], stride=(1, stride, stride), padding=1)
            for c in range(9)
        ],
        1,
    )
    y = given(y, block.norm2)
    if gated:
        y = block.se(y)
    y = y / (1 + (-y).exp())
    y = given(torch.einsum("bcthw,oc->bothw", y, block.conv3.weight[..., 0, 0, 0]), block.norm3)
    if stride == 2:
        x = given(functional.conv3d(x, block.shortcut.conv.weight, stride=(1, 2, 2)), block.shortcut.norm)
    assert torch.allclose(block(clip), functional.relu(x + y), atol=1e-5)


def test_head() -> None:
    head = shake(x3d.X3DHead(6, 8, 10, 3, 0.0))
    features = torch.randn(2, 6, 2, 3, 3)
    y = functional.relu(given(torch.einsum("bcthw,oc->bothw", features, head.conv.weight[..., 0, 0, 0]), head.norm))
    hidden = functional.relu(y.mean((2, 3, 4)) @ head.widen.weight[..., 0, 0, 0].T)
    assert torch.allclose(head(features), hidden @ head.classifier.weight.T + head.classifier.bias, atol=1e-6)


def test_other_heads_read_the_last_stage() -> None:
    network = x3d.build("tiny", 4, "stage_fusion", in_channels=2, frames=6).eval()
    assert network(torch.randn(1, 2, 6, 32, 32)).shape == (1, 4)
    network = x3d.build("tiny", 4, "average", in_channels=2)
    assert network.head.classifier.in_features == 32
