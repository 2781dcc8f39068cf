"""Small simulated campaigns in memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from secondlook.annotate.simulate import Crowd
from secondlook.annotate.tasks import Task
from secondlook.reassess._drawn_answers import draw

Truth = dict[str, frozenset[int]]


def ask_about(videos: int = 150, classes: int = 10, seed: int = 0) -> tuple[list[Task], Truth]:
    """Tasks of six options, of which one to three hold; one given label in five is wrong."""
    rng = np.random.default_rng(seed)
    tasks, truth = [], {}
    for i in range(videos):
        options = rng.choice(classes, 6, replace=False).tolist()
        holds = options[: int(rng.integers(1, 4))]
        given = options[-1] if rng.random() < 0.2 else holds[0]
        tasks.append(Task(f"v{i:04}", "", given, tuple(rng.permutation(options).tolist())))
        truth[f"v{i:04}"] = frozenset(holds)
    return tasks, truth


def campaign(crowd: Crowd, votes: int = 3, seed: int = 0, videos: int = 150) -> tuple[pa.Table, Truth]:
    """Answers without verdicts, and the truth."""
    tasks, truth = ask_about(videos)
    answers, _ = draw(tasks, truth, votes=votes, crowd=crowd, seed=seed)
    return answers.drop_columns("verdict"), truth
