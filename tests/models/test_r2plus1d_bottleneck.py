"""The bottleneck R(2+1)D: time before space, and strides as PyTorchVideo has them."""

from __future__ import annotations

import torch
from torch.nn import functional

from secondlook.models import r2plus1d_bottleneck
from secondlook.models._count import parameters


def test_time_comes_first() -> None:
    conv = r2plus1d_bottleneck.TemporalFirstConv(4, (2, 2)).eval()
    x = torch.randn(2, 4, 5, 6, 7)
    padded = torch.cat([torch.zeros(2, 4, 1, 6, 7), x, torch.zeros(2, 4, 1, 6, 7)], 2)
    y = torch.stack(
        [torch.einsum("bcthw,oct->bohw", padded[:, :, t : t + 3], conv.temporal.weight[..., 0, 0]) for t in (0, 2, 4)],
        2,
    )
    y = functional.relu(y / (1 + 1e-5) ** 0.5)
    frames = [functional.conv2d(y[:, :, t], conv.spatial.weight[:, :, 0], None, 2, 1) for t in range(3)]
    assert torch.allclose(conv(x), torch.stack(frames, 2), atol=1e-5)


def test_strides_and_count() -> None:
    with torch.device("meta"):
        network = r2plus1d_bottleneck.build("50", 400)
        maps = network.stage_maps(torch.empty(1, 3, 16, 224, 224))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (256, 16, 56, 56),
        (512, 16, 28, 28),
        (1024, 8, 14, 14),
        (2048, 4, 7, 7),
    ]
    assert parameters(network) == 28_107_600
