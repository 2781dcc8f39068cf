"""Peak memory of the training loader over 1,000 against 100,000 videos, as a ratio; and the loader's speed alone.

The table's rows name the same few drawn files again and again, with names as long as real ones. Each size is measured
in a process of its own, with two workers, over as many batches; the high-water marks of that process and of its workers
are added. Run it from the project's root:

    .venv/bin/python benchmarks/loader_memory.py [--few 1000] [--many 100000] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.labels import LabelSpace
from secondlook.video.encode import write_video

FILES = 8
BATCHES = 120
_CHILD = """
import json, sys, time
from pathlib import Path
from secondlook import tables
from secondlook.predict.loader import ClipDataset, Loader
from secondlook.predict.weights import find_card
from secondlook.train.data import Batches, choose_rows
from secondlook.video.augment import Augment
from secondlook.video.cache import FrameCache

def high_water(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) / 1024

videos = tables.read(tables.VIDEOS, sys.argv[1])
rows = choose_rows(videos, tables.label_space(videos))
root = tables.made(videos)["root"]
del videos
card = find_card("resnet3d:tiny")
data = ClipDataset(rows.train, card.clip, train=True, augment=Augment(), cache=FrameCache(sys.argv[2]), root=root)
batches = Batches(len(rows.train), 8, shuffle=True)
loader = Loader(data, batches, 2, pin_memory=False)
iterator = iter(loader)
for _ in range(20):
    next(iterator)
start, clips = time.perf_counter(), 0
for _ in range(int(sys.argv[3]) - 20):
    clips += len(next(iterator).index_B)
seconds = time.perf_counter() - start
workers = [high_water(worker.pid) for worker in iterator._workers]
print(json.dumps({"main_mib": high_water("self"), "workers_mib": max(workers), "clips_per_s": clips / seconds}))
"""


def make_table(folder: Path, rows: int) -> Path:
    """A videos table of so many rows over `FILES` files."""
    files = [f"videos/{i}.mp4" for i in range(FILES)]
    columns = {
        "video_id": pa.array([f"some_class/v_some_class_g{i % 25:02d}_c{i:07d}" for i in range(rows)]),
        "path": pa.array([files[i % FILES] for i in range(rows)]),
        "label": pa.array((np.arange(rows) % 2).astype(np.int32)),
        "split": pa.array(["train"] * rows),
        "group": pa.array([f"g{i:07d}" for i in range(rows)]),
        "status": pa.array(["ok"] * rows),
        "reason": pa.array([""] * rows),
    }
    made = {"label_space": LabelSpace.from_names(["a", "b"]).to_dict(), "root": str(folder)}
    return tables.write(tables.VIDEOS, pa.table(columns), folder / f"{rows}.parquet", made)


def main() -> None:
    """Prints megabytes, the ratio, and clips a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        for i in range(FILES):
            frames_THWC = rng.integers(0, 255, (32, 56, 72, 3), dtype=np.uint8)
            write_video(folder / "videos" / f"{i}.mp4", frames_THWC, 12.0)
        found = {}
        for rows in (options.few, options.many):
            table = make_table(folder, rows)
            command = [sys.executable, "-c", _CHILD, str(table), str(folder / "frames"), str(BATCHES)]
            said = subprocess.run(command, check=True, capture_output=True, text=True)
            found[rows] = json.loads(said.stdout)
    few, many = found[options.few], found[options.many]
    ratio = (many["main_mib"] + 2 * many["workers_mib"]) / (few["main_mib"] + 2 * few["workers_mib"])
    bytes_a_row = (many["main_mib"] - few["main_mib"]) * 2**20 / (options.many - options.few)
    result = {"rows": found, "memory_ratio": ratio, "bytes_a_row": bytes_a_row}
    if options.json:
        print(json.dumps(result))
        return
    for rows, numbers in found.items():
        print(f"{rows:>9,} rows: {numbers['main_mib']:6.0f} MiB, a worker {numbers['workers_mib']:6.0f} MiB, "
              f"{numbers['clips_per_s']:6.0f} clips/s from the frame cache")  # fmt: skip
    print(f"memory ratio {ratio:.3f}, {bytes_a_row:.0f} bytes a row in the main process")


if __name__ == "__main__":
    main()
