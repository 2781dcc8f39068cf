"""Every signal of `audit` on 220,000 videos x 174 classes made by code, one label in twenty wrong, and known.

Prints seconds and peak memory of each verb in a process of its own, and how well each signal finds the wrong labels:
precision among the first 1,000 candidates, and average precision over all videos (chance: the share of wrong labels).
`--rows 20000` for a quick look, `--dims` for the width of the embeddings (512).

    OMP_NUM_THREADS=1 python benchmarks/audit_signals.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit_evaluate import CLASSES, verb
from secondlook import tables
from secondlook.labels import LabelSpace

WRONG, EPOCHS, FIRST = 0.05, 10, 1000


def make_tables(folder: Path, rows: int, dims: int) -> np.ndarray:
    """Two models, a list of videos in groups of 10, embeddings, label vectors and dynamics; which labels are wrong.

    Of each ten clips of a group two are near-duplicates. Class 2k + 1 is taken for 2k more than for any other; three of
    four wrong labels are the neighbour's. A fifth of the videos is hard, and wrong four times as often.
    """
    rng = np.random.default_rng(0)
    space = LabelSpace.from_names([f"class {k}" for k in range(CLASSES)]).to_dict()
    ids = pa.array([f"{i}" for i in range(rows)])
    at_N = np.arange(rows)
    true_N = rng.integers(CLASSES, size=rows // 2 + 1)[at_N // 2]
    hard_N = rng.random(rows) < 0.2
    share_N = WRONG * np.where(hard_N, 2.5, 0.625)
    other_N = np.where(rng.random(rows) < 0.75, true_N ^ 1, (true_N + rng.integers(1, CLASSES, size=rows)) % CLASSES)
    given_N = np.where(rng.random(rows) < share_N, other_N, true_N).astype(np.int32)
    wrong_N = given_N != true_N
    text = {name: pa.array([value] * rows) for name, value in (("split", "test"), ("status", "ok"), ("reason", ""))}
    for name in "ab":
        logits_NK = rng.normal(size=(rows, CLASSES)).astype(np.float32)
        logits_NK[at_N, true_N] += np.where(hard_N, 3, 6).astype(np.float32)
        logits_NK[at_N, true_N ^ 1] += np.where(hard_N, 2.5, 2).astype(np.float32)
        columns = {
            "video_id": ids, "view": pa.array(np.full(rows, -1, np.int16)), "label": pa.array(given_N), **text,
            "start_s": pa.array(np.full(rows, np.nan)), "crop": text["reason"],
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits_NK.ravel()), CLASSES),
        }  # fmt: skip
        made = {"label_space": space, "model": f"model:{name}"}
        tables.write(tables.PREDICTIONS, pa.table(columns), folder / f"{name}.parquet", made)
    groups = pa.array([f"{i // 10}" for i in range(rows)])
    listed = {"video_id": ids, "path": ids, "label": pa.array(given_N), **text, "group": groups}
    tables.write(tables.VIDEOS, pa.table(listed), folder / "videos.parquet", {"label_space": space, "root": "/"})
    scene_GD = rng.normal(size=(rows // 2 + 1, dims)).astype(np.float32)
    vector_ND = rng.normal(size=(CLASSES, dims)).astype(np.float32)[true_N]
    vector_ND += 0.8 * scene_GD[at_N // 2]
    vector_ND += 0.1 * rng.normal(size=(rows, dims)).astype(np.float32)
    columns = {
        "video_id": ids, "path": ids, "label": pa.array(given_N), **text,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vector_ND.ravel()), dims),
    }  # fmt: skip
    tables.write(tables.EMBEDDINGS, pa.table(columns), folder / "embeddings.parquet", {"label_space": space})
    word_KD = np.repeat(rng.normal(size=(CLASSES // 2, 64)), 2, axis=0) + 0.3 * rng.normal(size=(CLASSES, 64))
    words = [{"index": k, "label": f"class {k}", "vector": v.tolist()} for k, v in enumerate(word_KD)]
    tables.write(tables.LABEL_VECTORS, words, folder / "vectors.parquet", {"label_space": space, "method": "drawn"})
    margin_EN = np.where(wrong_N, -3.0, 1.0) - 2 * hard_N + np.linspace(0, 4, EPOCHS)[:, None]
    margin_EN = (margin_EN + 1.5 * rng.normal(size=(EPOCHS, rows))).astype(np.float32)
    dynamics = {
        "epoch": pa.array(np.repeat(np.arange(1, EPOCHS + 1, dtype=np.int32), rows)),
        "video_id": pa.chunked_array([ids] * EPOCHS), "margin": pa.array(margin_EN.ravel()),
        "p_given": pa.array(1 / (1 + np.exp(-margin_EN.ravel()))),
        "correct": pa.array((margin_EN.ravel() > 0).view(np.int8)),
    }  # fmt: skip
    pq.write_table(pa.table(dynamics), folder / "dynamics.parquet")
    return wrong_N


def quality(path: Path, wrong_N: np.ndarray) -> dict[str, float | int]:
    """How well a table of candidates finds the wrong labels."""
    hit = wrong_N[np.array(tables.read(tables.CANDIDATES, path)["video_id"].to_pylist(), dtype=np.int64)]
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return {
        "candidates": len(hit),
        f"precision_at_{FIRST}": round(float(hit[:FIRST].mean()), 3),
        "average_precision": round(float((precision * hit).sum() / wrong_N.sum()), 3),
    }


def main() -> None:
    """Makes the tables, measures each signal, prints one JSON line a signal."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=220_000)
    parser.add_argument("--dims", type=int, default=512)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong_N = make_tables(folder, asked.rows, asked.dims)
        print(json.dumps({"what": "chance", "average_precision": round(float(wrong_N.mean()), 3)}), flush=True)
        embeddings = ("--embeddings", str(folder / "embeddings.parquet"))
        cases: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
            "misclassified": (("misclassified",), ()),
            "confident_disagreement": (("confident_disagreement",), ()),
            "confident_learning": (("confident_learning",), ()),
            "confident_learning --folds 5": (("confident_learning",), (*embeddings, "--folds", "5")),
            "low_margin": (("low_margin",), ()),
            "label_closeness": (("label_closeness",), ("--vectors", str(folder / "vectors.parquet"))),
            "near_duplicates": (("near_duplicates",), embeddings),
            "training_dynamics": (("training_dynamics",), ("--run", str(folder / "dynamics.parquet"))),
            "combined: misclassified, confident_disagreement, near_duplicates": (
                ("misclassified", "confident_disagreement", "near_duplicates"), embeddings,
            ),
            "misclassified, 1000 controls, 2 random options": (
                ("misclassified",), ("--controls", "1000", "--random-options", "2"),
            ),
        }  # fmt: skip
        out = folder / "c.parquet"
        inputs = [str(folder / f"{n}.parquet") for n in "ab"]
        for what, (signals, options) in cases.items():
            named = [word for signal in signals for word in ("--signal", signal)]
            line = verb(
                what, "audit", *inputs, "--videos", str(folder / "videos.parquet"), "-o", str(out), *named, *options
            )
            print(json.dumps({**line, **quality(out, wrong_N)}), flush=True)


if __name__ == "__main__":
    main()
