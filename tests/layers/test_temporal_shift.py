"""The temporal shift against plain loops over frames and channels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from secondlook.errors import BadValue
from secondlook.layers.temporal_shift import TemporalShift


def shift_by_loops(x_BTCHW: Tensor, n: int, online: bool) -> Tensor:
    """The slow twin: every frame and channel looks up where it comes from."""
    out = torch.zeros_like(x_BTCHW)
    clips, frames, channels = x_BTCHW.shape[:3]
    for b in range(clips):
        for t in range(frames):
            for c in range(channels):
                source = t
                if c < n:
                    source = t - 1 if online else t + 1
                elif c < 2 * n and not online:
                    source = t - 1
                if 0 <= source < frames:
                    out[b, t, c] = x_BTCHW[b, source, c]
    return out


def shifted(x_BTCHW: Tensor, fraction: float, online: bool) -> Tensor:
    shift = TemporalShift(fraction, online=online)
    shift.frames = x_BTCHW.shape[1]
    return shift(x_BTCHW.flatten(0, 1)).reshape(x_BTCHW.shape)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize(("channels", "fraction"), [(8, 0.125), (20, 0.125), (7, 0.3), (4, 0.5), (6, 0.0)])
@pytest.mark.parametrize("online", [False, True])
def test_equals_plain_loops(frames: int, channels: int, fraction: float, online: bool) -> None:
    x_BTCHW = torch.randn(3, frames, channels, 2, 3, generator=torch.Generator().manual_seed(1))
    before = x_BTCHW.clone()
    expected = shift_by_loops(x_BTCHW, int(fraction * channels + 1e-6), online)
    assert torch.equal(shifted(x_BTCHW, fraction, online), expected)
    assert torch.equal(x_BTCHW, before), "the input is left as it is"


def test_eight_channels_by_hand() -> None:
    """C = 8, one channel each way: 0 from the next frame, 1 from the one before, the rest stay, the ends are zero."""
    x = torch.randn(1, 4, 8, 1, 1)
    y = shifted(x, 0.125, online=False)
    assert torch.equal(y[0, :-1, 0], x[0, 1:, 0])
    assert torch.equal(y[0, 1:, 1], x[0, :-1, 1])
    assert torch.equal(y[0, :, 2:], x[0, :, 2:])
    assert y[0, -1, 0].item() == 0
    assert y[0, 0, 1].item() == 0


def test_clips_of_a_batch_do_not_mix() -> None:
    x = torch.randn(2, 3, 8, 2, 2)
    alone = torch.cat([shifted(x[i : i + 1], 0.25, online=False) for i in range(2)])
    assert torch.equal(shifted(x, 0.25, online=False), alone)


def test_its_gradient_is_the_shift_back() -> None:
    """A shift is linear, so <shift(x), y> = <x, shift'(y)>, and autograd's shift' must agree with the loops'."""
    x = torch.randn(1, 4, 8, 2, 2, requires_grad=True)
    y = torch.randn(1, 4, 8, 2, 2)
    (shifted(x, 0.25, online=False) * y).sum().backward()
    swapped = torch.cat((y[:, :, 2:4], y[:, :, :2], y[:, :, 4:]), 2)
    back = shift_by_loops(swapped, 2, online=False)
    assert torch.allclose(x.grad, torch.cat((back[:, :, 2:4], back[:, :, :2], back[:, :, 4:]), 2))


def test_has_no_weights() -> None:
    assert not TemporalShift().state_dict()
    assert not list(TemporalShift().parameters())


@pytest.mark.parametrize(("fraction", "online"), [(-0.1, False), (0.6, False), (1.1, True)])
def test_refuses_to_move_more_than_there_is(fraction: float, online: bool) -> None:
    with pytest.raises(BadValue, match="fraction"):
        TemporalShift(fraction, online=online)


def test_refuses_a_broken_clip() -> None:
    shift = TemporalShift()
    shift.frames = 3
    with pytest.raises(BadValue, match="whole clips of 3 frames"):
        shift(torch.zeros(4, 8, 1, 1))
