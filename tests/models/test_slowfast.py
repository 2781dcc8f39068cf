"""SlowFast: which frames each pathway sees, what crosses between them, and its counts under every option."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.models import slowfast
from secondlook.models._count import parameters


def on_meta(variant: str, classes: int, head: str | None = None, **options: int) -> nn.Module:
    with torch.device("meta"):
        return slowfast.build(variant, classes, head, **options)


@pytest.mark.spec("late-temporal-bert", "F34")
@pytest.mark.parametrize("alpha", [1, 2, 3, 4, 8, 16])
def test_slow_frames_are_spread_from_the_first_to_the_last(alpha: int) -> None:
    for frames in range(alpha, 160, alpha):
        expected = torch.linspace(0, frames - 1, frames // alpha).long().tolist()
        assert slowfast.slow_frames(frames, alpha) == expected


def test_the_slow_pathway_sees_these_frames_and_the_fast_one_all() -> None:
    network = slowfast.build("tiny", 3, in_channels=2).eval()
    seen = {}
    for name in ("slow", "fast"):
        network.get_submodule(f"{name}.stem").register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.__setitem__(name, inputs[0])
        )
    x_BCTHW = torch.randn(1, 2, 16, 20, 24)
    before = x_BCTHW.clone()
    network(x_BCTHW)
    assert torch.equal(seen["fast"], x_BCTHW)
    assert torch.equal(seen["slow"], x_BCTHW[:, :, [0, 5, 10, 15]])
    assert torch.equal(x_BCTHW, before)


@pytest.mark.spec("late-temporal-bert", "F34")
def test_counts_of_the_specification() -> None:
    network = on_meta("50-8x8", 51)
    assert parameters(network) == 33_762_043
    inputs = [network.slow[f"layer{i}"][0].conv1.in_channels for i in (1, 2, 3, 4)]
    assert inputs == [80, 320, 640, 1280]


@pytest.mark.spec("late-temporal-bert", "F34")
@pytest.mark.parametrize(("beta", "ratio", "kernel"), [(8, 2, 5), (4, 2, 7), (16, 1, 3), (8, 3, 7)])
def test_options_count_as_reckoned_by_hand(beta: int, ratio: int, kernel: int) -> None:
    """Each stage's two 1 x 1 x 1 openings grow by what the lateral connection adds; it has its kernel and a norm."""
    network = on_meta("50-8x8", 10, beta_inverse=beta, fusion_ratio=ratio, lateral_kernel=kernel)
    slow_alone = sum(parameters(m) for m in network.slow.values())
    plain = sum(parameters(m) for m in on_meta("50-8x8", 10, fusion_ratio=1, beta_inverse=64).slow.values())
    fast_widths, more, lateral = [c // beta for c in (64, 256, 512, 1024)], 0, 0
    opening = [64 + 256, 128 + 512, 3 * 256 + 1024, 3 * 512 + 2048]  # conv1 and the shortcut; T is 1, 1, 3, 3
    for width, base, outputs in zip(fast_widths, (64, 256, 512, 1024), opening, strict=True):
        more += (ratio * width - base // 64) * outputs
        lateral += ratio * width * (width * kernel + 2)
    assert slow_alone - plain == more
    assert sum(parameters(m) for m in network.lateral.values()) == lateral
    assert network.head.classifier.in_features == 2048 + 2048 // beta


@pytest.mark.spec("late-temporal-bert", "F34")
@pytest.mark.parametrize("alpha", [2, 4, 8])
def test_alpha_thins_the_slow_pathway_only(alpha: int) -> None:
    network = on_meta("50-8x8", 3, alpha=alpha)
    slow, fast = network.pathway_features(torch.empty(2, 3, 16, 64, 96, device="meta"))
    assert slow.shape == (2, 2048, 16 // alpha, 2, 3)
    assert fast.shape == (2, 256, 16, 2, 3)
    assert parameters(network) == parameters(on_meta("50-8x8", 3))


@pytest.mark.spec("late-temporal-bert", "F47")
def test_the_fast_pathway_keeps_all_its_frames() -> None:
    for variant in ("50-4x16", "50-8x8", "101-16x8"):
        slow, fast = on_meta(variant, 3).pathway_features(torch.empty(1, 3, 32, 64, 64, device="meta"))
        assert fast.shape[2] == 32
        assert slow.shape[2] == 32 // slowfast.PLANS[variant].alpha


def test_average_of_the_joined_map_is_the_mean_of_each_pathway_side_by_side() -> None:
    network = slowfast.build("tiny", 5, in_channels=2).eval()
    x_BCTHW = torch.randn(2, 2, 12, 31, 37)
    slow, fast = network.pathway_features(x_BCTHW)
    pooled_BC = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    assert torch.allclose(network(x_BCTHW), network.head.classifier(pooled_BC), atol=1e-6)
    features = network.features(x_BCTHW)
    assert features.shape == (2, 128 + 32, 3, *slow.shape[3:])
    assert torch.equal(features[:, :128], slow)
    for t in range(3):
        assert torch.allclose(features[:, 128:, t], fast[:, :, 4 * t : 4 * t + 4].mean(2), atol=1e-6)


def test_lateral_connections_go_from_fast_to_slow_only() -> None:
    network = slowfast.build("tiny", 3, in_channels=2).eval()
    x_BCTHW = torch.randn(1, 2, 8, 24, 24)
    slow, fast = network.pathway_features(x_BCTHW)
    nn.init.zeros_(network.slow["stem"].conv.weight)
    slow_after, fast_after = network.pathway_features(x_BCTHW)
    assert torch.equal(fast, fast_after)
    assert not torch.allclose(slow, slow_after)
    nn.init.zeros_(network.fast["stem"].conv.weight)
    assert not torch.allclose(network.pathway_features(x_BCTHW)[0], slow_after)


def test_a_lateral_connection_is_a_strided_convolution_beside_the_slow_map() -> None:
    lateral = slowfast.Lateral(3, 5, 7, 4).eval()
    slow, fast = torch.randn(1, 6, 3, 2, 2), torch.randn(1, 3, 12, 2, 2)
    padded = torch.cat([torch.zeros(1, 3, 3, 2, 2), fast, torch.zeros(1, 3, 3, 2, 2)], 2)
    expected = torch.stack(
        [
            torch.einsum("bcthw,oct->bohw", padded[:, :, 4 * t : 4 * t + 7], lateral.conv.weight[..., 0, 0])
            for t in range(3)
        ],
        2,
    )
    joined = lateral(slow, fast)
    assert torch.equal(joined[:, :6], slow)
    assert torch.allclose(joined[:, 6:], (expected / (1 + 1e-5) ** 0.5).relu(), atol=1e-5)


def test_card_names_both_pathways_and_the_joined_map_last() -> None:
    points = slowfast.CARDS["50-8x8"].explain
    assert points.last("slow").module == "slow.layer4"
    assert points.last("fast").module == "fast.layer4"
    assert points.last().module == points.stages[-1].module == "join"
    assert next(p.module for p in points.stages if p.pathway == "fast") == "fast.stem"


@pytest.mark.parametrize("head", [h for h in catalog.names("heads") if h not in ("stage_fusion", "single_frame")])
def test_any_head_works(head: str) -> None:
    network = slowfast.build("tiny", 4, head, in_channels=2, frames=8)
    network(torch.randn(2, 2, 8, 24, 32)).sum().backward()
    assert network.slow["stem"].conv.weight.grad.abs().sum() > 0
    assert network.fast["stem"].conv.weight.grad.abs().sum() > 0
    assert network.eval()(torch.randn(2, 2, 8, 24, 32)).shape == (2, 4)


def test_one_frame_is_too_few_for_two_pathways() -> None:
    with pytest.raises(BadValue, match="learns from one frame, and this network takes at least 4"):
        slowfast.build("tiny", 4, "single_frame")
    with pytest.raises(BadValue, match="Take a ResNet family"):
        slowfast.build("tiny", 4, "stage_fusion")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0}, "alpha must be a whole number of at least 1"),
        ({"fusion_ratio": 1.5}, "fusion_ratio must be a whole number"),
        ({"lateral_kernel": 4}, "must be odd"),
        ({"beta_inverse": 5}, r"must divide the slow pathway's widths .+ Take 8\."),
    ],
)
def test_options_that_cannot_be(options: dict[str, int], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        slowfast.build("50-8x8", 3, **options)


def test_frames_that_alpha_does_not_divide() -> None:
    with pytest.raises(BadValue, match="takes a multiple of 8 frames, and the clip has 12"):
        on_meta("50-4x16", 3)(torch.empty(1, 3, 12, 32, 32, device="meta"))
