"""The placements: what the recursion reads, what reads its output, and how wide it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.recursive_block import PLACEMENTS, check_placement, recursive_block
from secondlook.layers.residual import BasicBlock, Bottleneck, shortcut


class Double(nn.Module):
    """In the recursion's place: twice what comes, and a note of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, a: Tensor) -> Tensor:
        self.seen = a
        return 2 * a


def basic() -> BasicBlock:
    around = shortcut(nn.Conv3d, 4, 6, 2, nn.BatchNorm3d)
    convs = (nn.Conv3d(4, 6, 3, 2, 1), nn.Conv3d(6, 6, 3, 1, 1))
    return BasicBlock(*convs, 6, nn.BatchNorm3d, around)


def bottleneck() -> Bottleneck:
    around = shortcut(nn.Conv3d, 4, 6, 2, nn.BatchNorm3d)
    convs = (nn.Conv3d(4, 5, 1), nn.Conv3d(5, 5, 3, 2, 1), nn.Conv3d(5, 6, 1))
    return Bottleneck(convs, 5, nn.BatchNorm3d, around, 6)


def by_hand(block: nn.Module, x: Tensor, placement: str) -> tuple[Tensor, Tensor]:
    """The output, and what the recursion read, with steps written out."""
    read = x
    if placement == "start":
        x = 2 * x
    convs = 3 if isinstance(block, Bottleneck) else 2
    middle = {"top": 1, "mid": 2 if convs == 3 else 1}.get(placement, 0)
    y = x
    for i in range(1, convs + 1):
        y = getattr(block, f"norm{i}")(getattr(block, f"conv{i}")(y))
        if i < convs:
            y = y.relu()
        if i == middle or (i == convs and placement == "end"):
            read, y = y, 2 * y
    around = block.shortcut(x)
    if placement == "res":
        read, around = around, 2 * around
    if placement == "sum":
        return (2 * (y + around)).relu(), y + around
    out = (y + around).relu()
    return (2 * out, out) if placement == "final" else (out, read)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "17")
@pytest.mark.parametrize(
    ("make", "placement"),
    [(bottleneck, p) for p in PLACEMENTS] + [(basic, p) for p in ("start", "mid", "res", "final", "sum")],
)
def test_twin(make, placement: str) -> None:
    block = make().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.bias)
    x_BCTHW = torch.randn(2, 4, 6, 5, 5)
    with torch.no_grad():
        wanted, read = by_hand(block, x_BCTHW, placement)
        made: list[Double] = []

        def double(channels: int) -> Double:
            made.append(Double(channels))
            return made[-1]

        inside = 5 if make is bottleneck else 6
        whole = recursive_block(block, double, placement, (4, inside, 6))
        torch.testing.assert_close(whole(x_BCTHW), wanted)
    assert len(made) == 1
    torch.testing.assert_close(made[0].seen, read)
    assert made[0].channels == read.shape[1]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "17", "99")
def test_refusals() -> None:
    for placement in ("top", "end"):
        with pytest.raises(BadValue, match=r"two convolutions has no such place. Take start, mid, res, final"):
            recursive_block(basic(), Double, placement, (4, 6, 6))
    with pytest.raises(UnknownName, match="Did you mean 'final'"):
        recursive_block(bottleneck(), Double, "finale", (4, 5, 6))
    with pytest.raises(UnknownName, match="placement"):
        check_placement("skip", bottleneck=True)
