"""Merging 900,000 votes: seconds, peak memory, and the ratio to plain Python; and what spam does to the sets.

Run: `python benchmarks/reassess.py` (about a minute); `--votes 90000 --through-store 3000` for a quick one.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.annotate.drawn import draw_tables
from tests.reassess.slow_twin import slow_approval_rules

from secondlook import tables
from secondlook.annotate.simulate import Crowd, simulate, true_sets
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import from_candidates
from secondlook.reassess import approval_rules, majority
from secondlook.reassess._recovered import recovered


def votes(count: int, workers: int = 85, classes: int = 174, seed: int = 0) -> pa.Table:
    """An answers table of `count` answers, three a video: 1 to 4 labels each, 5 % blank, 83 % approved."""
    rng = np.random.default_rng(seed)
    tasks = count // 3
    given_N = rng.integers(0, classes, tasks)
    options_NK = rng.integers(0, classes, (tasks, 7))
    options_NK[:, 0] = given_N
    task_A = np.repeat(np.arange(tasks), 3)
    worker_A = (np.repeat(rng.integers(0, workers, tasks), 3) + np.tile([0, 1, 2], tasks)) % workers
    sizes_A = rng.choice([0, 1, 2, 3, 4], len(task_A), p=[0.05, 0.45, 0.3, 0.15, 0.05])
    verdict_A = (rng.random(len(task_A)) > 0.83).astype(np.int8)
    of_R = np.repeat(np.arange(len(task_A)), np.maximum(sizes_A, 1))
    column_R = np.minimum((rng.random(len(of_R)) ** 2 * 7).astype(int), 6)
    label_R = np.where(sizes_A[of_R] > 0, options_NK[task_A[of_R], column_R], -1)

    def texts(index: np.ndarray, values: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array(values))

    return pa.table(
        {
            "task": texts(task_A[of_R], [f"video{i:07}" for i in range(tasks)]),
            "worker": texts(worker_A[of_R], [f"w-{i:016x}" for i in range(workers)]),
            "label": label_R.astype(np.int32),
            "verdict": texts(verdict_A[of_R], ["approved", "rejected"]),
            "given_label": given_N[task_A[of_R]].astype(np.int32),
        }
    )


def timed(what: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = what()
    return time.perf_counter() - start, result


def peak_mb() -> float:
    """Most memory this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def merging(count: int) -> dict[str, Any]:
    """Seconds and memory of both rules on `count` votes; ratio to the slow twin on a ninth of them."""
    table = votes(count)
    before = peak_mb()
    seconds, result = timed(lambda: approval_rules.fit(table))
    memory = peak_mb()
    majority_seconds, _ = timed(lambda: majority.fit(table))
    few = votes(max(count // 9, 300))
    usual = {"round": 1, "unsuitable": False, "rating": "yes"}
    rows = [row | usual for row in few.to_pylist()]
    slow_seconds, slow = timed(lambda: slow_approval_rules(rows))
    fast_seconds, fast = timed(lambda: approval_rules.fit(few))
    assert [slow[v]["labels"] for v in sorted(slow)] == fast.labels["labels"].to_pylist()
    return {
        "votes": count, "videos": result.labels.num_rows, "rows": table.num_rows,
        "approval_rules_s": round(seconds, 2), "majority_s": round(majority_seconds, 2),
        "peak_mb": round(memory), "peak_before_mb": round(before),
        "subset_votes": len(few.group_by(["task", "worker"]).aggregate([])),
        "plain_python_over_ours": round(slow_seconds / fast_seconds, 1),
    }  # fmt: skip


def simulated(folder: Path, videos: int, crowd: Crowd) -> tuple[pa.Table, dict[str, frozenset[int]], float, float]:
    """Answers of simulated people, the truth, and the seconds that writing and reading took."""
    candidates, known = draw_tables(folder, videos, classes=24, wrong=0.1)
    table = tables.read(tables.CANDIDATES, candidates)
    space, truth = tables.label_space(table), true_sets(tables.read(tables.VIDEOS, known))
    with Store.create(folder / "answers", from_candidates(table, space), space, key=b"k" * 32) as store:
        write_s, _ = timed(lambda: simulate(store, truth, crowd=crowd))
        read_s, answers = timed(store.answers)
    return answers, truth, write_s, read_s


def through_the_store(count: int) -> dict[str, Any]:
    """Answers a second into the store (simulated, committed, judged) and out of it."""
    with tempfile.TemporaryDirectory() as folder:
        _, _, write_s, read_s = simulated(Path(folder), count // 3, Crowd(workers=85))
    return {"answers": count, "written_a_second": round(count / write_s), "read_a_second": round(count / read_s)}


def spam(videos: int) -> list[dict[str, Any]]:
    """Precision and recall of the recovered sets against the true ones, by share of spammers."""
    rows = []
    for share in (0.0, 0.1, 0.2, 0.3, 0.5):
        with tempfile.TemporaryDirectory() as folder:
            answers, truth, _, _ = simulated(Path(folder), videos, Crowd(workers=40, spam=share))
        for name, rule, options in (
            ("approval_rules", approval_rules, {}),
            ("approval_rules given=drop-if-unvoted", approval_rules, {"given": "drop-if-unvoted"}),
            ("approval_rules unreviewed", approval_rules, {"given": "drop-if-unvoted", "unjudged": "approve"}),
            ("majority unreviewed", majority, {}),
        ):
            table = answers
            if "unreviewed" in name:
                at = table.column_names.index("verdict")
                table = table.set_column(at, "verdict", pa.array([""] * table.num_rows))
            found = recovered(rule.fit(table, **options).labels, truth)
            near = {k: round(getattr(found.reassessed, k), 3) for k in ("precision", "recall", "f1", "exact")}
            given = {f"given_{k}": round(getattr(found.given, k), 3) for k in ("precision", "recall", "f1")}
            rows.append({"spam": share, "rule": name, **near, **given})
    return rows


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=900_000)
    parser.add_argument("--through-store", type=int, default=30_000)
    parser.add_argument("--videos", type=int, default=1000, help="videos of the spam table")
    arguments = parser.parse_args()
    print(json.dumps({"merging": merging(arguments.votes)}))
    print(json.dumps({"store": through_the_store(arguments.through_store)}))
    for row in spam(arguments.videos):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
