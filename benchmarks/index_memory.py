"""Peak memory of `index` over 1,000 against 100,000 videos, as a ratio; each run in a process of its own.

Two datasets: a Kinetics CSV whose videos are missing, and class folders of empty files. Run it from the project's root:

    .venv/bin/python benchmarks/index_memory.py [--few 1000] [--many 100000] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLASSES = 100
_CHILD = """
import json, sys, time
from secondlook.datasets import index_videos
start = time.perf_counter()
index_videos(sys.argv[1], sys.argv[2], sys.argv[3])
seconds = time.perf_counter() - start
# The high-water mark of this process alone: ru_maxrss would keep that of the process it was forked from.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "peak_mib": int(peak.split()[1]) / 1024}))
"""


def write_kinetics(root: Path, videos: int) -> None:
    """A CSV of videos that are not there, without splits: a group a video, dealt out by seed."""
    with (root / "train.csv").open("w", encoding="utf-8") as file:
        file.write("label,youtube_id,time_start,time_end,split\n")
        for i in range(videos):
            file.write(f"class {i % CLASSES},id{i:09d},{i % 300},{i % 300 + 10},\n")


def write_folder(root: Path, videos: int) -> None:
    """Class folders of empty files."""
    for k in range(CLASSES):
        (root / f"class_{k:03d}").mkdir()
    for i in range(videos):
        (root / f"class_{i % CLASSES:03d}" / f"video_{i:09d}.mp4").touch()


WRITERS = {"kinetics": write_kinetics, "folder": write_folder}


def measure(dataset: str, videos: int) -> dict[str, float]:
    """Peak memory in MiB and seconds of one index."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        root.mkdir()
        WRITERS[dataset](root, videos)
        command = [sys.executable, "-c", _CHILD, str(root), dataset, str(Path(folder, "videos.parquet"))]
        result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return result


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    start, results = time.perf_counter(), {}
    for dataset in WRITERS:
        few, many = measure(dataset, arguments.few), measure(dataset, arguments.many)
        ratio = many["peak_mib"] / few["peak_mib"]
        results[dataset] = {"few": few, "many": many, "ratio": ratio}
        if not arguments.json:
            print(
                f"{dataset:9} peak memory {arguments.few} videos {few['peak_mib']:.0f} MiB, {arguments.many} videos "
                f"{many['peak_mib']:.0f} MiB ({many['seconds']:.1f} s): ratio {ratio:.2f}"
            )
    if arguments.json:
        print(json.dumps({"index_memory": results, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
