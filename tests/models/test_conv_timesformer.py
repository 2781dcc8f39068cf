"""Conv + divided attention: a slow twin of the block, the masked classifier, the order of the parts, other sizes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.models import conv_timesformer
from secondlook.models.conv_timesformer import DividedBlock, MaskedLinear


def make(num_classes: int = 5, seed: int = 0, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return conv_timesformer.build("tiny", num_classes, **options)


def clip(batch: int = 2, frames: int = 12, height: int = 56, width: int = 72) -> torch.Tensor:
    return torch.randn(batch, 2, frames, height, width, generator=torch.Generator().manual_seed(1))


def attend(attention: nn.Module, x_ND: torch.Tensor) -> torch.Tensor:
    """Plain attention of a few tokens, head by head."""
    q, k, v = attention.qkv(x_ND).chunk(3, -1)
    width = x_ND.shape[1] // attention.heads
    heads = []
    for h in range(attention.heads):
        one = slice(h * width, (h + 1) * width)
        heads.append((q[:, one] @ k[:, one].T / math.sqrt(width)).softmax(-1) @ v[:, one])
    return attention.out(torch.cat(heads, 1))


def test_block_slow_twin() -> None:
    """Place by place along time, then frame by frame over places, then the linear layers."""
    torch.manual_seed(0)
    block = DividedBlock(8, 2)
    x_BCTHW = torch.randn(2, 8, 3, 2, 4)
    twin = x_BCTHW.permute(0, 2, 3, 4, 1).clone()
    before = twin.clone()
    for b in range(2):
        for h in range(2):
            for w in range(4):
                twin[b, :, h, w] = before[b, :, h, w] + attend(block.time, block.norm1(before[b, :, h, w]))
    before = twin.clone()
    for b in range(2):
        for t in range(3):
            x_ND = before[b, t].reshape(8, 8)
            twin[b, t] = (x_ND + attend(block.space, block.norm2(x_ND))).reshape(2, 4, 8)
    twin = twin + block.mlp.fc2(nn.functional.gelu(block.mlp.fc1(block.norm3(twin))))
    torch.testing.assert_close(block(x_BCTHW), twin.permute(0, 4, 1, 2, 3), atol=1e-5, rtol=1e-5)


@pytest.mark.spec("attention-recognisers", "A5")
def test_the_parts_stand_in_the_order_of_the_source() -> None:
    """Convolution, norm, ReLU, max-pool over time too; blocks; layer norm; dropout; masked classifier."""
    network = make(dropout=0.3)
    stem = [type(m) for m in network.stem]
    assert stem == [nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.MaxPool3d]
    order: list[str] = []
    for name in ("stem", "positions", "blocks", "norm", "head.pool", "head.dropout", "head.classifier"):
        network.get_submodule(name).register_forward_hook(lambda _m, _i, _o, name=name: order.append(name))
    network(clip())
    assert order == ["stem", "positions", "blocks", "norm", "head.pool", "head.dropout", "head.classifier"]
    assert network.head.dropout.p == 0.3
    assert network.stem(clip()).shape == (2, 64, 6, 7, 9), "half as many frames"
    assert isinstance(network.head.classifier, MaskedLinear)


def test_xavier_uniform_start() -> None:
    network = make(40)
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv3d)]
    assert len(layers) == 1 + 3 * 6 + 1
    for layer in layers:
        receptive = layer.weight[0, 0].numel()
        bound = math.sqrt(6 / ((layer.weight.shape[0] + layer.weight.shape[1]) * receptive))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_mask_is_drawn_once_and_kept(share: float) -> None:
    network = make(50, mask_share=share)
    classifier = network.head.classifier
    assert classifier.mask_KD.float().mean() == pytest.approx(1 - share, abs=0.03)
    assert "head.classifier.mask_KD" in network.state_dict()
    x = torch.randn(3, 64)
    twin = torch.stack([(classifier.weight * classifier.mask_KD) @ row + classifier.bias for row in x])
    for mode in (True, False):
        torch.testing.assert_close(classifier.train(mode)(x), twin, atol=1e-5, rtol=1e-5)
    classifier(x).sum().backward()
    assert not classifier.weight.grad[~classifier.mask_KD].any(), "masked weights learn nothing"
    other = make(50, seed=1, mask_share=share)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.head.classifier(x), classifier(x))
    assert torch.equal(copy.deepcopy(classifier).mask_KD, classifier.mask_KD)


def test_or_drawn_at_each_step() -> None:
    classifier = make(50, mask_share=0.5, mask_drawn="each_step").head.classifier
    x = torch.randn(2, 64)
    assert not torch.equal(classifier(x), classifier(x))
    classifier.eval()
    torch.testing.assert_close(classifier(x), 0.5 * x @ classifier.weight.T + classifier.bias)
    classifier.train()
    mean = torch.stack([classifier(x) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, classifier.eval()(x), atol=0.1, rtol=0)


def test_order_and_place_matter() -> None:
    network, x_BCTHW = make().eval(), clip()
    with torch.no_grad():
        assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-4)
        assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(4)), atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 16, 16), (5, 33, 41), (12, 1, 1)])
def test_other_sizes_are_built_for(shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    network = make(frames=frames, height=height, width=width).eval()
    assert network(clip(1, *shape)).isfinite().all()
    assert network.features(clip(1, *shape)).shape[2] == math.ceil(frames / 2)
    with pytest.raises(BadValue, match="built for exactly"):
        network(clip(1, frames + 1, height, width))


def test_other_heads_read_its_map() -> None:
    network = make(head="average").eval()
    features = network.features(clip())
    torch.testing.assert_close(network(clip()), network.head.classifier(features.mean((2, 3, 4))))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask_share": 1.0}, r"mask_share must lie in \[0, 1\)"),
        ({"mask_drawn": "never"}, "mask_drawn must be one of once, each_step"),
        ({"head": "average", "mask_share": 0.2}, "has no mask"),
        ({"head": "single_frame"}, "learns from one frame"),
        ({"head_options": {"layers": 2}}, "head_options need a head"),
    ],
)
def test_what_cannot_be_is_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        make(**options)
    with pytest.raises(BadValue, match="at least 8 pixels"):
        conv_timesformer.build("base", 3, height=7, width=7)
