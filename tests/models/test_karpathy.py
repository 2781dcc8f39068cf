"""Karpathy's nets: the paper's layer plan, where frames meet, and each against plain functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.models import karpathy
from secondlook.models._count import parameters

FUSIONS = ("single_frame", "early", "late", "slow")
TINY = {fusion: "tiny" if fusion == "slow" else f"tiny-{fusion}" for fusion in FUSIONS}
FRAMES = {"single_frame": 10, "early": 10, "late": 16, "slow": 10}


def make(variant: str, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = karpathy.build(variant, 5, **{"in_channels": 3, **options})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
    return network.eval()


def clip(fusion: str, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, FRAMES[fusion], 56, 72, generator=torch.Generator().manual_seed(9))


@pytest.mark.spec("layerwise-relevance", "R9")
@pytest.mark.parametrize(
    ("variant", "frames_left"),
    [("single_frame", (10,) * 5), ("early", (1,) * 5), ("late", (2,) * 5), ("slow", (4, 2, 1, 1, 1))],
)
def test_plan_of_the_paper(variant: str, frames_left: tuple[int, ...]) -> None:
    """170 pixels become 27, 13, 13, 13, 6 after five convolutions and three pools; counts by hand."""
    card = karpathy.CARDS[variant]
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        network = karpathy.build(variant, 487).eval()
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
            network.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
        assert network(torch.empty(1, 3, card.clip.frames, 170, 170)).shape == (1, 487)
    channels, sizes = (96, 256, 384, 384, 256), (27, 13, 13, 13, 6)
    assert seen == [(c, t, s, s) for c, t, s in zip(channels, frames_left, sizes, strict=True)]
    extent = {"early": (10, 1, 1), "slow": (4, 2, 2)}.get(variant, (1, 1, 1))
    kernels = (
        (3 * 121 * extent[0] + 1) * 96
        + (96 * 25 * extent[1] + 1) * 256
        + (256 * 9 * extent[2] + 1) * 384
        + (384 * 9 + 1) * 384
        + (384 * 9 + 1) * 256
    )
    towers = 2 if variant == "late" else 1
    dense = (9216 * towers + 1) * 4096 + 4097 * 4096 + 4097 * 487
    assert parameters(network) == kernels + dense


@pytest.mark.spec("layerwise-relevance", "R9")
def test_local_response_normalisation_is_alexnets() -> None:
    """`x / (2 + 1e-4 sum of squares over five channels) ** 0.5`, after the rectifier, before the pool."""
    network = make("single_frame", height=60, width=60)
    assert not any(isinstance(m, nn.BatchNorm3d) for m in network.modules())
    assert [name for name, _ in network.conv1.named_children()] == ["conv", "act", "norm", "pool"]
    x = 100 * torch.rand(1, 8, 1, 2, 2)
    expected = torch.empty_like(x)
    for c in range(8):
        around = x[:, max(c - 2, 0) : c + 3].square().sum(1)
        expected[:, c] = x[:, c] / (2 + 1e-4 * around) ** 0.5
    assert torch.allclose(network.conv1.norm(x), expected, rtol=1e-5)


def tower(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """The 2D convolutions of a tiny net on single frames."""
    for i, name in enumerate(("conv1", "conv2", "conv3", "conv4", "conv5")):
        stage = network.get_submodule(name)
        weight_OIHW = stage.conv.weight[:, :, 0]
        x_NCHW = functional.conv2d(x_NCHW, weight_OIHW, stride=2 if i == 0 else 1, padding=1 if i else 0)
        n = stage.norm
        x_NCHW = functional.batch_norm(x_NCHW, n.running_mean, n.running_var, n.weight, n.bias)
        x_NCHW = functional.relu(x_NCHW)
        x_NCHW = functional.max_pool2d(x_NCHW, 2) if i in (0, 1, 4) else x_NCHW
    return x_NCHW


def dense(network: nn.Module, x_NC: Tensor) -> Tensor:
    head = network.head
    return head.classifier(functional.relu(head.fc7(functional.relu(head.fc6(x_NC)))))


@pytest.mark.spec("layerwise-relevance", "R9")
def test_single_frame_is_the_mean_of_frames_alone() -> None:
    network, x_BCTHW = make(TINY["single_frame"]), clip("single_frame")
    alone = [dense(network, tower(network, x_BCTHW[:, :, t]).flatten(1)) for t in range(10)]
    assert torch.allclose(network(x_BCTHW), torch.stack(alone).mean(0), atol=1e-5)
    assert torch.allclose(network(x_BCTHW[:, :, :3]), torch.stack(alone[:3]).mean(0), atol=1e-5), "T is free"
    assert torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-5), "it has no order"


def test_single_frame_learns_from_one_frame() -> None:
    network, x_BCTHW = make(TINY["single_frame"]).train(), clip("single_frame")
    x_BCTHW.requires_grad_()
    network(x_BCTHW).square().sum().backward()
    assert (x_BCTHW.grad.abs().amax((0, 1, 3, 4)) > 0).sum() == 1


@pytest.mark.spec("layerwise-relevance", "R9")
def test_late_is_one_tower_on_the_first_and_last_frame() -> None:
    network, x_BCTHW = make(TINY["late"]), clip("late")
    assert karpathy.CARDS["late"].clip.frames == 16
    assert karpathy.CARDS["late"].clip.stride == 1, "so that the two lie 15 frames apart"
    towers = torch.stack([tower(network, x_BCTHW[:, :, 0]), tower(network, x_BCTHW[:, :, 15])], 2)
    assert torch.allclose(network.features(x_BCTHW), towers, atol=1e-5)
    assert torch.allclose(network(x_BCTHW), dense(network, towers.flatten(1)), atol=1e-5)


@pytest.mark.spec("layerwise-relevance", "R9")
def test_early_joins_all_frames_in_the_first_convolution() -> None:
    """A kernel over the whole clip is the sum over frames of 2D convolutions, and a 2D one on C T channels."""
    network, x_BCTHW = make(TINY["early"]), clip("early")
    weight_OCTHW = network.conv1.conv.weight
    assert weight_OCTHW.shape[2] == 10
    expected = functional.conv2d(x_BCTHW.flatten(1, 2), weight_OCTHW.flatten(1, 2), stride=2)
    assert torch.allclose(network.conv1.conv(x_BCTHW)[:, :, 0], expected, atol=1e-4)
    assert all(network.get_submodule(f"conv{i}").conv.kernel_size[0] == 1 for i in (2, 3, 4, 5))


@pytest.mark.spec("layerwise-relevance", "R9")
def test_slow_sees_more_frames_in_each_layer() -> None:
    """A place of conv1 depends on 4 frames, 2 apart; of conv2 on 6; of conv3 on all ten."""
    network, x_BCTHW = make(TINY["slow"]), clip("slow", 1)
    seen: dict[str, Tensor] = {}
    for name in ("conv1", "conv2", "conv3"):
        network.get_submodule(name).conv.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    network(x_BCTHW.requires_grad_())
    for name, spans in (
        ("conv1", [(0, 4), (2, 6), (4, 8), (6, 10)]),
        ("conv2", [(0, 6), (4, 10)]),
        ("conv3", [(0, 10)]),
    ):
        assert seen[name].shape[2] == len(spans)
        for t, (start, end) in enumerate(spans):
            (gradient,) = torch.autograd.grad(seen[name][:, :, t].square().sum(), x_BCTHW, retain_graph=True)
            touched = gradient.abs().amax((0, 1, 3, 4)) > 0
            assert touched.tolist() == [start <= frame < end for frame in range(10)]


@pytest.mark.parametrize("fusion", ["early", "late", "slow"])
def test_order_matters_where_frames_meet(fusion: str) -> None:
    network, x_BCTHW = make(TINY[fusion]), clip(fusion)
    assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(("frames", "height", "width"), [(12, 40, 48), (23, 19, 30)])
def test_can_be_built_for_other_clips(fusion: str, frames: int, height: int, width: int) -> None:
    network = make(TINY[fusion], frames=frames, height=height, width=width)
    assert network(torch.randn(1, 3, frames, height, width)).shape == (1, 5)
    with pytest.raises(BadValue, match="exactly"):
        network(torch.randn(1, 3, frames, height + 8, width))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_other_heads_leave_the_size_free(fusion: str) -> None:
    network = make(TINY[fusion], head="average")
    for height, width in ((56, 72), (19, 41)):
        assert network(torch.randn(1, 3, FRAMES[fusion], height, width)).shape == (1, 5)
    with pytest.raises(BadValue, match="at least 19 pixels"):
        network(torch.randn(1, 3, FRAMES[fusion], 18, 40))
    in_order = make(TINY[fusion], head="concat")
    assert in_order(clip(fusion)).shape == (2, 5)


@pytest.mark.parametrize(
    ("variant", "options", "rule"),
    [
        ("slow", {"frames": 9}, "at least 10 frames"),
        ("late", {"frames": 1}, "at least 2 frames"),
        ("early", {"height": 31}, "at least 32 pixels"),
        ("tiny", {"norm": "layer"}, "local_response or batch"),
    ],
)
def test_refuses(variant: str, options: dict, rule: str) -> None:
    with pytest.raises(BadValue, match=rule), torch.device("meta"):
        karpathy.build(variant, 5, **options)


@pytest.mark.parametrize("norm", ["local_response", "batch"])
def test_either_normalisation(norm: str) -> None:
    network = make("tiny", norm=norm)
    kinds = {type(m) for m in network.modules()} & {nn.BatchNorm3d, nn.LocalResponseNorm}
    assert kinds == {nn.BatchNorm3d if norm == "batch" else nn.LocalResponseNorm}
    assert network(clip("slow")).isfinite().all()
    assert all((m.bias is None) == (norm == "batch") for m in network.modules() if isinstance(m, nn.Conv3d))


@pytest.mark.spec("late-temporal-bert", "F48")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_tiny_ones_fuse_as_the_big_ones(fusion: str) -> None:
    tiny, big = karpathy.PLANS[TINY[fusion]], karpathy.PLANS[fusion]
    assert replace(tiny, fusion="slow") == karpathy.PLANS["tiny"]
    assert tiny.fusion == big.fusion == fusion
    assert parameters(make(TINY[fusion])) < 1e6
