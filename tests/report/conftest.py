"""A small finished campaign made by code: two models, twelve drawn clips, candidates, labels, scores, explanations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondlook import tables
from secondlook.cards import ClipSpec, ExplainPoints, ModelCard
from secondlook.evaluate import scores
from secondlook.labels import Label, LabelSpace

NAMES = ("Moving up", "Moving down", "Tilting <b>& co</b>", "Rolling")
GIVEN = (0, 1, 2, 3) * 3


def logits(predicted: list[int]) -> list[list[float]]:
    """Logits whose best class is `predicted` and whose second best is the next class."""
    rows = np.zeros((len(predicted), 4), dtype=np.float32)
    for i, p in enumerate(predicted):
        rows[i, p], rows[i, (p + 1) % 4] = 2.0, 1.0
    return rows.tolist()


@pytest.fixture
def campaign(tmp_path: Path, draw_video) -> Path:
    """A folder as the verbs leave it."""
    root, work = tmp_path / "clips", tmp_path / "work"
    space = LabelSpace(tuple(Label(n, "Moving" if "oving" in n else "Other") for n in NAMES), "toy")
    ids = [f"clip{i:02d}" for i in range(12)]
    for name in ids:
        draw_video(root / f"{name}.mp4", frames=6)
    videos = [
        {
            "video_id": v, "path": f"{v}.mp4", "label": g, "split": "test", "group": v, "status": "ok", "reason": "",
            "true_labels": [g] if i % 3 else [g, (g + 1) % 4],
        }
        for i, (v, g) in enumerate(zip(ids, GIVEN, strict=True))
    ]  # fmt: skip
    videos[11] |= {"status": "not_a_video", "reason": "no video format is recognised"}
    about = {"label_space": space.to_dict(), "root": str(root), "dataset": "toy", "fingerprint": "f00d"}
    tables.write(tables.VIDEOS, videos, work / "videos.parquet", about)
    for model, wrong in (("a", (0, 3, 4)), ("b", (3, 5))):
        predicted = [(g + 1) % 4 if i in wrong else g for i, g in enumerate(GIVEN)]
        rows = [
            {
                "video_id": v, "view": view, "label": g, "split": "test", "start_s": 0.0, "crop": "", "logits": row,
                "status": "ok", "reason": "",
            }
            for v, g, row in zip(ids[:11], GIVEN, logits(predicted), strict=False)
            for view in (-1, 0)
        ]  # fmt: skip
        tables.write(tables.PREDICTIONS, rows, work / f"{model}.parquet", {**about, "model": f"toy:{model}"})
    disputed = {0: 0.9, 3: 0.8, 4: 0.7, 5: 0.6}
    tables.write(
        tables.CANDIDATES,
        [
            {
                "video_id": ids[i], "path": "", "given_label": GIVEN[i], "options": [0, 1, 2, 3], "suspicion": s,
                "reason": "both <script>alert(1)</script>", "category": "top1",
            }
            for i, s in disputed.items()
        ],
        work / "candidates.parquet",
        about,
    )  # fmt: skip
    sets = {0: ([0, 1], [0, 1], "R1"), 3: ([0], [0], "R2"), 4: ([0], [0], "R1")}
    tables.write(
        tables.LABELS,
        [
            {
                "video_id": ids[i], "given_label": GIVEN[i], "labels": kept, "rule": rule, "approved": 3, "answers": 3,
                "voted": voted, "votes": [3] * len(voted),
            }
            for i, (kept, voted, rule) in sets.items()
        ],
        work / "labels.parquet",
        about,
    )  # fmt: skip
    predictions = {m: tables.read(tables.PREDICTIONS, work / f"{m}.parquet") for m in "ab"}
    labels = tables.read(tables.LABELS, work / "labels.parquet")
    table = tables.read(tables.VIDEOS, work / "videos.parquet")
    scored = scores.score(predictions, labels, table, resamples=50)
    (work / "scores.json").write_text(json.dumps(scored))
    run = work / "runs" / "a"
    run.mkdir(parents=True)
    card = ModelCard("toy:a", ClipSpec(), ExplainPoints(), "none")
    (run / "card.json").write_text(json.dumps(card.to_dict()))
    (run / "curves.csv").write_text("epoch,train_loss,val_loss,train_top1,val_top1\n0,1.2,1.3,0.4,0.3\n1,0.9,,0.6,\n")
    explained = work / "explained"
    explained.mkdir()
    Image.new("RGB", (80, 40), "red").save(explained / "strip.png")
    entry = {
        "video_id": ids[0], "run": "a", "status": "ok", "reason": "", "model": "toy:a", "method": "grad_cam",
        "weights": "channel", "label": 0, "label_name": NAMES[2], "paths": {"strip": "strip.png"}, "measures": None,
    }  # fmt: skip
    failed = {**entry, "video_id": "gone", "status": "missing", "paths": {}}
    average = {"mean": 0.4, "low": 0.3, "high": 0.5, "clips": 3.0}
    data = {"explanations": [entry, failed], "averages": {"on_target": average, "on_target_uniform": average}}
    (explained / "explanations.json").write_text(json.dumps(data))
    return work
