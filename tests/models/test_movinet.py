"""MoViNet: the published count, blocks against plain functions, and where the causal twin differs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.models._count import parameters
from secondlook.models.movinet import PLANS, Block, HardSigmoid


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return catalog.find("models", "movinet").build(variant, classes, **options)


def norm(x: Tensor, m: nn.BatchNorm3d) -> Tensor:
    shape = (1, -1, 1, 1, 1)
    mean, var = m.running_mean.view(shape), m.running_var.view(shape)
    return (x - mean) / (var + 1e-3).sqrt() * m.weight.view(shape) + m.bias.view(shape)


def lived_in(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm3d):
            m.running_mean.copy_(torch.randn(m.running_mean.shape, generator=generator) * 0.1)
            m.running_var.copy_(torch.rand(m.running_var.shape, generator=generator) + 0.5)
    return module.eval()


def test_the_published_count() -> None:
    with torch.device("meta"):
        assert parameters(make("a0", 600)) == 3_111_799


def test_the_trunk_is_that_of_the_release() -> None:
    """Keras counts running means and variances too: 911,583 values before the head, as users of the release print."""
    with torch.device("meta"):
        network = make("a0", 600)
    statistics = sum(2 * m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    assert parameters(network) - parameters(network.head) + statistics == 911_583


def test_depths_and_widths_of_a0() -> None:
    blocks = [len(stage.widths) for stage in PLANS["a0"].stages]
    assert blocks == [1, 3, 3, 4, 4]
    assert [stage.channels for stage in PLANS["a0"].stages] == [8, 32, 56, 56, 104]
    assert (PLANS["a0"].stem, PLANS["a0"].last, PLANS["a0"].hidden) == (8, 480, 2048)


def test_a_block_by_plain_functions() -> None:
    """Odd sizes, stride 1, the same channels: TensorFlow's padding is then the symmetric one."""
    block = lived_in(Block(4, 4, 8, (3, 3), 1, causal=False))
    x = torch.randn(2, 4, 5, 7, 9)
    y = functional.silu(norm(functional.conv3d(x, block.widen.conv.weight), block.widen.norm))
    y = functional.silu(
        norm(functional.conv3d(y, block.convolve.conv.weight, padding=1, groups=8), block.convolve.norm)
    )
    gate = block.gate
    convs = [m for m in gate.modules() if isinstance(m, nn.Conv3d)]
    squeezed = functional.silu(functional.conv3d(y.mean((2, 3, 4), keepdim=True), convs[0].weight, convs[0].bias))
    y = y * functional.conv3d(squeezed, convs[1].weight, convs[1].bias).sigmoid()
    y = norm(functional.conv3d(y, block.narrow.conv.weight), block.narrow.norm)
    with torch.no_grad():
        assert torch.allclose(block(x), x + 0.3 * y, atol=1e-5)


def test_hard_sigmoid() -> None:
    x = torch.tensor([-9.0, -2.5, 0.0, 1.0, 2.5, 9.0])
    assert torch.allclose(HardSigmoid()(x), torch.tensor([0.0, 0.0, 0.5, 0.7, 1.0, 1.0]))


def test_the_causal_twin_sees_no_later_frame_and_the_base_does() -> None:
    x = torch.randn(1, 2, 6, 32, 32)
    changed = x.clone()
    changed[:, :, 4:] += 1
    for variant, causal in (("tiny-stream", True), ("tiny", False)):
        network = lived_in(make(variant))
        before, after = network.features(x)[:, :, :4], network.features(changed)[:, :, :4]
        assert torch.allclose(before, after, atol=1e-5) is causal


@pytest.mark.spec("late-temporal-bert", "F38")
@pytest.mark.parametrize("head", [None, "average"])
@pytest.mark.parametrize("pieces", [[1] * 9, [4, 1, 2, 2], [9]])
def test_streams_that_share_a_network_give_the_logits_of_the_whole(pieces: list[int], head: str | None) -> None:
    network = lived_in(make("tiny-stream", head=head))
    generator = torch.Generator().manual_seed(2)
    clips = [torch.randn(2, 2, 9, 33, 40, generator=generator) for _ in range(2)]
    streams, seen = [network.stream() for _ in clips], 0
    for frames in pieces:
        for x, stream in zip(clips, streams, strict=True):
            logits = stream.step(x[:, :, seen : seen + frames])
            with torch.no_grad():
                assert torch.allclose(logits, network(x[:, :, : seen + frames]), atol=1e-5)
        seen += frames
    assert [stream.frames for stream in streams] == [9, 9]


def test_frames_of_another_size_are_refused_and_leave_the_stream_as_it_was() -> None:
    network, x = lived_in(make("tiny-stream")), torch.randn(1, 2, 4, 32, 40)
    stream = network.stream()
    stream.step(x[:, :, :2])
    for wrong in (torch.randn(1, 2, 1, 40, 32), torch.randn(2, 2, 1, 32, 40)):
        with pytest.raises(BadValue, match="all frames of a stream have one size"):
            stream.step(wrong)
    with torch.no_grad():
        assert torch.allclose(stream.step(x[:, :, 2:]), network(x), atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(BadValue, match="cannot be fed frame by frame"):
        make("tiny").eval().stream()
    with pytest.raises(BadValue):
        make("tiny-stream").stream()  # in training mode
