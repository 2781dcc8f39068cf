"""How long the dashboard's and the reviewers' queries take on a drawn campaign: 30,000 tasks, three answers each.

Run: `python benchmarks/review_queries.py [tasks]`. Prints processor time, the better of two runs, in milliseconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from secondlook.annotate import dashboard, review_queues, reviewing, schema
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.labels import LabelSpace

VOTES, PEOPLE, CLASSES, NOW_S = 3, 500, 174, 1e9


def draw(folder: Path, tasks: int) -> Store:
    """Nine of ten tasks are answered, every second one is judged."""
    rng = np.random.default_rng(0)
    space = LabelSpace.from_names([f"Doing thing {k}" for k in range(CLASSES)], "drawn")
    options = [tuple(int(k) for k in rng.choice(CLASSES, 7, replace=False)) for _ in range(tasks)]
    store = Store.create(folder, [Task(f"v{i}", "", o[0], o) for i, o in enumerate(options)], space, votes=VOTES)
    shown = store.read_tasks
    answers, choices, verdicts = [], [], []
    with store.reading() as connection:
        asked = {task.task_id: task.options for task in shown(connection).values()}
    for task_id, labels in list(asked.items())[: tasks * 9 // 10]:
        for slot, worker in enumerate(rng.choice(PEOPLE, VOTES, replace=False), start=1):
            number = len(answers) + 1
            start_s = NOW_S - 400_000 + 4 * number
            facts = {"no_match": False, "review": bool(rng.random() < 0.02), "unsuitable": False, "revision": 1}
            times = {"started_s": start_s, "submitted_s": start_s + float(rng.exponential(20))}
            place = {"answer_id": number, "task_id": task_id, "round": 1, "slot": slot, "worker_id": int(worker) + 1}
            answers.append(place | facts | times)
            chosen = {int(rng.choice(labels[:3])) for _ in range(int(rng.integers(0, 3)))}
            choices += [{"answer_id": number, "label": label, "rating": "yes"} for label in chosen]
            if task_id % 2:
                said = {"approved": bool(rng.random() < 0.85), "second_review": bool(rng.random() < 0.02)}
                verdicts.append({"answer_id": number, "worker_id": 1, "given_s": NOW_S} | said)
    with store.writing() as connection:
        people = [{"worker_id": w + 1, "pseudonym": f"w-{w:016x}"} for w in range(PEOPLE)]
        tables = (schema.workers, schema.answers, schema.answer_choices, schema.verdicts)
        for table, rows in zip(tables, (people, answers, choices, verdicts), strict=True):
            connection.execute(table.insert(), rows)
    return store


def measured_ms(query: Callable[[], Any]) -> float:
    """Processor time of the better of two runs."""
    spent = []
    for _ in range(2):
        before = time.process_time()
        query()
        spent.append(1e3 * (time.process_time() - before))
    return min(spent)


def main(tasks: int) -> None:
    """Draws the campaign and prints a line a query."""
    with tempfile.TemporaryDirectory() as folder, draw(Path(folder) / "answers", tasks) as store:
        queries: dict[str, Callable[[], Any]] = {
            "dashboard: progress": lambda: dashboard.progress(store),
            "dashboard: workers": lambda: dashboard.workers(store),
            "dashboard: pace": lambda: dashboard.pace(store, NOW_S),
            "dashboard: stuck": lambda: dashboard.stuck(store, NOW_S),
            "review: one task": lambda: reviewing.sheet(store, tasks // 2),
            "review: all the same": lambda: review_queues.agreed(store),
            "review: failed": lambda: review_queues.failed(store),
        }
        for queue in review_queues.QUEUES:
            queries[f"review: next in {queue}"] = lambda q=queue: review_queues.following(store, q, tasks // 2)  # type: ignore[misc]
        for name, query in queries.items():
            print(f"{name:<32}{measured_ms(query):8.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
