"""Clips a second and peak memory of every family, forward and forward + backward, each beside a plain reference.

A process of its own for each network and clip. The reference runs in the same process, turn by turn with ours, so that
the ratio holds on a busy machine: for networks of transformers' blocks the library's own classifier of the same size,
for TSM the release's way to shift (a tensor of zeros that is filled), for all others the same network with its
activations in place; always in the plain layout. Ours runs as `train` and `predict` run it, channels last.

On a CPU: two threads. Where there is a GPU: float32, bfloat16, bfloat16 channels last, and that with `torch.compile`.

    .venv/bin/python benchmarks/models.py [--quick] [--only tsm,x3d] [--seconds 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CLASSES, COMMON_CLIP, THREADS = 400, (16, 112, 112), 2
TRANSFORMERS = {
    "timesformer": "TimesformerForVideoClassification",
    "videomae": "VideoMAEForVideoClassification",
    "vivit": "VivitForVideoClassification",
    "vjepa2": "VJEPA2ForVideoClassification",
}
BUSY = "over the time limit"


def high_water_mib() -> float:
    """The most memory this process has held since `forget_high_water`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def forget_high_water() -> float:
    """Starts the mark anew; gives what is held now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return high_water_mib()


def reference(name: str, network: Any, x_BCTHW: Any) -> tuple[str, Any]:
    """A plain network that computes the same (or is as large), and what it is; None where there is none."""
    import torch
    from torch import nn

    from secondlook.layers.temporal_shift import TemporalShift

    family = name.partition(":")[0]
    if family in TRANSFORMERS:
        modeling = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
        config = copy.deepcopy(network.config)
        config.num_labels = CLASSES
        classifier = getattr(modeling, TRANSFORMERS[family])
        if not classifier._supports_sdpa:
            config._attn_implementation = "eager"
        try:
            library = classifier(config)
            other = from_library(library)
            other.eval()(x_BCTHW)
        except (ValueError, RuntimeError, TypeError) as error:
            return f"none: transformers refuses this clip ({str(error).splitlines()[0][:60]})", None
        return "transformers", other
    other = copy.deepcopy(network)
    words = "activations in place"
    for module in list(other.modules()):
        if hasattr(module, "inplace"):
            module.inplace = True
        for child_name, child in module.named_children():
            if isinstance(child, TemporalShift):
                setattr(module, child_name, filled_shift(child))
                words = "the release's shift, activations in place"
    if isinstance(other, nn.Module) and "in place" in words:
        with torch.no_grad():
            same = torch.allclose(other.eval()(x_BCTHW), network.eval()(x_BCTHW), atol=1e-4, rtol=1e-3)
        if not same:
            return "none: this network may not work in place", None
    return words, other


def from_library(library: Any) -> Any:
    """A model of transformers that takes `x_BCTHW` and gives logits."""
    from torch import nn

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.library = library

        def forward(self, x_BCTHW: Any) -> Any:
            return self.library(x_BCTHW.transpose(1, 2)).logits

    return Wrapped()


def filled_shift(shift: Any) -> Any:
    """The shift as the TSM release writes it: zeros of the input's size, filled part by part."""
    import torch
    from torch import nn

    class Filled(type(shift)):  # type: ignore[misc]  # keeps the name by which the network tells it T
        def forward(self, x_NCHW: Any) -> Any:
            x = x_NCHW.view(-1, self.frames, *x_NCHW.shape[1:])
            n = int(self.fraction * x.shape[2] + 1e-6)
            out = torch.zeros_like(x)
            if self.online:
                out[:, 1:, :n] = x[:, :-1, :n]
                out[:, :, n:] = x[:, :, n:]
            else:
                out[:, :-1, :n] = x[:, 1:, :n]
                out[:, 1:, n : 2 * n] = x[:, :-1, n : 2 * n]
                out[:, :, 2 * n :] = x[:, :, 2 * n :]
            return out.view(x_NCHW.shape)

    assert isinstance(shift, nn.Module)
    return Filled(shift.fraction, online=shift.online)


def turn_by_turn(calls: dict[str, Callable[[], None]], runs: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(runs + 1):
        for name, call in calls.items():
            began_s = time.perf_counter()
            call()
            if turn:
                taken[name].append(time.perf_counter() - began_s)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def step(network: Any, x_BCTHW: Any, backward: bool) -> Callable[[], None]:
    """One pass, as a call without arguments; on a GPU it waits for the end."""
    import torch

    labels_B = torch.arange(len(x_BCTHW), device=x_BCTHW.device)

    def run() -> None:
        network.train(backward)
        with torch.set_grad_enabled(backward):
            logits_BK = network(x_BCTHW)
            if backward:
                torch.nn.functional.cross_entropy(logits_BK.float(), labels_B).backward()
        if x_BCTHW.is_cuda:
            torch.cuda.synchronize()
        network.zero_grad(set_to_none=True)

    return run


def one(case: dict[str, Any]) -> dict[str, Any]:
    """Measures one network on one clip, in this process."""
    import torch

    from secondlook.cards import ModelCard
    from secondlook.models._count import clip_shape
    from secondlook.predict.weights import build_model, quick_on_cpu

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    card = ModelCard.from_dict(case["card"])
    network = build_model(card, CLASSES)
    x_BCTHW = torch.randn(case["batch"], *clip_shape(card))
    if case["device"] == "cuda":
        return on_gpu(network, x_BCTHW, case)
    ours_x = x_BCTHW.to(memory_format=torch.channels_last_3d)
    found: dict[str, Any] = {}
    for kind, backward in (("forward", False), ("training", True)):
        held = forget_high_water()
        step(network, ours_x, backward)()
        found[f"{kind}_peak_mib"] = high_water_mib() - held
    found["reference"], plain = reference(card.name, network, x_BCTHW)
    ours = quick_on_cpu(network)
    for kind, backward in (("forward", False), ("training", True)):
        calls = {"ours": step(ours, ours_x, backward)}
        if plain is not None:
            calls["plain"] = step(plain, x_BCTHW, backward)
        seconds = turn_by_turn(calls, case["runs"])
        found[f"{kind}_clips_per_s"] = len(x_BCTHW) / seconds["ours"]
        if plain is not None:
            found[f"{kind}_ratio"] = seconds["plain"] / seconds["ours"]
    return found


def on_gpu(network: Any, x_BCTHW: Any, case: dict[str, Any]) -> dict[str, Any]:
    """The same on a GPU, in four ways; the reference is the first of them."""
    import torch

    found: dict[str, Any] = {"reference": "float32, plain layout"}
    half, last = torch.bfloat16, torch.channels_last_3d
    ways: dict[str, Callable[[], tuple[Any, Any]]] = {
        "float32": lambda: (network.cuda(), x_BCTHW.cuda()),
        "bf16": lambda: (copy.deepcopy(network).to("cuda", half), x_BCTHW.to("cuda", half)),
        "bf16_last": lambda: (
            copy.deepcopy(network).to("cuda", half, memory_format=last),
            x_BCTHW.to("cuda", half, memory_format=last),
        ),
        "bf16_last_compiled": lambda: (
            torch.compile(copy.deepcopy(network).to("cuda", half, memory_format=last)),
            x_BCTHW.to("cuda", half, memory_format=last),
        ),
    }
    for way, make in ways.items():
        try:
            made, x = make()
            for kind, backward in (("forward", False), ("training", True)):
                call = step(made, x, backward)
                torch.cuda.reset_peak_memory_stats()
                found[f"{way}_{kind}_clips_per_s"] = len(x) / turn_by_turn({"ours": call}, 2 * case["runs"])["ours"]
                found[f"{way}_{kind}_peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
            del made, x, call
        except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
            found[way] = f"fails: {str(error).splitlines()[0][:100]}"
        torch.cuda.empty_cache()
    return found


def cases(options: argparse.Namespace, device: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Every network and clip to measure, or why it is not."""
    from dataclasses import replace

    from secondlook import catalog
    from secondlook.errors import BadValue
    from secondlook.models._count import clip_shape, cost, on_meta
    from secondlook.models._memory import activation_memory

    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for family in options.only.split(",") if options.only else catalog.names("models"):
        cards = catalog.find("models", family).CARDS
        tiny = [card for card in cards.values() if card.variant.startswith("tiny")]
        large = [card for card in cards.values() if card not in tiny]
        chosen = tiny[:1] if options.quick else list(cards.values()) if options.all else large[:1] or tiny[:1]
        for card in chosen:
            frames, height, width = COMMON_CLIP
            common = replace(card, clip=replace(card.clip, frames=frames, height=height, width=width))
            for its in dict.fromkeys((clip_shape(card), clip_shape(common))):
                sized = card if its == clip_shape(card) else common
                title = f"{card.name} {'x'.join(map(str, its))}"
                try:
                    network = on_meta(sized, CLASSES)
                    counted, memory = cost(network, sized.explain, its), activation_memory(network, its)
                except BadValue as refused:
                    yield title, f"not for this clip: {refused.rule}"
                    continue
                needed = 4 * 4 * counted.parameters + 3 * options.batch * memory.training_bytes
                gmac = counted.macs / 1e9
                if device == "cpu" and gmac * options.batch * 3 * (options.runs + 1) * 2 > options.seconds * 40:
                    yield title, f"skipped: {gmac:,.0f} GMAC a clip would take over {options.seconds:g} s"
                elif device == "cpu" and needed > room / 2:
                    yield title, f"skipped: needs about {needed / 2**30:.0f} GiB"
                else:
                    facts = {"card": sized.to_dict(), "batch": options.batch, "runs": options.runs, "device": device}
                    yield title, {**facts, "gmac": gmac}


def measured(case: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One case in a process of its own, at most so many seconds."""
    command = [sys.executable, str(Path(__file__)), "--one", json.dumps(case)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(THREADS),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONWARNINGS": "ignore",
    }
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"skipped": f"{BUSY} of {seconds:g} s"}
    if said.returncode:
        return {"failed": (said.stderr.strip().splitlines() or [str(said.returncode)])[-1][:160]}
    result: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Prints one line a network and clip; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the tiny variants only")
    parser.add_argument("--all", action="store_true", help="every variant, not the first of each family")
    parser.add_argument("--only", default="", help="families, with commas between")
    parser.add_argument("--batch", type=int, default=2, help="clips at once")
    parser.add_argument("--runs", type=int, default=5, help="timed passes, after one that is not")
    parser.add_argument("--seconds", type=float, default=120.0, help="what takes longer is left out")
    parser.add_argument("--json", default="", help="file for all numbers")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(json.loads(options.one))))
        return 0
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{device}, batch {options.batch}, {THREADS} threads; a ratio over 1: ours is faster than the reference")
    results: dict[str, Any] = {}
    for title, case in cases(options, device):
        found = {"skipped": case} if isinstance(case, str) else measured(case, options.seconds)
        results[title] = found
        print(f"{title:<44} {line_of(found)}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    return int(any("failed" in found for found in results.values()))


def line_of(found: dict[str, Any]) -> str:
    """One result in words."""
    if "skipped" in found or "failed" in found:
        return found.get("skipped") or f"failed: {found['failed']}"
    if "forward_clips_per_s" not in found:
        numbers = [f"{k.removesuffix('_clips_per_s')} {v:.0f}" for k, v in found.items() if k.endswith("_clips_per_s")]
        return "clips/s: " + ", ".join([*numbers, *(f"{k} {v}" for k, v in found.items() if str(v).startswith("fail"))])
    parts = []
    for kind in ("forward", "training"):
        ratio = f" ratio {found[f'{kind}_ratio']:.2f}" if f"{kind}_ratio" in found else ""
        rate, peak = found[f"{kind}_clips_per_s"], found[f"{kind}_peak_mib"]
        parts.append(f"{kind} {rate:8.2f} clips/s {peak:6.0f} MiB{ratio}")
    return ", ".join([*parts, found["reference"]])


if __name__ == "__main__":
    sys.exit(main())
