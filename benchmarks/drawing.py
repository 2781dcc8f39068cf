"""Drawn clips a minute, and how long drawing takes against encoding. Run it from the project's root:

.venv/bin/python benchmarks/drawing.py [--clips 240] [--workers 2] [--size 112] [--frames 24] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from secondlook.datasets._drawn_clip import CLIPS_PER_SCENE, drawn_clip, painted, scene_of
from secondlook.datasets.drawn import DrawnSettings, draw
from secondlook.video.encode import write_video

TARGET_CLIPS_PER_MINUTE = 200


def clips_per_minute(settings: DrawnSettings, workers: int) -> float:
    """Whole run of `draw`, with the start of its processes."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        draw(Path(folder, "drawn"), settings, workers)
        return 60 * settings.clips / (time.perf_counter() - start)


def seconds_by_step(settings: DrawnSettings, clips: int) -> dict[str, float]:
    """Processor time a clip of each step, in one process."""
    seconds = {"scene": 0.0, "plan": 0.0, "paint": 0.0, "masks": 0.0, "encode": 0.0}
    scene = scene_of(settings, 0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(clips):
            times = [time.process_time()]
            if number % CLIPS_PER_SCENE == 0:
                scene = scene_of(settings, number)
            times.append(time.process_time())
            clip = drawn_clip(settings, number, scene)
            times.append(time.process_time())
            frames_THWC, masks_THW = painted(clip, scene, settings)
            times.append(time.process_time())
            np.savez_compressed(Path(folder, "masks.npz"), masks_THW=masks_THW)
            times.append(time.process_time())
            write_video(Path(folder, "video.mp4"), frames_THWC, settings.fps, crf=23, gop=12)
            times.append(time.process_time())
            for name, step in zip(seconds, np.diff(times), strict=True):
                seconds[name] += float(step) / clips
    return seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    settings = DrawnSettings(clips=arguments.clips, size=arguments.size, frames=arguments.frames)
    steps = seconds_by_step(settings, min(60, settings.clips))
    rate = clips_per_minute(settings, arguments.workers)
    ratio = (steps["scene"] + steps["plan"] + steps["paint"]) / steps["encode"]
    found = {"clips_per_minute": rate, "target": TARGET_CLIPS_PER_MINUTE, "seconds_a_clip": steps, "ratio": ratio}
    if arguments.json:
        print(json.dumps({"drawing": found, "seconds": time.perf_counter() - start}))
        return
    print(f"{rate:.0f} clips a minute with {arguments.workers} workers (target {TARGET_CLIPS_PER_MINUTE})")
    print("processor time a clip: " + ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in steps.items()))
    print(f"drawing takes {ratio:.2f} times as long as encoding")


if __name__ == "__main__":
    main()
