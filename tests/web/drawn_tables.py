"""A folder of tables as `index` and `predict` leave it: drawn clips, two models that are sometimes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from secondlook import tables
from secondlook.labels import Label, LabelSpace

SPACE = LabelSpace(
    tuple(Label(f"{verb} [something]", verb[:4]) for verb in ("Pouring", "Folding", "Rolling", "Lifting")), "toy"
)


def draw_folder(folder: Path, draw_video: Callable[..., Path], videos: int = 8) -> Path:
    """Writes `videos.parquet`, `slow.parquet` and `fast.parquet`; every second video is wrong for both models."""
    generator = np.random.default_rng(0)
    rows = []
    for i in range(videos):
        draw_video(folder / "clips" / f"v{i}.mp4", frames=6)
        about = {"video_id": f"v{i}", "label": i % 4, "split": "test", "status": "ok", "reason": ""}
        rows.append(about | {"path": f"clips/v{i}.mp4", "group": ""})
    made = {"label_space": SPACE.to_dict(), "root": str(folder), "dataset": "toy", "fingerprint": "-"}
    tables.write(tables.VIDEOS, rows, folder / "videos.parquet", made)
    for model in ("slow", "fast"):
        predicted = []
        for i, row in enumerate(rows):
            logits = generator.normal(0, 0.1, 4)
            logits[(i % 4) if i % 2 else (i + 1) % 4] += 3
            about = {name: row[name] for name in ("video_id", "label", "split", "status", "reason")}
            facts = {"view": -1, "start_s": float("nan"), "crop": "", "logits": logits.astype(np.float32).tolist()}
            predicted.append(about | facts)
        made = {"label_space": SPACE.to_dict(), "model": model}
        tables.write(tables.PREDICTIONS, predicted, folder / f"{model}.parquet", made)
    return folder
