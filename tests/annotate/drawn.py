"""Candidates of videos whose true labels are known, as tables on disk; no video is needed to ask about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secondlook import tables
from secondlook.labels import LabelSpace


def draw_tables(
    folder: Path, videos: int = 60, classes: int = 12, wrong: float = 0.2, seed: int = 0
) -> tuple[Path, Path]:
    """Writes `candidates.parquet` and `videos.parquet`; options hold the truth, the given label and others.

    Args:
        folder: where to.
        videos: how many.
        classes: size of the label space.
        wrong: share of videos whose given label does not hold.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    space = LabelSpace.from_names([f"Doing thing {k}" for k in range(classes)], "drawn")
    rows, candidates = [], []
    for i in range(videos):
        truth = sorted(rng.choice(classes, int(rng.integers(1, 4)), replace=False).tolist())
        wrongly = [k for k in range(classes) if k not in truth]
        given = int(rng.choice(wrongly if rng.random() < wrong else truth))
        options = rng.permutation(sorted({*truth, given, *rng.choice(classes, 4, replace=False).tolist()})).tolist()
        row = {"video_id": f"v{i:03}", "path": f"videos/v{i}.mp4"}
        usual = {"label": given, "split": "test", "group": "", "status": "ok", "reason": "", "true_labels": truth}
        about = {"given_label": given, "options": options, "suspicion": 0.5, "reason": "", "category": "top1"}
        rows.append(row | usual)
        candidates.append(row | about)
    made = {"label_space": space.to_dict(), "root": str(folder), "dataset": "drawn", "fingerprint": "-"}
    first = tables.write(tables.CANDIDATES, candidates, folder / "candidates.parquet", made)
    return first, tables.write(tables.VIDEOS, rows, folder / "videos.parquet", made)
