"""How long dealing and giving take: 30,000 tasks, 50 people at once, against the bare rows that an answer writes.

python benchmarks/annotate_store.py [--tasks 30000] [--people 50] [--each 20] [--database URL]
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from secondlook.annotate import schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.intake import Answer
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace


def main() -> None:
    """Measures, and prints one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=30_000)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--each", type=int, default=20, help="answers of a person")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database")
    wish = parser.parse_args()
    space = LabelSpace.from_names([f"label {k}" for k in range(20)])
    tasks = [Task(f"v{i:06}", f"v{i}.mp4", 0, tuple(range(8))) for i in range(wish.tasks)]
    with (
        TemporaryDirectory() as folder,
        Workplace.create(Path(folder) / "a", database_url=wish.database) as workplace,
    ):
        begun = time.perf_counter()
        store = workplace.add(tasks, space, settings=Settings(batch=1000))
        made_s = time.perf_counter() - begun
        bare = [bare_insert(store, 10**6 + i) for i in range(200)]
        alone: list[float] = []
        person(store, "alone", 200, alone)
        crowd: list[float] = []
        begun = time.perf_counter()
        threads = [
            threading.Thread(target=person, args=(store, f"person {i}", wish.each, crowd)) for i in range(wish.people)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s = time.perf_counter() - begun
    result = {
        "tasks": wish.tasks,
        "people": wish.people,
        "make_campaign_s": round(made_s, 2),
        "bare_insert_ms": quantiles(bare),
        "deal_and_give_alone_ms": quantiles(alone),
        "deal_and_give_together_ms": quantiles(crowd),
        "ratio_of_medians_alone": round(float(np.median(alone) / np.median(bare)), 2),
        "answers_per_s_together": round(len(crowd) / wall_s),
    }
    print(json.dumps(result))


def bare_insert(store: Store, number: int) -> float:
    """Seconds of a transaction that writes what dealing and answering write (two transactions' rows), and no more."""
    begun = time.perf_counter()
    with store.writing() as connection:
        row = {"name": f"bare {number}", "label_space": {}, "made": {}, "settings": {}, "paused": True}
        connection.execute(schema.campaigns.insert(), row)
    with store.writing() as connection:
        connection.execute(schema.workers.insert(), {"pseudonym": f"bare {number}"})
    return time.perf_counter() - begun


def person(store: Store, name: str, each: int, seconds: list[float]) -> None:
    """Deals and answers `each` tasks."""
    for _ in range(each):
        begun = time.perf_counter()
        dealt = store.deal(name, 0.0)
        if dealt is None:
            return
        store.give(Answer(dealt.task.task_id, name, {0: "yes", 3: "maybe"}), 1.0)
        seconds.append(time.perf_counter() - begun)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 2) for q in (50, 95, 99)}


if __name__ == "__main__":
    main()
