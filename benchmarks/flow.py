"""Optical flow: speed of every method against the default in one run, and mean end-point error on drawn motion.

    python benchmarks/flow.py [--quick] [--rounds 5]

Scenes are textured pictures of 240 x 320 whose true motion is known: rigid shifts of 1 to 18 pixels, a slow turn, and a
square that moves over a background at rest. Errors are means over a scene, 24 pixels from its border. Times are medians
of the processor's time over rounds, one thread; in a round every method sees the same pair. Also: bytes and exactness
of the flow files, on the real clips where they are beside the project (../shared/data).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.video.moving import shifted, texture, two_layers

from secondlook.video import decode, flow
from secondlook.video.flow_store import flow_file

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "egogestar" / "videos"
HEIGHT, WIDTH, BORDER = 240, 320, 24


def scenes() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """First picture, second picture, true flow."""
    made = {}
    for u, v in ((0.6, -0.4), (3.0, -2.0), (-7.5, 4.25), (-11.5, 6.25), (17.3, 4.0)):
        true = np.broadcast_to(np.float64([u, v]), (HEIGHT, WIDTH, 2))
        made[f"shift of {np.hypot(u, v):.1f} px"] = (*shifted(u, v, HEIGHT, WIDTH), true)
    down, across = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    y, x = down - HEIGHT / 2, across - WIDTH / 2
    angle = np.deg2rad(2.0)
    true = np.stack([np.cos(angle) * x - np.sin(angle) * y - x, np.sin(angle) * x + np.cos(angle) * y - y], -1)
    first = texture(HEIGHT, WIDTH)
    back = [np.cos(angle) * y - np.sin(angle) * x + HEIGHT / 2, np.sin(angle) * y + np.cos(angle) * x + WIDTH / 2]
    second = ndimage.map_coordinates(first, back, order=3, mode="nearest")
    made["turn of 2 degrees"] = (*(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (first, second)), true)
    made["square over background"] = two_layers(4.0, HEIGHT, WIDTH)
    return made


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one round, two scenes")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    cv2.setNumThreads(1)
    drawn = scenes()
    if wanted.quick:
        drawn = dict(list(drawn.items())[1:3])
    estimates = {name: flow.estimator(name) for name in flow.methods()}
    seconds: dict[str, list[float]] = {name: [] for name in estimates}
    errors: dict[str, list[float]] = {name: [] for name in estimates}
    inside = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    for scene, (first, second, true) in drawn.items():
        for round_ in range(1 if wanted.quick else wanted.rounds):
            for name, estimate in estimates.items():
                if round_ and name == "horn_schunck":  # a baseline: one round tells enough
                    continue
                began = time.process_time()
                found = estimate(first, second)
                seconds[name].append(time.process_time() - began)
                if round_ == 0:
                    errors[name].append(float(np.hypot(*np.moveaxis(found - true, -1, 0))[inside].mean()))
        print(f"{scene:24}", "  ".join(f"{name} {errors[name][-1]:7.3f} px" for name in estimates))
    quick = statistics.median(seconds["dis"])
    print(f"\n{HEIGHT} x {WIDTH}, one thread")
    for name in estimates:
        median = statistics.median(seconds[name])
        mean = statistics.mean(errors[name])
        print(f"{name:14} {1000 * median:8.1f} ms a pair, {median / quick:6.1f} x dis; mean error {mean:.3f} px")
    clips = sorted(CLIPS.glob("*/*.mp4"))[:: 200 if wanted.quick else 40]
    raw = stored = 0
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            target = Path(folder) / "flow.mp4"
            facts = flow_file(clip, target)
            raw += 2 * facts.frame_count * facts.source_height * facts.source_width
            stored += target.stat().st_size
            began = time.process_time()
            decode.decode(target)
            seconds.setdefault("decode", []).append((time.process_time() - began) / facts.frame_count)
    if clips:
        read = 1000 * statistics.median(seconds["decode"])
        share = f"{stored / raw:.1%} of the raw bytes"
        print(f"\nflow files of {len(clips)} real clips: {share}, read in {read:.2f} ms a frame")


if __name__ == "__main__":
    main()
