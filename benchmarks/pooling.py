"""SoftPool, frame selection and cyclic consistency, each against plain ways to the same numbers; ratios of one run.

All ways take turns on the same clips, so that the ratios hold on a busy machine; first they are compared. Loops run
over windows, clips and frames in Python. For SoftPool there are two more references: autograd of the formula over
unfolded windows, and the release's `avg_pool(e^x x) / avg_pool(e^x)`, which overflows where a value is large.

    .venv/bin/python benchmarks/pooling.py [--batch 2] [--channels 54] [--frames 16] [--size 32] [--runs 7]
        [--threads 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from secondlook.layers.frame_selection import take_frames, triplet_cosine, triplet_cosine_numpy
from secondlook.layers.soft_nearest_neighbour import consistency
from secondlook.layers.softpool import soft_pool

Call = Callable[[Tensor], Tensor]


def ours(x_BCTHW: Tensor) -> Tensor:
    """2 x 2 in each frame, as MTConv pools."""
    return soft_pool(x_BCTHW, (1, 2, 2), dimensions=3)


def unfolded(x_BCTHW: Tensor) -> Tensor:
    """The formula over windows laid side by side."""
    windows = x_BCTHW.unfold(3, 2, 2).unfold(4, 2, 2).flatten(5)
    return (torch.softmax(windows, 5) * windows).sum(5)


def two_averages(x_BCTHW: Tensor) -> Tensor:
    """The release's way."""
    weights = torch.exp(x_BCTHW)
    return functional.avg_pool3d(weights * x_BCTHW, (1, 2, 2)) / functional.avg_pool3d(weights, (1, 2, 2))


def window_by_window(x_BCTHW: Tensor) -> Tensor:
    """A loop over places; all clips, channels and frames at once, or it would not end."""
    height, width = x_BCTHW.shape[3] // 2, x_BCTHW.shape[4] // 2
    out = x_BCTHW.new_empty(*x_BCTHW.shape[:3], height, width)
    for i, j in itertools.product(range(height), range(width)):
        window = x_BCTHW[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten(3)
        out[..., i, j] = (torch.softmax(window, 3) * window).sum(3)
    return out


def frames_at_once(x_BCTHW: Tensor) -> Tensor:
    """Scores, indices and the frames themselves."""
    return take_frames(x_BCTHW, triplet_cosine(x_BCTHW).index_BK)


def frame_by_frame(x_BCTHW: Tensor) -> Tensor:
    """The twin in NumPy, clip by clip and frame by frame."""
    return torch.stack([x[:, triplet_cosine_numpy(x.numpy())[1].tolist()] for x in x_BCTHW])


def consistent_at_once(a_BCT: Tensor) -> Tensor:
    """The frame that each frame finds in another sequence, in both directions; some find themselves."""
    return torch.cat(consistency(a_BCT, a_BCT + 0.3 * a_BCT.roll(1, 2)).indices)


def consistent_by_frame(a_BCT: Tensor) -> Tensor:
    """Equations 4.6 and 4.7, clip by clip and frame by frame."""
    b_BCT = a_BCT + 0.3 * a_BCT.roll(1, 2)
    rows = []
    for one, other in ((a_BCT, b_BCT), (b_BCT, a_BCT)):
        for a_CT, b_CT in zip(one, other, strict=True):
            row = []
            for a_C in a_CT.unbind(1):
                weights = torch.softmax(-torch.stack([(a_C - b_C).square().sum() for b_C in b_CT.unbind(1)]), 0)
                soft_C = sum(w * b_C for w, b_C in zip(weights, b_CT.unbind(1), strict=True))
                row.append(min(range(b_CT.shape[1]), key=lambda u: float((soft_C - b_CT[:, u]).square().sum())))
            rows.append(row)
    return torch.tensor(rows)


def back(call: Call) -> Call:
    """The same, and the gradient of its sum."""

    def run(x_BCTHW: Tensor) -> Tensor:
        leaf = x_BCTHW.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(call(leaf).square().sum(), leaf)
        return gradient

    return run


CASES: dict[str, dict[str, Call]] = {
    "SoftPool, forward": {
        "ours": ours, "unfolded windows": unfolded, "two average pools": two_averages, "loop": window_by_window,
    },
    "SoftPool, forward + backward": {
        "ours": back(ours), "unfolded windows": back(unfolded), "two average pools": back(two_averages),
        "loop": back(window_by_window),
    },
    "frame selection": {"ours": frames_at_once, "loop": frame_by_frame},
    "cyclic consistency": {"ours": consistent_at_once, "loop": consistent_by_frame},
}  # fmt: skip


def kept_mib(call: Call, x_BCTHW: Tensor) -> float:
    """What one forward pass keeps for the way back."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    leaf = x_BCTHW.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = call(leaf)
    assert out.requires_grad
    return sum(sizes.values()) / 2**20


def turn_by_turn(calls: dict[str, Call], x: Tensor, runs: int) -> dict[str, float]:
    """Median seconds of each call, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 1):
        for name, call in calls.items():
            began_s = time.perf_counter()
            call(x)
            if turn:
                taken[name].append(time.perf_counter() - began_s)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> int:
    """Prints one line a case; the exit code is 1 if two ways differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 2), ("channels", 54), ("frames", 16), ("size", 32), ("runs", 7), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", default="", help="file for all numbers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.batch, options.channels, options.frames, options.size, options.size)
    x_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()
    print(f"{' x '.join(map(str, shape))}, {options.threads} threads; a ratio over 1: ours is faster")
    results, differ = {}, False
    for title, calls in CASES.items():
        given = 20 * x_BCTHW.mean((3, 4)) if "consistency" in title else x_BCTHW
        wanted = calls["ours"](given)
        same = all(torch.allclose(call(given), wanted, atol=1e-4) for call in calls.values())
        differ = differ or not same
        seconds = turn_by_turn(calls, given, options.runs)
        ratios = {name: s / seconds["ours"] for name, s in seconds.items() if name != "ours"}
        results[title] = {"ours_ms": 1e3 * seconds["ours"], "ratios": ratios, "same": same}
        words = ", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items())
        print(
            f"{title:<30} ours {1e3 * seconds['ours']:8.2f} ms, ratios: {words}{'' if same else '  DIFFER'}", flush=True
        )
    ways = ("ours", ours), ("unfolded windows", unfolded), ("two average pools", two_averages)
    kept = {name: kept_mib(call, x_BCTHW) for name, call in ways}
    print("SoftPool, kept for backward:   " + ", ".join(f"{name} {mib:.1f} MiB" for name, mib in kept.items()))
    if options.json:
        Path(options.json).write_text(json.dumps({**results, "kept_mib": kept}, indent=1), encoding="utf-8")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
