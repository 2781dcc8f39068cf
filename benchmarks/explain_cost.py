"""What each explanation costs, as a multiple of one forward pass of the same network on the same clip.

Forward pass and method take turns, and each turn gives a ratio; the median counts. On a CPU the ratio is of processor
time, which other work on the machine hardly changes; on a GPU of wall time. The projection onto the frames of a source
video (240x320 as of real videos, 112x112 as of drawn ones) is measured on its own: `network` is the whole without it.
Memory is the most that PyTorch held at once beyond what it held before. Weights and clip are random.

    .venv/bin/python benchmarks/explain_cost.py [--quick] [--networks resnet3d:18@8x112x112,slowfast:tiny]
        [--methods grad_cam,lrp] [--rows all|aims] [--runs 5] [--seconds 60] [--profile] [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.explain import _project, lrp
from secondlook.explain._cost import peak_bytes
from secondlook.explain._lrp_composites import COMPOSITES
from secondlook.explain._methods import unsuitable
from secondlook.predict.weights import build_model, find_card, with_clip
from secondlook.video.clip import Clip
from secondlook.video.transform import Box, InputClip

NETWORKS = ("resnet3d:tiny", "slowfast:tiny", "timesformer:tiny", "resnet3d:18@8x112x112")
CLASSES, LABEL = 10, 3
SOURCES = ((240, 320), (112, 112))
AIMS = {
    **dict.fromkeys(("grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam", "temporal_grad_cam"), 4.0),
    "saliency_tubes": 1.5,
    "class_feature_pyramids": 3.0,
    "lrp": 5.0,
}
"""Method -> what it may cost, in forward passes."""
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "grad_cam": [{}, {"weights": "channel_time"}],
    "saliency_tubes": [{}, {"order": "square_then_spline"}, {"mode": "cam"}],
    "class_feature_pyramids": [{"mode": "layer"}, {"mode": "feature"}],
    "lrp": [
        *({"composite": name} for name in COMPOSITES),
        {"composite": "epsilon", "bias": "ignore"},
        {"composite": "epsilon-plus", "bias": "ignore"},
    ],
}
"""Options of the rows of a method; one row with none for all others."""
QUICK_LRP = ("epsilon", "epsilon-plus", "epsilon-gamma-box", "epsilon-alpha2-beta1-flat")


@dataclass(frozen=True)
class Row:
    """A method with options on one network."""

    network: str
    name: str
    aim: float | None
    runs: int = 0
    milliseconds: float = 0.0
    """Wall time, median."""
    forward_milliseconds: float = 0.0
    ratio: float = 0.0
    """Whole, projection onto 240x320 included."""
    network_ratio: float = 0.0
    """Without the projection."""
    projection_ratio: float = 0.0
    small_projection_ratio: float = 0.0
    """Onto 112x112."""
    memory_ratio: float = 0.0
    trouble: str = ""

    @property
    def verdict(self) -> str:
        """Whether the aim is met: with the projection onto large frames, onto small ones, or without."""
        if self.aim is None or self.trouble:
            return ""
        for ratio, words in (
            (self.ratio, "hit"),
            (self.network_ratio + self.small_projection_ratio, "hit at 112x112"),
            (self.network_ratio, "hit without projection"),
        ):
            if ratio < self.aim:
                return words
        return "MISS"


def clip_of(x_CTHW: torch.Tensor, height: int, width: int) -> InputClip:
    """A clip as a video of that size would give it."""
    frames = x_CTHW.shape[1]
    index_T = np.arange(frames)
    seen = np.zeros((frames, 1, 1, 3), np.uint8)
    clip = Clip(seen, index_T, index_T / 25, frames, source_height=height, source_width=width, fps=25.0)
    return InputClip(x_CTHW, clip, Box(0, 0, height, width), "center")


@dataclass
class Clock:
    """Seconds of work, on the processor (all threads) and on the wall."""

    device: torch.device

    def __call__(self, work: Callable[[], object]) -> tuple[float, float]:
        """Processor and wall seconds; on a GPU both are of the wall."""
        self._wait()
        wall_s, own_s = time.perf_counter(), time.process_time()
        work()
        self._wait()
        own_s, wall_s = time.process_time() - own_s, time.perf_counter() - wall_s
        return (own_s if self.device.type == "cpu" else wall_s), wall_s

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def projection_timed(clock: Clock) -> Iterator[tuple[list[float], list[np.ndarray[Any, Any]]]]:
    """Fills two lists: seconds of each projection onto source frames, and the grids that were projected."""
    seconds: list[float] = []
    grids: list[np.ndarray[Any, Any]] = []
    plain = _project.heat_map

    def timed(heat_thw: np.ndarray[Any, Any], clip: InputClip, **notes: Any) -> object:
        found: list[object] = []
        seconds.append(clock(lambda: found.append(plain(heat_thw, clip, **notes)))[0])
        grids.append(heat_thw)
        return found[0]

    with ExitStack() as undo:
        for name, module in list(sys.modules.items()):
            if name.startswith("secondlook.explain.") and getattr(module, "heat_map", None) is plain:
                undo.enter_context(mock.patch.object(module, "heat_map", timed))
        yield seconds, grids


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stops work that takes longer, by `TimeoutError`."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def measured(row: Row, forward: Callable[[], object], explain: Callable[[], object], options: argparse.Namespace,
             clock: Clock, small: InputClip) -> Row:  # fmt: skip
    """The row with its numbers. A method that takes long gets fewer turns, at least one; too long, none."""
    try:
        with at_most(options.seconds):
            once_s = clock(explain)[1]
        forward_s = clock(forward)[1]
    except TimeoutError:
        return replace(row, trouble=f"over {options.seconds:g} s")
    times = max(1, round(0.03 / max(forward_s, 1e-6)))
    runs = max(1, min(options.runs, int(options.seconds / max(once_s, 1e-9))))

    def forwards() -> None:
        for _ in range(times):
            forward()

    ratios, shares, small_shares, walls_s, forward_walls_s = [], [], [], [], []
    for _ in range(runs):
        one_s, one_wall_s = (s / times for s in clock(forwards))
        with projection_timed(clock) as (projected_s, grids):
            own_s, wall_s = clock(explain)
        ratios.append(own_s / one_s)
        shares.append(sum(projected_s) / one_s)
        onto_small = [clock(lambda grid=grid: _project.heat_map(grid, small, method="", label=0)) for grid in grids]  # type: ignore[misc]
        small_shares.append(sum(s for s, _ in onto_small) / one_s)
        walls_s.append(wall_s)
        forward_walls_s.append(one_wall_s)
    memory = 0.0
    if options.memory and once_s < options.seconds / 4:
        held, one = (peak_bytes(work, clock.device) for work in (explain, forward))
        memory = held / max(one, 1)
    return replace(
        row,
        runs=runs,
        milliseconds=1000 * statistics.median(walls_s),
        forward_milliseconds=1000 * statistics.median(forward_walls_s),
        ratio=statistics.median(ratios),
        network_ratio=statistics.median(r - s for r, s in zip(ratios, shares, strict=True)),
        projection_ratio=statistics.median(shares),
        small_projection_ratio=statistics.median(small_shares),
        memory_ratio=memory,
    )


def network_of(text: str) -> tuple[ModelCard, nn.Module]:
    """`family:variant`, or `family:variant@TxHxW`; some statistics of normalisation, so that nothing is 0 or 1."""
    name, _, size = text.partition("@")
    card = find_card(name)
    if size:
        frames, height, width = map(int, size.split("x"))
        card = with_clip(card, frames=frames, height=height, width=width)
    return card, build_model(card, CLASSES).eval()


def rows_of(method: str, quick: bool) -> list[tuple[str, dict[str, Any]]]:
    """Name and options of every row of a method."""
    kinds = VARIANTS.get(method, [{}])
    if quick:
        kinds = [{"composite": name} for name in QUICK_LRP] if method == "lrp" else kinds[:1]
    return [(" ".join([method, *map(str, kind.values())]), kind) for kind in kinds]


def jobs(text: str, options: argparse.Namespace) -> Iterator[Callable[[], Row]]:
    """The work that fills each row of one network."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card, model = network_of(text)
    model, spec, clock = model.to(device), card.clip, Clock(device)
    shape = (spec.channels, spec.frames, spec.height, spec.width)
    x_BCTHW = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    large, small = (clip_of(x_BCTHW[0], *size) for size in SOURCES)

    def forward_of(clips: int) -> Callable[[], object]:
        on_device = x_BCTHW[:clips].to(device)

        def forward() -> object:
            with torch.no_grad():
                return model(on_device)

        return forward

    wanted = options.methods.split(",") if options.methods else catalog.names("explain")
    for method in wanted:
        if unsuitable(method, model, card) or (options.rows == "aims" and method not in AIMS):
            continue
        plugin = catalog.find("explain", method)
        for name, kind in rows_of(method, options.quick):
            aim = AIMS.get(method) if kind.get("mode") != "feature" else None
            row = Row(text, name, aim)

            def explain(plugin: Any = plugin, kind: dict[str, Any] = kind) -> object:
                return plugin.explain(model, card, large, LABEL, **kind)

            if options.profile:
                profiled(explain)
            yield lambda row=row, explain=explain: measured(row, forward_of(1), explain, options, clock, small)  # type: ignore[misc]
    if "lrp" in wanted and not options.quick:
        settings = lrp.settings_of()

        def two() -> object:
            return lrp.relevance(model, x_BCTHW.to(device), LABEL, settings, spec=spec)

        row = Row(text, "lrp epsilon-plus, two clips at once", AIMS["lrp"])
        yield lambda: measured(row, forward_of(2), two, options, clock, small)


HEADER = (
    "| method | ms | whole | network | projection 240x320 | 112x112 | memory | aim | |\n|---|" + "---:|" * 7 + "---|"
)


def line_of(row: Row) -> str:
    """One row of the table."""
    aim = f"{row.aim:g}" if row.aim else ""
    if row.trouble:
        return f"| `{row.name}` | {row.trouble} |  |  |  |  |  | {aim} |  |"
    ratios = (row.ratio, row.network_ratio, row.projection_ratio, row.small_projection_ratio)
    memory = f"{row.memory_ratio:.2f}" if row.memory_ratio else ""
    cells = [f"{row.milliseconds:.0f}", *(f"{r:.2f}" for r in ratios), memory, aim]
    few = f" ({row.runs} turns)" if row.runs < 5 else ""
    return f"| `{row.name}`{few} | " + " | ".join(cells) + f" | {row.verdict} |"


def profiled(work: Callable[[], object]) -> None:
    """Where the time goes: by operation (on the wall; other work disturbs it), by function (of the processor)."""
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        work()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=16, max_name_column_width=40))
    functions = cProfile.Profile(timer=time.process_time)
    functions.runcall(work)
    pstats.Stats(functions).sort_stats("tottime").print_stats(16)


def main() -> int:
    """Prints a table a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="", help="with commas between; NAME or NAME@TxHxW")
    parser.add_argument("--methods", default="", help="with commas between; all by default")
    parser.add_argument("--rows", choices=("all", "aims"), default="all", help="aims: methods that have one")
    parser.add_argument("--runs", type=int, default=5, help="turns, after one that does not count")
    parser.add_argument("--seconds", type=float, default=60.0, help="most for one row")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, help="all but --quick")
    parser.add_argument("--quick", action="store_true", help="tiny networks, methods with an aim, no memory")
    parser.add_argument("--profile", action="store_true", help="print where the time of each row goes, too")
    parser.add_argument("--json", default="", help="file for all numbers")
    options = parser.parse_args()
    networks = options.networks.split(",") if options.networks else list(NETWORKS)
    options.memory = not options.quick if options.memory is None else options.memory
    if options.quick:
        options.rows = "aims"
        networks = networks if options.networks else networks[:-1]
    found: list[Row] = []
    for network in networks:
        print(f"\n{network}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n\n{HEADER}", flush=True)
        for work in jobs(network, options):
            found.append(work())
            print(line_of(found[-1]), flush=True)
        one_ms = statistics.median(row.forward_milliseconds for row in found if row.network == network)
        print(f"\none forward pass: {one_ms:.0f} ms")
    aimed = [row for row in found if row.verdict]
    print(f"\n{sum(row.verdict == 'hit' for row in aimed)} of {len(aimed)} aims met; load {os.getloadavg()[0]:.1f}")
    if options.json:
        rows = [asdict(row) | {"verdict": row.verdict} for row in found]
        Path(options.json).write_text(json.dumps({"rows": rows, "load": os.getloadavg()}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
