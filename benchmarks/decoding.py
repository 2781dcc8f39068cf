"""Decoding: '16 frames of a clip, short side 128', ours against OpenCV and plain decoding, as ratios in one run.

Also: the gain of dense key frames (`secondlook prepare --gop`), of the frame cache, and the cost of a `Guard`.

    python benchmarks/decoding.py [--quick] [--clips 48] [--rounds 7]

Times are medians over rounds; within a round every contender reads the same clips, in random order. They are of the
wall clock or, where one process does all, also of the processor (`CPU`), which other work on the machine disturbs less.
Every contender uses one codec thread a worker, as in training, where workers share the cores. The clips are the real
ones (../shared/data: short side 128, and originals up to 640x480), or drawn ones where those are not there. Ratios
above 1 mean that ours is quicker.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from secondlook.video.cache import FrameCache
from secondlook.video.clip import Size
from secondlook.video.decode import decode, probe
from secondlook.video.encode import write_video
from secondlook.video.guard import Guard
from secondlook.video.prepare import prepare_file
from secondlook.video.sample import Sampling, choose

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FRAMES, SIDE = 16, 128
SIZE = Size(short_side=SIDE)
Read = Callable[[str], Any]


def opencv(path: str, threads: int = 1) -> np.ndarray:
    """`grab` every frame, `retrieve` the chosen ones; the number of frames by the header."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    chosen = choose(Sampling(FRAMES), max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))))
    wanted, found, index = set(chosen.tolist()), {}, 0
    while capture.grab():
        if index in wanted:
            frame = capture.retrieve()[1]
            height, width = SIZE.of(*frame.shape[:2])
            small = frame
            if frame.shape[:2] != (height, width):
                small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            found[index] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
        index += 1
    capture.release()
    return np.stack([found[min(i, max(found))] for i in chosen.tolist()])


def plain(path: str) -> np.ndarray:
    """Every frame to RGB, then the chosen ones resized."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    height, width = SIZE.of(*frames[0].shape[:2])
    chosen = choose(Sampling(FRAMES), len(frames)).tolist()
    return np.stack([cv2.resize(frames[i], (width, height), interpolation=cv2.INTER_AREA) for i in chosen])


def ours(path: str) -> np.ndarray:
    """Nothing known beforehand: every frame is counted."""
    return decode(path, Sampling(FRAMES), size=SIZE).frames_THWC


def ours_known(counts: dict[str, int]) -> Read:
    """The number of frames known from the videos table."""
    return lambda path: decode(path, Sampling(FRAMES), size=SIZE, frame_count=counts[path]).frames_THWC


def in_turn(
    contenders: dict[str, Read], paths: list[str], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Milliseconds a clip: per clip the median over rounds, contenders in random order; then the mean over clips."""
    rng = np.random.default_rng(0)
    times: dict[str, list[list[float]]] = {name: [[] for _ in paths] for name in contenders}
    for _ in range(rounds):
        for i, path in enumerate(paths):
            for name in rng.permutation(list(contenders)):
                start = clock()
                contenders[name](path)
                times[name][i].append(clock() - start)
    return {name: 1e3 * statistics.mean(statistics.median(t) for t in per_clip) for name, per_clip in times.items()}


def two_workers(names: list[str], paths: list[str], counts: dict[str, int], rounds: int) -> dict[str, float]:
    """Milliseconds a clip with two processes that share the clips; rounds of the contenders alternate."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as task:
        json.dump({"paths": paths, "counts": counts}, task)
        task.flush()
        command = [sys.executable, __file__, "--worker", task.name]
        workers = [
            subprocess.Popen([*command, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            for i in range(2)
        ]
        for worker in workers:
            worker.stdout.readline()
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                start = time.perf_counter()
                for worker in workers:
                    worker.stdin.write(name + "\n")
                for worker in workers:
                    worker.stdout.readline()
                times[name].append(time.perf_counter() - start)
        for worker in workers:
            worker.stdin.close()
            worker.wait()
            worker.stdout.close()
    return {name: 1e3 * statistics.median(t) / len(paths) for name, t in times.items()}


def serve(task: str, part: int) -> None:
    """One of two workers: reads its half of the clips with the contender whose name comes in."""
    about = json.loads(Path(task).read_text())
    cv2.setNumThreads(1)
    contenders = {"opencv": opencv, "plain": plain, "ours": ours, "ours, count known": ours_known(about["counts"])}
    mine = about["paths"][part::2]
    for read in contenders.values():
        read(mine[0])
    print("ready", flush=True)
    for name in sys.stdin:
        for path in mine:
            contenders[name.strip()](path)
        print("done", flush=True)


def clip_sets(limit: int, folder: Path) -> dict[str, list[str]]:
    """Name of a set -> paths."""
    if SHARED.is_dir():
        small = [
            p for s in ("egogestar", "tennis7", "fight_surv") for p in sorted((SHARED / s / "videos").glob("*/*.mp4"))
        ]
        names = "demo.mp4 test.mp4 part_0.mp4 egogestar_original_left_11.mp4 egogestar_original_right_11.mp4 test.avi"
        originals = [SHARED / "clips" / name for name in [*names.split(), "egogestar_original_up_07.mp4"]]
        step = max(1, len(small) // limit)
        return {"short side 128": [str(p) for p in small[::step][:limit]], "originals": [str(p) for p in originals]}
    return {
        "drawn, short side 128": [str(drawn(folder / f"s{i}.mp4", 90, 128, 170, i)) for i in range(min(limit, 12))],
        "drawn, 340x256": [str(drawn(folder / f"l{i}.mp4", 150, 256, 340, i)) for i in range(4)],
    }


def drawn(path: Path, frames: int, height: int, width: int, seed: int) -> Path:
    """A texture that drifts, with some noise, as H.264."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (height // 8 + 8, width // 8 + 8, 3), dtype=np.uint8)
    scene = cv2.resize(rough, (width + 2 * frames, height + frames), interpolation=cv2.INTER_CUBIC)
    moved = (
        scene[t // 2 :, t:][:height, :width] // 2 + rng.integers(0, 9, (height, width, 3), dtype=np.uint8)
        for t in range(frames)
    )
    return write_video(path, moved, 30, crf=23)


def measure(clips: int = 48, rounds: int = 7) -> dict[str, Any]:
    """Everything, as a JSON-ready dictionary."""
    cv2.setNumThreads(1)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sets = clip_sets(clips, folder)
        counts = {path: probe(path).frame_count for paths in sets.values() for path in paths}
        for name, paths in sets.items():
            known = ours_known(counts)
            contenders: dict[str, Read] = {"opencv": opencv, "plain": plain, "ours": ours, "ours, count known": known}
            result[name] = {
                "clips": len(paths),
                "frames a clip": round(statistics.mean(counts[p] for p in paths), 1),
                "one worker, ms": in_turn(contenders, paths, rounds),
                "one worker, CPU ms": in_turn(contenders, paths, rounds, time.process_time),
                "two workers, ms": two_workers(list(contenders), paths, counts, rounds),
                "prepared, CPU ms": prepared(paths, folder / name, counts, rounds),
                "cache, CPU ms": cached(paths, folder / name / "cache", counts, rounds),
                "guard, ms": guarded(paths, counts, rounds),
            }
    result["ratios"] = {name: ratios(about) for name, about in result.items()}
    return result


def prepared(paths: list[str], folder: Path, counts: dict[str, int], rounds: int) -> dict[str, float]:
    """16 and 4 frames: the source, and re-encodes at the short side with key frames every 250 and 8 (count known)."""
    contenders: dict[str, Read] = {}
    sizes: list[int] = []
    for name, gop in (("source", 0), ("gop 250", 250), ("gop 8", 8)):
        target = {p: str(folder / str(gop) / f"{i}.mp4") if gop else p for i, p in enumerate(paths)}
        for path in paths:
            if gop:
                prepare_file(path, target[path], short_side=SIDE, gop=gop)
        for frames in (FRAMES, 4):
            contenders[f"{name}, {frames} frames"] = lambda p, t=target, f=frames: decode(
                t[p], Sampling(f), size=SIZE, frame_count=counts[p]
            )
        sizes.append(sum(Path(t).stat().st_size for t in target.values()))
    times = in_turn(contenders, paths, rounds, time.process_time)
    return times | {"bytes, gop 8 to source": sizes[2] / sizes[0]}


def cached(paths: list[str], folder: Path, counts: dict[str, int], rounds: int) -> dict[str, float]:
    """An epoch of training samples: decoded each time, the first epoch that fills the cache, and later ones."""
    cache = FrameCache(folder)
    read = cache.reader(decode)
    start = time.process_time()
    for path in paths:
        read(path, Sampling(FRAMES), size=SIZE, seed=0)
    first = 1e3 * (time.process_time() - start) / len(paths)
    contenders: dict[str, Read] = {
        "decoding": lambda p: decode(p, Sampling(FRAMES), size=SIZE, seed=1),
        "decoding, count known": lambda p: decode(p, Sampling(FRAMES), size=SIZE, seed=1, frame_count=counts[p]),
        "decoding whole": lambda p: decode(p, size=SIZE),
        "later epochs": lambda p: read(p, Sampling(FRAMES), size=SIZE, seed=1),
    }
    return {"first epoch": first, **in_turn(contenders, paths, rounds, time.process_time)}


def guarded(paths: list[str], counts: dict[str, int], rounds: int) -> dict[str, float]:
    """The same request here and in the guard's child."""
    known = ours_known(counts)
    with Guard(60) as guard:
        guard.probe(paths[0])
        return in_turn(
            {
                "here": known,
                "guarded": lambda p: guard.decode(p, Sampling(FRAMES), size=SIZE, frame_count=counts[p]).frames_THWC,
            },
            paths,
            rounds,
        )


def ratios(about: dict[str, Any]) -> dict[str, float]:
    """What the targets are stated in."""
    one, two = about["one worker, ms"], about["two workers, ms"]
    processor = about["one worker, CPU ms"]
    ready, cache, guard = about["prepared, CPU ms"], about["cache, CPU ms"], about["guard, ms"]
    return {
        "one worker: OpenCV / ours": one["opencv"] / one["ours"],
        "one worker: OpenCV / ours, count known": one["opencv"] / one["ours, count known"],
        "one worker: plain / ours": one["plain"] / one["ours"],
        "CPU: OpenCV / ours": processor["opencv"] / processor["ours"],
        "CPU: OpenCV / ours, count known": processor["opencv"] / processor["ours, count known"],
        "two workers: OpenCV / ours": two["opencv"] / two["ours"],
        "two workers: OpenCV / ours, count known": two["opencv"] / two["ours, count known"],
        "two workers: plain / ours": two["plain"] / two["ours"],
        "prepare: source / gop 8, 16 frames": ready["source, 16 frames"] / ready["gop 8, 16 frames"],
        "prepare: source / gop 8, 4 frames": ready["source, 4 frames"] / ready["gop 8, 4 frames"],
        "prepare: gop 250 / gop 8, 16 frames": ready["gop 250, 16 frames"] / ready["gop 8, 16 frames"],
        "prepare: gop 250 / gop 8, 4 frames": ready["gop 250, 4 frames"] / ready["gop 8, 4 frames"],
        "prepare: bytes, gop 8 / source": ready["bytes, gop 8 to source"],
        "cache: decoding / later epochs": cache["decoding"] / cache["later epochs"],
        "cache: decoding, count known / later epochs": cache["decoding, count known"] / cache["later epochs"],
        "cache: first epoch / decoding whole": cache["first epoch"] / cache["decoding whole"],
        "guard: guarded / here": guard["guarded"] / guard["here"],
    }


def main() -> None:
    """Prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer clips and rounds")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        serve(given.worker[0], int(given.worker[1]))
        return
    result = measure(12, 3) if given.quick else measure(given.clips, given.rounds)
    names = list(result["ratios"])
    for name in names:
        about = result[name]
        print(f"\n{name}: {about['clips']} clips of {about['frames a clip']} frames; ms a clip")
        for kind in (
            "one worker, ms",
            "one worker, CPU ms",
            "two workers, ms",
            "prepared, CPU ms",
            "cache, CPU ms",
            "guard, ms",
        ):
            print(f"  {kind.removesuffix(' ms'):<16}", "   ".join(f"{k} {v:.2f}" for k, v in about[kind].items()))
    print(f"\n{'ratio':<46}", *(f"{n:>22}" for n in names))
    for key in result["ratios"][names[0]]:
        print(f"{key:<46}", *(f"{result['ratios'][n][key]:>22.2f}" for n in names))
    print(json.dumps({"benchmark": "decoding", "ratios": result["ratios"]}, default=float))


if __name__ == "__main__":
    main()
