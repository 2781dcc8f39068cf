"""Reassess and evaluate at the size of Something-Something v2: 220,000 videos x 174 classes, all answered by three.

Prints seconds of each step and the peak memory of the process; every table is made by code.

    python benchmarks/evaluate_large.py --rows 220000
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secondlook import tables
from secondlook.audit import align
from secondlook.audit.misclassified import candidates
from secondlook.evaluate import source_tables
from secondlook.evaluate.controls import controls
from secondlook.evaluate.held_out import by_part
from secondlook.evaluate.random_labels import options_of, random_gain
from secondlook.evaluate.real import review
from secondlook.evaluate.scores import metrics_of, score_aligned
from secondlook.labels import Label, LabelSpace
from secondlook.reassess import approval_rules

CLASSES, GROUPS = 174, 50
SPACE = LabelSpace(tuple(Label(f"class {k}", f"group {k % GROUPS}") for k in range(CLASSES)), "made by code")


def predictions(given_N: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Right on about 60 %."""
    rows = len(given_N)
    logits_NK = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    logits_NK[np.arange(rows), given_N] += 2.8
    table = pa.table(
        {
            "video_id": pa.array([f"v{i:07d}" for i in range(rows)]),
            "view": pa.array(np.full(rows, -1, np.int16)),
            "label": pa.array(given_N.astype(np.int32)),
            "split": pa.array(["val"] * rows),
            "start_s": pa.array(np.full(rows, np.nan)),
            "crop": pa.array([""] * rows),
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits_NK.ravel()), CLASSES),
            "status": pa.array(["ok"] * rows),
            "reason": pa.array([""] * rows),
        }
    )
    made = f'{{"table": "predictions", "label_space": {json.dumps(SPACE.to_dict())}}}'
    return tables.conform(tables.PREDICTIONS, table).replace_schema_metadata({b"secondlook": made.encode()})


def answers(asked: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Three answers to each candidate: one or two of the options; 83 % approved."""
    videos = np.repeat(asked["video_id"].to_numpy(zero_copy_only=False), 6)
    given = np.repeat(asked["given_label"].to_numpy(), 6)
    options = tables.lists(asked, "options")
    label = np.array([o[int(r * min(len(o), 3))] for o in options for r in rng.random(6)])
    worker = np.tile(np.repeat(["x", "y", "z"], 2), len(options))
    approved = np.repeat(rng.random(3 * len(options)) < 0.83, 2)
    frame = pd.DataFrame({"task": videos, "worker": worker, "label": label, "given_label": given})
    frame["verdict"] = np.where(approved, "approved", "rejected")
    return pa.Table.from_pandas(frame, preserve_index=False)


def timed(name: str, function: Callable[[], Any]) -> Any:
    """Runs one step and says how long it took."""
    began_s = time.perf_counter()
    found = function()
    print(f"{name}: {time.perf_counter() - began_s:.1f} s", flush=True)
    return found


def peak_gb() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Makes the tables and times each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=220_000)
    rows = parser.parse_args().rows
    rng = np.random.default_rng(0)
    given_N = rng.integers(CLASSES, size=rows)
    models = {name: predictions(given_N, rng) for name in ("a", "b")}
    aligned = timed("align two models", lambda: align(models))
    asked = timed("candidates", lambda: candidates(aligned))
    said = answers(asked, rng)
    print(f"{rows} videos, {asked.num_rows} candidates, {said.num_rows} chosen labels")
    labels = timed("reassess", lambda: approval_rules.fit(said)).labels
    scores = timed("evaluate", lambda: score_aligned(aligned, labels))
    looked, metrics = review(labels, aligned), metrics_of(aligned, (5,))
    options = options_of(aligned.video_id_N.tolist(), asked, CLASSES)
    timed("random labels, both pools", lambda: [
        random_gain(r, looked, metrics, options=pool) for r in aligned.rankings for pool in (None, options)
    ])  # fmt: skip
    timed("by part", lambda: by_part(aligned, looked, asked, metrics))
    timed("tables of the source", lambda: source_tables.build(scores, aligned, said, unjudged="reject"))
    print(f"peak memory so far {peak_gb():.2f} GB", flush=True)
    timed("all controls: random labels, foils, held-out models, every merge rule, estimate over all videos", lambda: (
        controls(aligned, looked, asked, said, metrics, unjudged="reject")
    ))  # fmt: skip
    print(f"peak memory {peak_gb():.2f} GB")


if __name__ == "__main__":
    main()
