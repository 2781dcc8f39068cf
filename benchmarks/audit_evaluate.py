"""Audit and evaluate 220,000 videos x 174 classes (the size of Something-Something v2) made by code, two models.

Prints seconds and peak memory of each verb in a process of its own, the time of the bootstrap alone (videos, groups),
and the ratio of ours to a plain row-by-row Python version on a subset. `--rows 20000` for a quick look. Each signal of
`audit` on its own inputs, with how well it finds planted errors: `audit_signals.py`.

    python benchmarks/audit_evaluate.py
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.audit import align, mistakes
from secondlook.audit.misclassified import candidates
from secondlook.evaluate.bootstrap import resample
from secondlook.evaluate.scores import score
from secondlook.labels import LabelSpace

CLASSES = 174
SUBSET = 1000


def make_tables(folder: Path, rows: int) -> None:
    """a.parquet, b.parquet (about 60 % right), labels.parquet (two labels for every third video), videos.parquet."""
    rng = np.random.default_rng(0)
    space = LabelSpace.from_names([f"class {k}" for k in range(CLASSES)]).to_dict()
    ids = pa.array([f"{i}" for i in range(rows)])
    given_N = rng.integers(CLASSES, size=rows).astype(np.int32)
    text = {name: pa.array([value] * rows) for name, value in (("split", "test"), ("status", "ok"), ("reason", ""))}
    for name in "ab":
        logits_NK = rng.normal(size=(rows, CLASSES)).astype(np.float32)
        logits_NK[np.arange(rows), given_N] += 2.8
        columns = {
            "video_id": ids, "view": pa.array(np.full(rows, -1, np.int16)), "label": pa.array(given_N), **text,
            "start_s": pa.array(np.full(rows, np.nan)), "crop": text["reason"],
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits_NK.ravel()), CLASSES),
        }  # fmt: skip
        made = {"label_space": space, "model": f"model:{name}"}
        tables.write(tables.PREDICTIONS, pa.table(columns), folder / f"{name}.parquet", made)
    seen = np.arange(0, rows, 3)
    lists = [
        sorted({int(y), int(k)}) for y, k in zip(given_N[seen], rng.integers(CLASSES, size=len(seen)), strict=True)
    ]
    reviewed = {
        "video_id": ids.take(pa.array(seen)), "given_label": pa.array(given_N[seen]), "labels": pa.array(lists),
        "rule": pa.array(["R1"] * len(seen)), "approved": pa.array([3] * len(seen)), "voted": pa.array(lists),
        "answers": pa.array([3] * len(seen)), "votes": pa.array([[3] * len(x) for x in lists]),
    }  # fmt: skip
    tables.write(tables.LABELS, pa.table(reviewed), folder / "labels.parquet", {"label_space": space})
    listed = {
        "video_id": ids, "path": ids, "label": pa.array(given_N), **text,
        "group": pa.array([f"{i // 10}" for i in range(rows)]),
    }  # fmt: skip
    tables.write(tables.VIDEOS, pa.table(listed), folder / "videos.parquet", {"label_space": space, "root": "/"})


def verb(name: str, *arguments: str) -> dict[str, float | str]:
    """Seconds and peak memory of one verb in a process of its own."""
    code = (
        "import sys; from secondlook.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(next(x for x in open('/proc/self/status') if x.startswith('VmHWM')))"
    )  # the high-water mark of this process alone: ru_maxrss would keep that of the process it was forked from
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json"], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    return {"what": name, "seconds": round(seconds, 2), "peak_MiB": round(int(done.stderr.split()[-2]) / 1024)}


def plain_audit(logits: list[list[list[float]]], given: list[int], ids: list[str], k: int = 5) -> list[tuple]:
    """What audit does, row by row: misclassified videos with shuffled options and suspicion."""
    found = []
    for i, y in enumerate(given):
        options, wrong, total = {y}, False, 0.0
        for model in logits:
            row = model[i]
            order = sorted(range(len(row)), key=lambda c: (-row[c], c))
            highest = max(row)
            powers = [math.exp(x - highest) for x in row]
            total_power = sum(powers)
            wrong |= order[0] != y
            options |= set(order[:k])
            total += max(p for c, p in enumerate(powers) if c != y) / total_power - powers[y] / total_power
        if wrong:
            shuffled = sorted(options)
            random.Random(f"0{ids[i]}").shuffle(shuffled)
            found.append((ids[i], shuffled, (total / len(logits) + 1) / 2))
    return sorted(found, key=lambda x: -x[2])


def plain_evaluate(logits: list[list[list[float]]], given: list[int], k: int = 5, resamples: int = 2000) -> list[tuple]:
    """What evaluate does for one kind of label, row by row: top-1 and top-k with drawn intervals."""
    results = []
    for model in logits:
        tops = [sorted(range(len(row)), key=lambda c, r=row: (-r[c], c))[:k] for row in model]
        for some in (1, k):
            hit = [y in top[:some] for top, y in zip(tops, given, strict=True)]
            rates = sorted(sum(random.choices(hit, k=len(hit))) / len(hit) for _ in range(resamples))
            results.append((sum(hit), rates[int(0.025 * resamples)], rates[int(0.975 * resamples)]))
    return results


def seconds_of(function: Callable[..., Any], *arguments: Any, repeats: int = 3, **options: Any) -> float:
    """The best of some repeats."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function(*arguments, **options)
        best = min(best, time.perf_counter() - start)
    return best


def ratios(folder: Path) -> list[dict[str, float | str]]:
    """Plain Python over ours, on the same subset in memory."""
    models = {n: tables.read(tables.PREDICTIONS, folder / f"{n}.parquet").slice(0, SUBSET) for n in "ab"}
    given = models["a"]["label"].to_pylist()
    logits = [tables.matrix(t.combine_chunks(), "logits").tolist() for t in models.values()]
    ids = models["a"]["video_id"].to_pylist()
    ours = plain_audit(logits, given, ids), candidates(align(models)).num_rows
    assert len(ours[0]) == ours[1]
    assert [r[0] for r in plain_evaluate(logits, given, resamples=1)] == [
        m[t]["original"]["count"] for m in score(models, resamples=1)["models"] for t in ("top1", "top5")
    ]
    audit = seconds_of(plain_audit, logits, given, ids) / seconds_of(lambda: candidates(align(models)))
    evaluate = seconds_of(plain_evaluate, logits, given, repeats=1) / seconds_of(lambda: score(models))
    return [
        {"what": f"audit, plain Python / ours, {SUBSET} videos", "ratio": round(audit, 1)},
        {"what": f"evaluate, plain Python / ours, {SUBSET} videos", "ratio": round(evaluate, 1)},
    ]


def bootstrap(rows: int) -> list[dict[str, float | str]]:
    """2,000 resamples of 24 outcomes."""
    rng = np.random.default_rng(0)
    every_N = np.ones(rows, dtype=bool)
    outcomes = {f"{c}": (rng.random(rows) < 0.6, every_N) for c in range(24)}
    few = {f"{c}": (rng.random(rows) < 0.6, every_N) for c in range(4)}
    groups_N = np.array([f"{i // 10}" for i in range(rows)], dtype=object)
    return [
        {"what": what, "seconds": round(seconds_of(resample, some, group_N=groups, repeats=1), 2)}
        for what, some, groups in (
            ("bootstrap, 4 independent outcomes, videos", few, None),
            ("bootstrap, 24 independent outcomes, videos (worst case)", outcomes, None),
            ("bootstrap, 4 independent outcomes, groups of 10", few, groups_N),
        )
    ]


def main() -> None:
    """Makes the tables, measures, prints one JSON line a number."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=220_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tables(folder, rows)
        a, b, labels, videos = (str(folder / f"{n}.parquet") for n in ("a", "b", "labels", "videos"))
        together = align({n: tables.read(tables.PREDICTIONS, folder / f"{n}.parquet") for n in "ab"})
        print(json.dumps({"what": "videos", "rows": rows, "union": int(mistakes(together).union.sum())}))
        del together
        for line in (
            verb("python that imports the command line only", "list", "audit"),
            verb("audit", "audit", a, b, "-o", str(folder / "c.parquet")),
            verb("audit --videos", "audit", a, b, "-o", str(folder / "c.parquet"), "--videos", videos),
            verb("evaluate", "evaluate", a, b, "-o", str(folder / "s.json")),
            verb("evaluate --labels", "evaluate", a, b, "--labels", labels, "-o", str(folder / "s.json")),
            verb("evaluate --labels --videos (groups of 10)", "evaluate", a, b, "--labels", labels, "--videos", videos),
            *bootstrap(rows),
            *ratios(folder),
        ):
            print(json.dumps(line), flush=True)
        size = sum(p.stat().st_size for p in folder.glob("[ab].parquet")) / 2**20
        print(json.dumps({"what": "both predictions tables on disk", "MiB": round(size)}))


if __name__ == "__main__":
    main()
