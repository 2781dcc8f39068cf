"""How long a network takes for a clip, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.errors import BadValue


@dataclass(frozen=True)
class Latency:
    """Medians over the runs, divided by the batch."""

    forward_ms: float
    """A clip, in training mode, with all that the backward pass needs kept."""
    backward_ms: float
    """A clip: gradients of cross-entropy for every parameter."""
    inference_ms: float
    """A clip, in evaluation mode, without gradients."""
    batch: int
    runs: int
    device: str
    """What it ran on, by name."""
    threads: int
    """Of the processor; they matter where it is the device."""


def latency(
    network: nn.Module, x_CTHW: tuple[int, int, int, int], device: torch.device, *, batch: int = 8, runs: int = 5
) -> Latency:
    """Measures batches of noise: two runs to warm up, then the median of a few (srtg-mtnet 4.5: time over batch).

    A batch of 1 gives the time of a single clip. The source does not say whether its "forward" keeps gradients; here
    it does, and `inference_ms` is the one without.

    Args:
        network: moved to `device`, and left there with its gradients cleared.
        x_CTHW: shape of a clip.
        device: where to run.
        batch: clips at once.
        runs: measured ones.

    Raises:
        BadValue: if batch or runs is below 1, or the batch does not fit in the memory of the device.
    """
    if batch < 1 or runs < 1:
        raise BadValue(min(batch, runs), "latency needs at least one clip and one run", "Give --batch 8.")
    try:
        network = network.to(device)
        x_BCTHW = torch.randn((batch, *x_CTHW), generator=torch.Generator().manual_seed(0)).to(device)
        forward, backward, inference = _measure(network, x_BCTHW, runs)
    except torch.OutOfMemoryError:
        raise BadValue(batch, f"so many clips at once do not fit in the memory of {device}", "Lower --batch.") from None
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    forward_ms, backward_ms, inference_ms = (
        1000 * median(times_s) / batch for times_s in (forward, backward, inference)
    )
    return Latency(forward_ms, backward_ms, inference_ms, batch, runs, name, torch.get_num_threads())


def _measure(network: nn.Module, x_BCTHW: Tensor, runs: int) -> tuple[list[float], list[float], list[float]]:
    forward, backward, inference = [], [], []
    for run in range(-2, runs):
        network.train()
        network.zero_grad(set_to_none=True)
        loss, forward_s = _timed(lambda: _loss(network, x_BCTHW), x_BCTHW.device)
        _, backward_s = _timed(loss.backward, x_BCTHW.device)
        del loss
        network.eval()
        with torch.inference_mode():
            _, inference_s = _timed(lambda: network(x_BCTHW), x_BCTHW.device)
        if run >= 0:
            forward.append(forward_s)
            backward.append(backward_s)
            inference.append(inference_s)
    network.zero_grad(set_to_none=True)
    return forward, backward, inference


def _loss(network: nn.Module, x_BCTHW: Tensor) -> Tensor:
    logits_BK = network(x_BCTHW)
    given_B = torch.arange(len(logits_BK), device=logits_BK.device) % logits_BK.shape[1]
    return functional.cross_entropy(logits_BK, given_B)


def _timed(step: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    _wait(device)
    began_s = time.perf_counter()
    result = step()
    _wait(device)
    return result, time.perf_counter() - began_s


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
