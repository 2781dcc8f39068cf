"""What an explanation costs beside the prediction it explains: time and memory, as multiples of one forward pass.

Times and memory of a machine say little; their ratio to one forward pass of the same network, on the same clip and in
the same run, says what to expect elsewhere. Times are medians of repeats, of method and forward pass in turn.

Memory is the peak of what PyTorch holds beyond what it held at the start. On a GPU its allocator counts it
(`torch.cuda.max_memory_allocated`); on a CPU the profiler's allocation events are summed in their order (Python's
`tracemalloc` does not see tensors, and the process's resident size hardly ever falls).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from secondlook.explain._hooks import as_batch, evaluating
from secondlook.video.transform import InputClip

MEASURES: Mapping[str, str] = {
    "milliseconds": "time of one explanation",
    "forward_milliseconds": "time of one forward pass of the same network on the same clip",
    "time_ratio": "explanations cost so many forward passes of time",
    "peak_megabytes": "most memory an explanation held at once, beyond what was held before",
    "forward_megabytes": "the same of one forward pass (without gradients)",
    "memory_ratio": "explanations hold so many times the memory of a forward pass",
}
"""Name of each number, and what it is."""


def cost(model: nn.Module, clip: InputClip, explain: Callable[[], object], repeats: int = 3) -> dict[str, float]:
    """Every number of `MEASURES` for one method on one clip.

    Args:
        model: the network; left as it was.
        clip: what it gets.
        explain: makes the explanation.
        repeats: timed runs; the median counts. One run before them is not timed.
    """
    x_1CTHW = as_batch(model, clip.x_CTHW)
    device = x_1CTHW.device

    def forward() -> object:
        with evaluating(model), torch.no_grad():
            return model(x_1CTHW)

    memory, forward_memory = peak_bytes(explain, device), peak_bytes(forward, device)
    taken_s, forward_s = [], []
    for _ in range(max(repeats, 1)):
        taken_s.append(_seconds(explain, device))
        forward_s.append(_seconds(forward, device))
    own, one = float(np.median(taken_s)), max(float(np.median(forward_s)), 1e-9)
    return {
        "milliseconds": 1000 * own,
        "forward_milliseconds": 1000 * one,
        "time_ratio": own / one,
        "peak_megabytes": memory / 1e6,
        "forward_megabytes": forward_memory / 1e6,
        "memory_ratio": memory / max(forward_memory, 1),
    }


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes that PyTorch held at once during the work, beyond those it held before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - int(before)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its library writes lines of its own to stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return int(peak)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
