"""A toy problem for tests that train: tiny videos of two classes, dark and bright, which a tiny network tells apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.labels import LabelSpace
from secondlook.train.settings import TrainSettings
from secondlook.video.encode import write_video

LABELS = LabelSpace.from_names(["dark", "bright"], "toy")
SPLITS = ("train", "train", "train", "train", "val", "test")


def draw_toy(root: Path, labels: LabelSpace = LABELS, copies: int = 1) -> pa.Table:
    """Writes six videos a class (8 frames of 32 x 40) and the table `root/videos.parquet`; gives the table as read."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(len(SPLITS) * copies):
        for label in range(2):
            name = f"{label}_{number:03d}"
            frames_THWC = rng.integers(0, 40, (6 + number % 4, 32, 40, 3)) + (30 if label == 0 else 180)
            write_video(root / "videos" / f"{name}.mp4", frames_THWC.astype(np.uint8), 12.0)
            rows.append(row(name, label, SPLITS[number % len(SPLITS)]))
    return write_table(root, rows, labels)


def row(name: str, label: int, split: str, status: str = "unchecked", reason: str = "") -> dict[str, Any]:
    """One row of a videos table."""
    path = f"videos/{name}.mp4"
    return {
        "video_id": name, "path": path, "label": label, "split": split, "group": name, "status": status,
        "reason": reason,
    }  # fmt: skip


def write_table(root: Path, rows: list[dict[str, Any]], labels: LabelSpace = LABELS) -> pa.Table:
    """Writes `root/videos.parquet` and reads it."""
    made = {"label_space": labels.to_dict(), "root": str(root), "dataset": "toy", "fingerprint": "toy"}
    return tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, root / "videos.parquet", made))


def with_rows(videos: pa.Table, rows: list[dict[str, Any]], folder: Path) -> pa.Table:
    """The same table with more rows; written to `folder`, pointing at the same root."""
    every = [{k: v for k, v in r.items() if k in row("", 0, "")} for r in videos.to_pylist()] + rows
    path = tables.write(tables.VIDEOS, every, folder / "videos.parquet", tables.made(videos))
    return tables.read(tables.VIDEOS, path)


def toy_settings(**changes: Any) -> TrainSettings:
    """A few small steps: 8 training videos, 4 a batch, 2 batches an epoch."""
    chosen: dict[str, Any] = {
        "model": "tsm:tiny", "frames": 4, "height": 32, "width": 32, "epochs": 4, "batch_size": 4, "workers": 0,
        "learning_rate": 0.003, "dropout": 0.2, "jitter": 0.1, "warmup_epochs": 0.5,
    }  # fmt: skip
    return TrainSettings(**{**chosen, **changes})
