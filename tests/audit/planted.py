"""Predictions, embeddings and dynamics made by code of videos whose given label is wrong for a known tenth of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from secondlook import tables
from tests.audit import build


@dataclass(frozen=True)
class Planted:
    """N videos of K classes; classes 2k and 2k + 1 are easily mistaken for each other."""

    predictions: dict[str, pa.Table]
    given_N: Any
    true_N: Any
    wrong_N: Any
    embeddings: pa.Table
    vectors: pa.Table
    group_N: list[str]

    def rates(self, candidates: pa.Table, k: int) -> float:
        """Precision@k: the share of the k first candidates whose given label is wrong."""
        first = [int(video[1:]) for video in candidates["video_id"].to_pylist()[:k]]
        return float(self.wrong_N[first].mean())


def embeddings_table(
    vector_ND: Any, given_N: Any, classes: int, video_ids: list[str] | None = None, status: dict[int, str] | None = None
) -> pa.Table:
    count = len(vector_ND)
    names = video_ids or build.ids(count)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(vector_ND, np.float32).ravel()), len(vector_ND[0]))
    columns = {
        "video_id": pa.array(names), "path": pa.array(names), "label": pa.array(np.asarray(given_N, np.int32)),
        "split": pa.array(["test"] * count), "vector": vectors,
        "status": pa.array([(status or {}).get(i, "ok") for i in range(count)]), "reason": pa.array([""] * count),
    }  # fmt: skip
    return build.with_made(pa.table(columns), tables.EMBEDDINGS, label_space=build.space(classes).to_dict())


def label_vectors(vector_KD: Any) -> pa.Table:
    space = build.space(len(vector_KD))
    flat = pa.array(np.asarray(vector_KD, np.float32).ravel())
    columns = {
        "index": pa.array(np.arange(len(vector_KD), dtype=np.int32)), "label": pa.array(space.names),
        "vector": pa.FixedSizeListArray.from_arrays(flat, len(vector_KD[0])),
    }  # fmt: skip
    return build.with_made(pa.table(columns), tables.LABEL_VECTORS, label_space=space.to_dict(), method="toy")


def planted(count: int = 2000, classes: int = 12, wrong: float = 0.1, seed: int = 0, dims: int = 24) -> Planted:
    """Videos in groups of four near-duplicates; wrong labels are mostly the twin class's, of hard videos."""
    rng = np.random.default_rng(seed)
    group_N = np.arange(count) // 4
    true_N = rng.integers(classes, size=group_N.max() + 1)[group_N]
    twin_N = true_N ^ 1
    hard_N = rng.random(count) < 0.2
    wrong_N = rng.random(count) < np.where(hard_N, 3 * wrong, wrong / 2)
    anywhere_N = (true_N + rng.integers(1, classes, size=count)) % classes
    given_N = np.where(wrong_N, np.where(rng.random(count) < 0.8, twin_N, anywhere_N), true_N)
    predictions = {}
    for name in "ab":
        logits_NK = rng.normal(size=(count, classes))
        logits_NK[np.arange(count), true_N] += np.where(hard_N, 2.5, 5)
        logits_NK[np.arange(count), twin_N] += np.where(hard_N, 2.0, 1)
        predictions[name] = build.predictions(logits_NK, given_N.tolist(), model=f"toy:{name}")
    centre_KD = rng.normal(size=(classes, dims))
    clip_GD = centre_KD[true_N[::4]] + 0.7 * rng.normal(size=(len(true_N[::4]), dims))
    vector_ND = clip_GD[group_N] + 0.05 * rng.normal(size=(count, dims))
    word_KD = np.repeat(rng.normal(size=(classes // 2, 8)), 2, axis=0) + 0.2 * rng.normal(size=(classes, 8))
    return Planted(
        predictions, given_N, true_N, given_N != true_N, embeddings_table(vector_ND, given_N, classes),
        label_vectors(word_KD), [f"g{g}" for g in group_N],
    )  # fmt: skip


def write_dynamics(path: Path, p_EN: Any, margin_EN: Any, correct_EN: Any, video_ids: list[str] | None = None) -> Path:
    """`dynamics.parquet` as a training writes it."""
    epochs, count = np.shape(p_EN)
    rows = pa.table(
        {
            "epoch": pa.array(np.repeat(np.arange(1, epochs + 1, dtype=np.int32), count)),
            "video_id": pa.array((video_ids or build.ids(count)) * epochs),
            "p_given": pa.array(np.asarray(p_EN, np.float32).ravel()),
            "margin": pa.array(np.asarray(margin_EN, np.float32).ravel()),
            "correct": pa.array(np.asarray(correct_EN, np.int8).ravel()),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)
    return path


def learned(found: Planted, epochs: int = 8, seed: int = 0) -> tuple[Any, Any, Any]:
    """p, margin and correctness of a training on the given labels: wrong ones are learned late, if at all."""
    rng = np.random.default_rng(seed)
    count = len(found.given_N)
    start_N = np.where(found.wrong_N, -4.0, 0.0) + rng.normal(size=count)
    margin_EN = start_N + np.linspace(0, 4, epochs)[:, None] + rng.normal(size=(epochs, count))
    p_EN = 1 / (1 + np.exp(-margin_EN))
    return p_EN, margin_EN, margin_EN > 0
