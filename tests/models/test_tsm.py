"""TSM: it adds nothing but the shift, looks the right way, and streams."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.layers.inverted_residual import InvertedResidual
from secondlook.layers.non_local import NonLocal
from secondlook.layers.temporal_shift import TemporalShift
from secondlook.models import tsm
from secondlook.models._frame_network import FoldedNonLocal


def make(variant: str = "tiny", **options) -> tsm.TSM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = tsm.build(variant, 5, in_channels=3, **options)
    return spread(network)


def spread(network: nn.Module) -> tsm.TSM:
    """Running statistics as after training, so that no frame's signal fades."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(2, 3, 6, 32, 32, generator=torch.Generator().manual_seed(0)))
    network.eval()
    assert isinstance(network, tsm.TSM)
    return network


def clip(frames: int = 6, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, frames, 32, 32, generator=torch.Generator().manual_seed(9))


def sees(network: tsm.TSM, changed: int) -> list[bool]:
    """Whether each frame's logits change when frame `changed` of the input does."""
    x, y = clip(), clip()
    y[:, :, changed] += 1
    with torch.no_grad():
        difference = (network.frame_logits(x) - network.frame_logits(y)).abs().amax((0, 2))
    return (difference > 1e-6).tolist()


@pytest.mark.spec("late-temporal-bert", "F37")
@pytest.mark.parametrize("variant", ["r50", "r50-online"])
@pytest.mark.parametrize("placement", ["residual", "in_place"])
@pytest.mark.parametrize("fraction", [0.0, 0.125, 0.25, 0.5])
def test_adds_no_parameter(variant: str, placement: str, fraction: float) -> None:
    with torch.device("meta"):
        network = tsm.build(variant, 51, placement=placement, shift_fraction=fraction)
    assert sum(p.numel() for p in network.parameters()) == 23_612_531


@pytest.mark.spec("label-reassessment", "I4")
@pytest.mark.spec("late-temporal-bert", "F37")
@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("placement", ["residual", "in_place"])
def test_a_block_shifts_where_it_says(placement: str, online: bool) -> None:
    """A block with a shift is the block without one, fed the shifted input: in its branch only, or in both branches."""
    shifted = make(placement=placement, online=online)
    inner = shifted.layer1[0] if placement == "residual" else shifted.layer1[0].block
    shift = next(m for m in shifted.layer1.modules() if isinstance(m, TemporalShift))
    assert (shift.online, shift.fraction) == (online, 0.125)
    x_BTCHW = torch.randn(2, 6, 16, 8, 8)
    moved = x_BTCHW.clone()
    if online:
        moved[:, 0, :2], moved[:, 1:, :2] = 0, x_BTCHW[:, :-1, :2]
    else:
        moved[:, -1, :2], moved[:, :-1, :2] = 0, x_BTCHW[:, 1:, :2]
        moved[:, 0, 2:4], moved[:, 1:, 2:4] = 0, x_BTCHW[:, :-1, 2:4]
    x, moved = x_BTCHW.flatten(0, 1), moved.flatten(0, 1)
    shift.frames = 6
    branch = inner.norm2(inner.conv2(torch.relu(inner.norm1(inner.conv1.conv(moved)))))
    expected = torch.relu(branch + inner.shortcut(x if placement == "residual" else moved))
    otherwise = torch.relu(branch + inner.shortcut(moved if placement == "residual" else x))
    assert torch.allclose(shifted.layer1[0](x), expected, atol=1e-5)
    assert not torch.allclose(otherwise, expected, atol=1e-2), "the two placements differ here"


@pytest.mark.spec("label-reassessment", "I4")
@pytest.mark.parametrize("variant", ["tiny", "tiny-online"])
def test_logits_are_the_mean_of_those_of_the_frames(variant: str) -> None:
    network = make(variant)
    assert torch.allclose(network(clip()), network.frame_logits(clip()).mean(1), atol=1e-6)


@pytest.mark.spec("late-temporal-bert", "F37")
def test_resnet101_shifts_in_every_second_block() -> None:
    """As the release does where the third stage has 23 blocks; in place, before every block."""
    with torch.device("meta"):
        inside, before = tsm.build("r101", 5), tsm.build("r101", 5, placement="in_place")
        counts = {variant: len(tsm.build(variant, 5).shifts()) for variant in ("r18", "r34", "r50", "r50-nl")}
    stages = [getattr(inside, f"layer{i}") for i in (1, 2, 3, 4)]
    for stage in stages:
        has = [any(isinstance(m, TemporalShift) for m in block.modules()) for block in stage]
        assert has == [b % 2 == 0 for b in range(len(stage))]
    assert (len(inside.shifts()), len(before.shifts())) == (18, 33)
    assert counts == {"r18": 8, "r34": 16, "r50": 16, "r50-nl": 16}


@pytest.mark.spec("late-temporal-bert", "F37")
@pytest.mark.parametrize("placement", ["residual", "in_place"])
def test_mobilenet_shifts_where_there_is_a_sum(placement: str) -> None:
    network = make("tiny-mobilenet_v2", placement=placement)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in list(stage)[:2]:
            inner = block if isinstance(block, InvertedResidual) else block.block
            shifts = [m for m in block.modules() if isinstance(m, TemporalShift)]
            assert len(shifts) == (inner.sum is not None)
            assert (inner.before in shifts) == (placement == "residual" and bool(shifts))
    block = network.layer1[1]
    x_NCHW = torch.randn(12, 16, 8, 8)
    shift = next(m for m in block.modules() if isinstance(m, TemporalShift))
    shift.frames = 6
    inner = block if placement == "residual" else block.block
    moved = shift(x_NCHW)
    branch = inner.norm(inner.separable(inner.expand(moved)))
    assert torch.allclose(block(x_NCHW), branch + (x_NCHW if placement == "residual" else moved), atol=1e-5)


@pytest.mark.spec("late-temporal-bert", "F48")
def test_tiny_mobilenet_has_the_parts_of_the_big_one() -> None:
    with torch.device("meta"):
        tiny, big = tsm.build("tiny-mobilenet_v2", 5), tsm.build("mobilenet_v2", 5)
    assert sum(p.numel() for p in tiny.parameters()) < 1e6
    assert [name for name, _ in tiny.stem.named_modules()] == [name for name, _ in big.stem.named_modules()]
    assert {type(m) for m in tiny.modules()} == {type(m) for m in big.modules()}


def test_non_local_blocks_see_all_frames_and_so_never_run_online() -> None:
    with torch.device("meta"):
        network = tsm.build("r50-nl", 5)
    blocks = [name for name, m in network.named_modules() if isinstance(m, FoldedNonLocal)]
    assert blocks == [f"{block}.non_local" for block in ("layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4")]
    assert not network.online
    with torch.device("meta"):
        assert not tsm.build("r50-nl", 5, shift_fraction=0).online
    with pytest.raises(BadValue, match="a non-local block looks at all frames"):
        tsm.build("r50-nl", 5, online=True)


def test_a_folded_non_local_block_keeps_clips_apart() -> None:
    """Its folded form is the plain one on clips; a place of one clip gathers from no other clip."""
    block = FoldedNonLocal(8, pool_last=True).eval()
    nn.init.ones_(block.norm.weight)
    block.frames = 3
    x_BCTHW = torch.randn(2, 8, 3, 4, 4)
    folded = block(x_BCTHW.transpose(1, 2).flatten(0, 1)).reshape(2, 3, 8, 4, 4).transpose(1, 2)
    plain = NonLocal(8, pool_last=True).eval()
    plain.load_state_dict(block.state_dict())
    assert torch.allclose(folded, torch.cat([plain(x_BCTHW[i : i + 1]) for i in range(2)]), atol=1e-6)


def test_frames_see_both_ways_offline() -> None:
    """Six blocks with one shift each: six frames far in either direction; without shifts in the first two, four."""
    assert sees(make(), 0) == [True] * 6
    assert sees(make(), 5) == [True] * 6
    shorter = make()
    for shift in shorter.shifts()[:2]:
        shift.fraction = 0.0
    assert sees(shorter, 0) == [True] * 5 + [False]
    assert sees(shorter, 5) == [False] + [True] * 5


@pytest.mark.spec("late-temporal-bert", "F38")
@pytest.mark.parametrize("placement", ["residual", "in_place"])
@pytest.mark.parametrize("changed", range(6))
@pytest.mark.parametrize("variant", ["tiny-online", "tiny-mobilenet_v2"])
def test_online_is_causal(variant: str, changed: int, placement: str) -> None:
    network = make(variant, placement=placement, online=True)
    seen = sees(network, changed)
    assert not any(seen[:changed])
    assert all(seen[changed : changed + len(network.shifts()) + 1])


@pytest.mark.parametrize("changed", [0, 3])
def test_without_shift_it_is_tsn(changed: int) -> None:
    assert sees(make(shift_fraction=0), changed) == [t == changed for t in range(6)]


def test_tsn_does_not_care_for_order_but_tsm_does() -> None:
    x = clip()
    assert torch.allclose(make(shift_fraction=0)(x), make(shift_fraction=0)(x.flip(2)), atol=1e-6)
    assert not torch.allclose(make()(x), make()(x.flip(2)), atol=1e-4)


def test_length_is_free_between_calls() -> None:
    network = make()
    before = network(clip(6))
    network(clip(3))
    assert torch.equal(network(clip(6)), before)


@pytest.mark.spec("late-temporal-bert", "F38")
@pytest.mark.parametrize("pieces", [[1] * 6, [2, 3, 1], [6]])
@pytest.mark.parametrize("placement", ["residual", "in_place"])
@pytest.mark.parametrize("variant", ["tiny-online", "tiny-mobilenet_v2"])
def test_streaming_gives_the_logits_of_the_whole(variant: str, pieces: list[int], placement: str) -> None:
    network, x = make(variant, placement=placement, online=True), clip(6)
    stream = network.stream()
    seen = 0
    for frames in pieces:
        logits = stream.step(x[:, :, seen : seen + frames])
        seen += frames
        assert torch.allclose(logits, network(x[:, :, :seen]), atol=1e-5)
    assert stream.frames == 6


def test_streams_do_not_disturb_each_other_or_the_network() -> None:
    network, x, y = make("tiny-online"), clip(4), clip(4) + 1
    whole = network(x)
    one, other = network.stream(), network.stream()
    for t in range(4):
        a, b = one.step(x[:, :, t : t + 1]), other.step(y[:, :, t : t + 1])
    assert torch.allclose(a, whole, atol=1e-5)
    assert torch.allclose(b, network(y), atol=1e-5)
    assert torch.equal(network(x), whole)
    with pytest.raises(BadValue):
        one.step(x[:, :2])
    assert torch.equal(network(x), whole), "a failed step leaves nothing behind"


def test_only_an_online_network_at_rest_streams() -> None:
    with pytest.raises(BadValue, match="only an online TSM"):
        make().stream()
    with pytest.raises(BadValue, match="training mode"):
        make("tiny-online").train().stream()


@pytest.mark.parametrize(("variant", "online", "causal"), [("tiny", True, True), ("tiny-online", None, True)])
def test_online_by_name_or_by_option(variant: str, online: bool | None, causal: bool) -> None:
    assert make(variant, online=online).online is causal


def test_refuses_an_unknown_placement() -> None:
    with pytest.raises(BadValue, match="residual or in_place"):
        tsm.build("tiny", 3, placement="inplace")
