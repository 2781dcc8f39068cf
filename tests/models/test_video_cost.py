"""What a video costs in views, memory against time, and milliseconds a clip."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.models._latency import latency
from secondlook.models._video_cost import clips_of, video_cost

F89 = pytest.mark.spec("late-temporal-bert", "F89")


@F89
def test_mfnet_over_64_frames() -> None:
    """Section 3.6: 7.73 M x 4 with 11.25 GMac, 7.73 M x 2 with 22.5, or 7.73 M with 45."""
    video = video_cost(11_250_000_000, clips_of(64, 16), parameters=7_730_000, activation_bytes=100)
    assert (video.clips, video.views, video.macs) == (4, 4, 45_000_000_000)
    told = [(x.name, x.parameter_copies / 7_730_000, x.macs_in_a_row / 1e9) for x in video.executions]
    assert told == [("parallel", 4, 11.25), ("mixed", 2, 22.5), ("sequential", 1, 45.0)]
    assert [x.activation_bytes for x in video.executions] == [400, 200, 100]
    for x in video.executions:
        assert x.at_once * x.macs_in_a_row == video.macs, "the work is the same however it is run"
        assert x.at_once * x.rounds == video.views


@F89
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "78")
def test_clips_times_crops_times_macs() -> None:
    """30 views of a network of 26.6 G."""
    video = video_cost(26_600_000_000, 10, 3)
    assert (video.views, video.macs) == (30, 798_000_000_000)
    assert [x.at_once for x in video.executions] == [30, 15, 10, 6, 5, 3, 2, 1]
    assert [x.name for x in video_cost(1, 1).executions] == ["parallel"]
    with pytest.raises(BadValue, match="at least one clip"):
        video_cost(1, 0)


def test_clips_that_a_video_holds() -> None:
    """`floor(frames / clip)`, the stride within: 64 frames are one clip of 32x2f or 8x8f; a short video is one."""
    assert [clips_of(64, *clip) for clip in ((16,), (64,), (32, 2), (8, 8), (16, 2))] == [4, 1, 1, 1, 2]
    assert clips_of(63, 16) == 3
    assert clips_of(10, 16) == 1
    with pytest.raises(BadValue, match="at least one frame"):
        clips_of(0, 16)


class Slow(nn.Module):
    """Sleeps 4 ms forward and 12 ms backward, and keeps count."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, 2)
        self.calls: list[tuple[bool, bool, int]] = []

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled(), len(x_BCTHW)))
        time.sleep(0.004)
        logits_BK: Tensor = self.classifier(x_BCTHW.mean((2, 3, 4)))
        if logits_BK.requires_grad:
            logits_BK.register_hook(lambda _: time.sleep(0.012))
        return logits_BK


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "78")
def test_latency_is_told_a_clip_with_its_batch() -> None:
    network = Slow()
    found = latency(network, (3, 2, 4, 4), torch.device("cpu"), batch=2, runs=3)
    assert 2 <= found.forward_ms < 10
    assert 6 <= found.backward_ms < 30
    assert 2 <= found.inference_ms < 10
    assert (found.batch, found.runs, found.device) == (2, 3, "cpu")
    assert network.calls == [(True, True, 2), (False, False, 2)] * 5  # two to warm up
    assert network.classifier.weight.grad is None
    with pytest.raises(BadValue, match="at least one clip"):
        latency(network, (3, 2, 4, 4), torch.device("cpu"), batch=0)
