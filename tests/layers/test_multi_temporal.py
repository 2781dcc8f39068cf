"""Multi-temporal convolution: its split, a slow twin, receptive field, gradients, work, precision; and its block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.frame_selection import triplet_cosine_numpy
from secondlook.layers.halving_pool import POOLINGS
from secondlook.layers.multi_temporal import MultiTemporalConv, channel_split
from secondlook.layers.multi_temporal_block import MultiTemporalBlock
from secondlook.layers.squeeze_recursion import SqueezeRecursion
from secondlook.models._count import parameters

RATIOS = (1, 7 / 8, 3 / 4, 5 / 8, 1 / 2, 3 / 8, 1 / 4)


def shaken(module: nn.Module) -> nn.Module:
    """In evaluation, with normalisations that do something."""
    generator = torch.Generator().manual_seed(1)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm3d):
            m.weight.data.uniform_(0.5, 1.5, generator=generator)
            m.running_var.uniform_(0.5, 1.5, generator=generator)
            m.bias.data.normal_(0, 0.3, generator=generator)
            m.running_mean.normal_(0, 0.3, generator=generator)
    return module.eval()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "35")
def test_split() -> None:
    """The fixtures of section 12; and no width loses a channel."""
    at_7_8 = {24: (21, 3), 48: (42, 6), 54: (47, 7), 96: (84, 12), 108: (94, 14), 192: (168, 24), 216: (189, 27)}
    for channels, parts in {**at_7_8, 432: (378, 54)}.items():
        assert channel_split(channels, 7 / 8) == parts
    others = {3 / 8: (20, 34), 1 / 4: (13, 41), 5 / 8: (33, 21), 3 / 4: (40, 14)}
    for ratio, parts in others.items():
        assert channel_split(54, ratio) == parts
    for ratio in RATIOS:
        for channels in range(1, 700):
            local, prolonged = channel_split(channels, ratio)
            assert local + prolonged == channels
            assert local == np.floor(channels * ratio)
            assert prolonged == np.ceil((1 - ratio) * channels)
    for tenths in range(1, 10):  # 0.7 * 10 is 6.999...
        assert channel_split(10, tenths / 10) == (tenths, 10 - tenths)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "36")
@pytest.mark.parametrize("stride", [1, 2])
def test_ratio_one_is_a_plain_convolution(stride: int) -> None:
    module = shaken(MultiTemporalConv(3, 8, 3, stride, ratio=1))
    assert {name.partition(".")[0] for name, _ in module.named_parameters()} == {"local", "local_norm"}
    assert parameters(module) == 27 * 3 * 8 + 2 * 8
    x_BCTHW = torch.randn(2, 3, 5, 7, 6)
    plain = functional.conv3d(x_BCTHW, module.local.weight, None, stride, 1)
    assert torch.equal(module(x_BCTHW), module.local_norm(plain).relu())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "36", "99")
@pytest.mark.parametrize("ratio", [0, -0.5, 1.01, "half", True])
def test_a_ratio_that_cannot_be(ratio: float) -> None:
    with pytest.raises(BadValue, match=r"must lie in \(0, 1\]"):
        MultiTemporalConv(8, 8, ratio=ratio)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(BadValue, match="leaves no local one"):
        MultiTemporalConv(8, 3, ratio=0.25)
    with pytest.raises(UnknownName, match="Did you mean 'softpool_cos'"):
        MultiTemporalConv(8, 8, pooling="softpool_cosine")
    with pytest.raises(BadValue, match="as many channels out as in"):
        MultiTemporalConv(8, 16, depthwise=True)
    with pytest.raises(BadValue, match="groups must be at least 1"):
        MultiTemporalConv(8, 8, groups=0)
    with pytest.raises(BadValue, match="lateral_kernel must be odd"):
        MultiTemporalConv(8, 8, lateral_kernel=2)
    with pytest.raises(UnknownName, match="Did you mean 'before'"):
        MultiTemporalBlock(4, 9, 4, recursion_place="befor")
    with pytest.raises(UnknownName, match="Did you mean 'gru'"):
        MultiTemporalBlock(4, 9, 4, cell="gruu")


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "37")
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("stride", [1, 2, (1, 2, 2), (2, 1, 1), 3])
@pytest.mark.parametrize("share_frames", [True, False])
def test_shape_is_that_of_the_convolution(pooling: str, stride: int | tuple, share_frames: bool) -> None:
    module = MultiTemporalConv(6, 16, 3, stride, pooling=pooling, share_frames=share_frames).eval()
    plain = nn.Conv3d(6, 16, 3, stride, 1)
    for shape in [(8, 6, 6), (13, 7, 5), (6, 5, 9), (7, 4, 4), (1, 1, 1), (1, 5, 1), (2, 1, 4), (3, 3, 3)]:
        x_BCTHW = torch.randn(1, 6, *shape)
        assert module(x_BCTHW).shape == plain(x_BCTHW).shape
    unpadded = MultiTemporalConv(6, 16, 3, stride, 0, pooling=pooling, share_frames=share_frames).eval()
    assert unpadded(x_BCTHW).shape == nn.Conv3d(6, 16, 3, stride)(x_BCTHW).shape
    wide = MultiTemporalConv(6, 16, (1, 5, 3), stride, pooling=pooling).eval()
    assert wide(x_BCTHW).shape == nn.Conv3d(6, 16, (1, 5, 3), stride, (0, 2, 1))(x_BCTHW).shape


def normed(x: np.ndarray, norm: nn.BatchNorm3d) -> np.ndarray:
    w, b, mean, var = (
        p.detach().double().numpy() for p in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    scale = (w / np.sqrt(var + norm.eps))[:, None, None, None]
    return np.maximum((x - mean[:, None, None, None]) * scale + b[:, None, None, None], 0)


def convolved(x: np.ndarray, conv: nn.Conv3d) -> np.ndarray:
    return (
        functional.conv3d(torch.from_numpy(x)[None], conv.weight.double(), None, conv.stride, conv.padding)[0]
        .detach()
        .numpy()
    )


def soft_pooled(x: np.ndarray) -> np.ndarray:
    out = np.zeros((*x.shape[:2], -(-x.shape[2] // 2), -(-x.shape[3] // 2)))
    for c, t, i, j in np.ndindex(out.shape):
        window = x[c, t, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        weight = np.exp(window - window.max())
        out[c, t, i, j] = (weight * window).sum() / weight.sum()
    return out


def stretched(x: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Linear interpolation, half a step from the ends: place i of n reads (i + 1/2) m / n - 1/2."""
    old = x.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, None)
    low = np.minimum(at.astype(int), old - 1)
    high, share = np.minimum(low + 1, old - 1), (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def by_hand(module: MultiTemporalConv, x: np.ndarray) -> np.ndarray:
    """Section 2.8, one clip, step after step."""
    local = normed(convolved(x, module.local), module.local_norm)
    low_x, low_local = soft_pooled(x), soft_pooled(local)
    index = triplet_cosine_numpy(low_x)[1]
    own = triplet_cosine_numpy(low_local)[1]
    step = module.local.stride[0]
    low_local = low_local[:, index[::step] // step if module.share_frames else own]
    lateral = normed(convolved(low_local, module.lateral), module.lateral_norm)
    prolonged = lateral + normed(convolved(low_x[:, index], module.prolonged), module.prolonged_norm)
    for axis in (1, 2, 3):
        prolonged = stretched(prolonged, axis, local.shape[axis])
    return np.concatenate([local, prolonged])


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "30", "38", "41")
@pytest.mark.parametrize(
    ("stride", "shape", "share_frames"),
    [
        (1, (8, 6, 8), True),
        (1, (7, 5, 6), True),
        (1, (6, 4, 5), False),
        ((1, 2, 2), (6, 8, 12), True),
        (2, (8, 8, 8), True),
    ],
)
def test_twin(stride: int, shape: tuple[int, int, int], share_frames: bool) -> None:
    torch.manual_seed(0)
    module = shaken(MultiTemporalConv(4, 16, 3, stride, share_frames=share_frames)).double()
    x_BCTHW = torch.randn(3, 4, *shape, dtype=torch.float64)
    out = module(x_BCTHW).detach()
    for b in range(3):
        np.testing.assert_allclose(out[b].numpy(), by_hand(module, x_BCTHW[b].numpy()), atol=1e-8)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "38", "41")
@pytest.mark.parametrize("pooling", POOLINGS)
def test_branches_and_their_order(pooling: str) -> None:
    """The prolonged convolution sees half of each side; its sum is restored; local channels come first."""
    module = shaken(MultiTemporalConv(4, 16, pooling=pooling))
    seen: dict[str, Tensor] = {}
    for name in ("prolonged", "lateral"):
        module.get_submodule(name).register_forward_pre_hook(lambda _m, x, name=name: seen.__setitem__(name, x[0]))
    for name in ("local_act", "sum"):
        module.get_submodule(name).register_forward_hook(lambda _m, _x, y, name=name: seen.__setitem__(name, y))
    out = module(torch.randn(2, 4, 9, 6, 7))
    assert seen["prolonged"].shape == (2, 4, 4, 3, 4)
    assert seen["lateral"].shape == (2, 14, 4, 3, 4)
    assert seen["sum"].shape == (2, 2, 4, 3, 4)
    assert torch.equal(out[:, :14], seen["local_act"])
    restored = functional.interpolate(seen["sum"], (9, 6, 7), mode="trilinear", align_corners=False)
    assert torch.equal(out[:, 14:], restored)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "39")
@pytest.mark.parametrize("axis", [2, 3, 4])
@pytest.mark.parametrize("pooling", ["softpool", "softpool_cos", "avg_cos"])
def test_receptive_field_is_twice_as_large(axis: int, pooling: str) -> None:
    """The first place changes; the fourth is beyond a kernel of 3, and within one on a clip of half the sides."""
    torch.manual_seed(0)
    module = shaken(MultiTemporalConv(4, 16, pooling=pooling))
    nn.init.ones_(module.prolonged_norm.bias)
    nn.init.ones_(module.lateral_norm.bias)
    if module.pool.selection is not None:  # every second frame, whatever changes

        class EverySecond(nn.Module):
            def forward(self, x_BCTHW: Tensor) -> Tensor:
                return torch.arange(0, x_BCTHW.shape[2], 2)[None].expand(len(x_BCTHW), -1)

        module.pool.selection = EverySecond()
    x_BCTHW = torch.randn(1, 4, 12, 12, 12)
    other = x_BCTHW.clone()
    other.select(axis, 0).add_(torch.randn(1, 4, 12, 12))
    difference = (module(x_BCTHW) != module(other)).movedim(axis, 0)
    local, prolonged = difference[:, :, :14].flatten(1).any(1), difference[:, :, 14:].flatten(1).any(1)
    assert local.tolist() == [True, True] + [False] * 10
    assert prolonged.tolist() == [True] * 5 + [False] * 7


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "40")
def test_prolonged_channels_learn_from_the_local_branch() -> None:
    torch.manual_seed(0)
    module = MultiTemporalConv(4, 16)
    module(torch.randn(2, 4, 6, 6, 6))[:, 14:].square().sum().backward()
    for name in ("local", "lateral", "prolonged"):
        assert module.get_submodule(name).weight.grad.abs().sum() > 0
    assert module.lateral.weight.shape == (2, 14, 1, 1, 1)


def test_groups_and_streams() -> None:
    """As many groups as divide both sides; streams read their share of the input alone."""
    grouped = MultiTemporalConv(216, 216, groups=8)
    assert [m.groups for m in (grouped.local, grouped.lateral, grouped.prolonged)] == [3, 3, 3]  # 216, 189, 27
    thin = MultiTemporalConv(54, 54, depthwise=True)
    assert [m.groups for m in (thin.local, thin.lateral, thin.prolonged)] == [47, 1, 7]
    assert thin.local.weight.shape == (47, 1, 3, 3, 3)
    torch.manual_seed(0)
    streams = shaken(MultiTemporalConv(16, 16, split_input=True))
    assert [streams.local.in_channels, streams.prolonged.in_channels] == [14, 2]
    x_BCTHW = torch.randn(1, 16, 4, 4, 4)
    other = x_BCTHW.clone()
    other[:, 14:] += 1
    assert torch.equal(streams(x_BCTHW)[:, :14], streams(other)[:, :14])
    assert not torch.allclose(streams(x_BCTHW)[:, 14:], streams(other)[:, 14:])


def work(module: nn.Module, *shape: int) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape))
    return counter.get_total_flops() // 2


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "46")
def test_work_falls_with_the_ratio() -> None:
    """By hand too: the local branch on the whole clip, the other two convolutions on an eighth of it."""
    macs = []
    for ratio in RATIOS:
        with torch.device("meta"):
            module = MultiTemporalConv(54, 54, ratio=ratio).eval()
        local, prolonged = channel_split(54, ratio)
        macs.append(work(module, 1, 54, 8, 16, 16))
        places = 8 * 16 * 16
        wanted = 27 * 54 * local * places + (27 * 54 * prolonged + local * prolonged) * places // 8
        assert macs[-1] == wanted
        assert parameters(module) == 27 * 54 * 54 + local * prolonged + 2 * local + 4 * prolonged
    assert all(more > less for more, less in itertools.pairwise(macs))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "47")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_mixed_precision(dtype: torch.dtype, pooling: str) -> None:
    """Activations of 10^3, which half precision cannot square; two frames at half the length."""
    torch.manual_seed(0)
    block = MultiTemporalBlock(8, 18, 8, pooling=pooling)
    x_BCTHW = (1e3 * torch.randn(2, 8, 5, 7, 7)).requires_grad_()
    with torch.autocast("cpu", dtype):
        out = block(x_BCTHW)
    out.float().mean().backward()
    assert out.isfinite().all()
    assert x_BCTHW.grad.isfinite().all()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in block.parameters())
    assert all(p.dtype == torch.float32 for p in block.buffers() if p.is_floating_point())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips_have_the_gradient_of_long_ones(frames: int, stride: int) -> None:
    """In bfloat16, where memory that is handed out holds NaN: torch's own gradient at two frames would show it."""
    torch.manual_seed(0)
    module = MultiTemporalConv(16, 16, 3, stride, ratio=1).eval()
    x_BCTHW = torch.randn(2, 16, frames, 4, 4)
    module(x_BCTHW).sum().backward()
    wanted = module.local.weight.grad.clone()
    module.zero_grad()
    rubbish = [torch.full((n,), float("nan"), dtype=torch.bfloat16) for n in (512, 1024, 2048, 6912, 13824)]
    del rubbish
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x_BCTHW)
    out.float().sum().backward()
    assert (module.local.weight.grad - wanted).norm() < 0.05 * wanted.norm()
    assert torch.equal(module.local(x_BCTHW), functional.conv3d(x_BCTHW, module.local.weight, None, stride, 1))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "44")
@pytest.mark.parametrize("place", ["before", "final"])
@pytest.mark.parametrize("stride", [1, 2])
def test_block(place: str, stride: int) -> None:
    """Step by step; the recursion is a GRU of two layers without a gate, and runs once."""
    block = shaken(MultiTemporalBlock(6, 16, 8, (1, stride), recursion_place=place))
    assert isinstance(block.recursion.recursion.recurrent, nn.GRU)
    assert block.recursion.recursion.recurrent.num_layers == 2
    assert block.recursion.gate is None
    assert sum(isinstance(m, SqueezeRecursion) for m in block.modules()) == 1
    calls: list[int] = []
    block.recursion.register_forward_hook(lambda *_: calls.append(1))
    x_BCTHW = torch.randn(2, 6, 5, 6, 6)
    out = block(x_BCTHW)
    assert calls == [1]
    y = block.conv2(block.norm1(block.conv1(x_BCTHW)).relu())
    y = block.norm3(block.conv3(y))

    def weighted(a: Tensor) -> Tensor:
        h_BTC = block.recursion.recursion.recurrent(a.mean((3, 4)).transpose(1, 2))[0]
        return a * h_BTC.transpose(1, 2)[..., None, None]

    if place == "before":
        wanted = (weighted(y) + block.shortcut(x_BCTHW)).relu()
    else:
        wanted = weighted((y + block.shortcut(x_BCTHW)).relu())
    assert torch.allclose(out, wanted, atol=1e-6)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "44")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "lstm-peephole"])
def test_other_cells(cell: str) -> None:
    block = MultiTemporalBlock(6, 16, 8, cell=cell, recursion_layers=1)
    assert block(torch.randn(1, 6, 4, 4, 4)).shape == (1, 8, 4, 4, 4)


@pytest.mark.parametrize("batch", [1, 2])
def test_frozen_weights_give_the_same_numbers(batch: int) -> None:
    """To the last bit."""
    block, x_BCTHW = MultiTemporalBlock(6, 16, 8).eval(), torch.randn(batch, 6, 8, 6, 6)
    with torch.no_grad():
        wanted = block(x_BCTHW)
    assert torch.equal(block(x_BCTHW), wanted)
    assert torch.equal(block.requires_grad_(False)(x_BCTHW.requires_grad_()), wanted)


@pytest.mark.parametrize("options", [{}, {"split_input": True}, {"depthwise": True}, {"groups": 2}])
def test_all_convolutions_multi_temporal(options: dict) -> None:
    torch.manual_seed(0)
    block = MultiTemporalBlock(8, 16, 8, (1, 2), all_multi_temporal=True, **options)
    assert sum(isinstance(m, MultiTemporalConv) for m in block.modules()) == 3
    x_BCTHW = torch.randn(2, 8, 5, 6, 6)
    out = block(x_BCTHW)
    assert out.shape == (2, 8, 5, 3, 3)
    out.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())
