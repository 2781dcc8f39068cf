"""I3D: counts, the sizes of its stages, its read-out, and flow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook.errors import BadValue
from secondlook.layers.same_max_pool import SameMaxPool3d
from secondlook.layers.same_padding import SameConv3d
from secondlook.models import i3d
from secondlook.models._count import cost, cost_of, on_meta, parameters
from secondlook.models._inception import WindowHead, WindowPool


@pytest.mark.spec("late-temporal-bert", "F31")
def test_is_the_network_of_the_specification() -> None:
    """Counts at 51 classes, and every row of the layer plan for 64 x 224 x 224."""
    with torch.device("meta"):
        rgb, flow = i3d.build("rgb", 51), i3d.build("flow", 51)
    assert (parameters(rgb), parameters(flow)) == (12_339_539, 12_317_587)
    assert parameters(rgb) - parameters(flow) == 21_952
    stages = cost(rgb, i3d.CARDS["rgb"].explain, (3, 64, 224, 224)).stages
    assert [(s.module, *s.output) for s in stages] == [
        ("conv_1a", 64, 32, 112, 112),
        ("conv_2b", 64, 32, 56, 56),
        ("conv_2c", 192, 32, 56, 56),
        ("mixed_3b", 256, 32, 28, 28),
        ("mixed_3c", 480, 32, 28, 28),
        ("mixed_4b", 512, 16, 14, 14),
        ("mixed_4c", 512, 16, 14, 14),
        ("mixed_4d", 512, 16, 14, 14),
        ("mixed_4e", 528, 16, 14, 14),
        ("mixed_4f", 832, 16, 14, 14),
        ("mixed_5b", 832, 8, 7, 7),
        ("mixed_5c", 1024, 8, 7, 7),
        ("head.classifier", 51),
    ]


@pytest.mark.spec("late-temporal-bert", "F31")
def test_pads_as_tensorflow_and_adds_a_thousandth() -> None:
    with torch.device("meta"):
        network = i3d.build("rgb", 5)
    trunk = [m for name, m in network.named_modules() if not name.startswith("head")]
    convolutions = [m for m in trunk if isinstance(m, nn.Conv3d)]
    assert len(convolutions) == 57
    assert all(isinstance(m, SameConv3d) and m.bias is None for m in convolutions)
    assert sum(isinstance(m, SameMaxPool3d) for m in trunk) == 4 + 9
    assert not any(isinstance(m, nn.MaxPool3d) for m in trunk)
    assert all(m.eps == 1e-3 for m in trunk if isinstance(m, nn.BatchNorm3d))


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (9, 33), (16, 32), (17, 40)])
def test_each_side_is_an_eighth_and_a_32nd_rounded_up(frames: int, size: int) -> None:
    with torch.device("meta"):
        features = i3d.build("tiny", 3).eval().features(torch.empty(1, 2, frames, size, size + 1))
    assert features.shape[2:] == (-(-frames // 8), -(-size // 32), -(-(size + 1) // 32))


def test_flow_has_two_channels_unless_told() -> None:
    """By its card and by itself; RGB clips are refused with the rule."""
    with torch.device("meta"):
        assert i3d.build("flow", 3).conv_1a.conv.in_channels == 2
        assert i3d.build("flow", 3, in_channels=20).conv_1a.conv.in_channels == 20
        network = i3d.build("flow", 3)
    card = i3d.CARDS["flow"]
    assert cost_of(card, 400).input == (2, 64, 224, 224)
    assert on_meta(card, 3).conv_1a.conv.in_channels == 2
    with pytest.raises(BadValue, match="wants B x 2 x T x H x W"):
        network(torch.empty(1, 3, 8, 32, 32, device="meta"))


def windows_by_loops(x_BCTHW: torch.Tensor) -> torch.Tensor:
    """The slow twin: the mean of each window of 2 x 7 x 7, and then the mean over windows."""
    frames, height, width = x_BCTHW.shape[2:]
    t, h, w = min(2, frames), min(7, height), min(7, width)
    means = [
        x_BCTHW[:, :, i : i + t, j : j + h, k : k + w].mean((2, 3, 4))
        for i in range(frames - t + 1)
        for j in range(height - h + 1)
        for k in range(width - w + 1)
    ]
    return torch.stack(means).mean(0)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 7, 7), (2, 7, 7), (8, 7, 7), (3, 8, 7), (4, 3, 9)])
def test_read_out_is_the_mean_of_windows(sizes: tuple[int, ...]) -> None:
    x_BCTHW = torch.randn(2, 4, *sizes, generator=torch.Generator().manual_seed(0))
    pooled = WindowPool()(x_BCTHW)
    assert torch.allclose(pooled, windows_by_loops(x_BCTHW), atol=1e-6)
    as_whole = sizes[0] <= 2 and sizes[1] <= 7 and sizes[2] <= 7
    assert torch.allclose(pooled, x_BCTHW.mean((2, 3, 4)), atol=1e-6) == as_whole


def test_border_frames_weigh_half() -> None:
    x_BCTHW = torch.zeros(8, 1, 8, 7, 7)
    for t in range(8):
        x_BCTHW[t, :, t] = 1
    assert torch.allclose(WindowPool()(x_BCTHW).flatten() * 14, torch.tensor([1.0, 2, 2, 2, 2, 2, 2, 1]))


def test_average_is_another_read_out_with_as_many_weights() -> None:
    own, average = (i3d.build("tiny", 3, head).eval() for head in (None, "average"))
    average.load_state_dict(own.state_dict())
    x_BCTHW = torch.randn(1, 2, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    assert isinstance(own.head, WindowHead)
    assert torch.equal(own.features(x_BCTHW), average.features(x_BCTHW))
    assert not torch.allclose(own(x_BCTHW), average(x_BCTHW), rtol=1e-3)
