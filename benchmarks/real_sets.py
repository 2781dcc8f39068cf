"""Accuracy on the real sets beside the project: group folds, several seeds, against chance and the linear baselines.

    python benchmarks/real_sets.py egogestar --seeds 3 --epochs 24
    python benchmarks/real_sets.py tennis7 --seeds 3 --epochs 12

Each fold trains `r2plus1d:tiny` (0.3 M parameters, 16 frames of brightness and its change at 56x72) from scratch with
the demo's recipe and tests its last weights on the fold's held-out groups; there is no validation split to choose by.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from secondlook import tables
from secondlook.datasets import IndexSettings, index_videos
from secondlook.evaluate.scores import score
from secondlook.predict.run import PredictSettings, predict
from secondlook.predict.weights import load_run
from secondlook.train.loop import train
from secondlook.train.settings import TrainSettings

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDS = {"egogestar": "fold", "tennis7": "scenefold"}
BASELINES = {  # from the data's README, group splits
    "egogestar": "chance 0.10, linear on still frames 0.28, linear on frame differences 0.83",
    "tennis7": "chance 0.14, linear on still frames 0.44 (scene split)",
}


def one_fold(name: str, fold: int, seed: int, options: argparse.Namespace, work: Path) -> tuple[float, int, float]:
    """Top-1 on the fold's test clips, their number, and the seconds that training took."""
    videos = work / f"{name}{fold}.parquet"
    if not videos.exists():
        index_videos(DATA / name, "folder", videos, IndexSettings(split=f"{FOLDS[name]}{fold}"))
    table = tables.read(tables.VIDEOS, videos)
    settings = TrainSettings(
        model=options.model,
        epochs=options.epochs,
        learning_rate=0.004,
        weight_decay=0.05,
        label_smoothing=0.1,
        jitter=0.2,
        precision=options.precision,
        workers=options.workers,
        cache=work / "cache",
        init=options.init,
        seed=seed,
    )
    began_s = time.perf_counter()
    run = work / f"{name}{fold}-{seed}"
    train(table, run, settings)
    seconds = time.perf_counter() - began_s
    predictions = work / f"{name}{fold}-{seed}.parquet"
    predict(load_run(run, "last"), table, predictions, PredictSettings(cache=work / "cache", workers=1))
    scores = score({"model": tables.read(tables.PREDICTIONS, predictions)}, resamples=100)
    return scores["models"][0]["top1"]["original"]["rate"], scores["n"], seconds


def main() -> None:
    """Runs every fold with every seed and prints a line each, then the means and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(FOLDS))
    parser.add_argument("--model", default="r2plus1d:tiny")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--init", type=Path, default=None, help="run folder to start from (pre-training)")
    options = parser.parse_args()
    if not (DATA / options.set).is_dir():
        raise SystemExit(f"{DATA / options.set} is not there: the real clips lie beside the project")
    found = np.full((options.seeds, options.folds), np.nan)
    all_seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for fold in range(options.folds):
                top1, clips, seconds = one_fold(options.set, fold, seed, options, Path(folder))
                found[seed, fold] = top1
                all_seconds.append(seconds)
                print(
                    f"{options.set} seed {seed} fold {fold}: {top1:.3f} of {clips} clips, {seconds:.0f} s", flush=True
                )
    means = found.mean(axis=1)
    print(f"mean over folds, by seed: {', '.join(f'{m:.3f}' for m in means)}; over all {means.mean():.3f}")
    print(BASELINES[options.set])
    about = {"set": options.set, "model": options.model, "epochs": options.epochs, "precision": options.precision}
    print(json.dumps(about | {"top1": found.tolist(), "mean": means.mean(), "seconds_a_fold": np.median(all_seconds)}))


if __name__ == "__main__":
    main()
