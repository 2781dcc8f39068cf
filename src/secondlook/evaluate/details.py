"""Scores class by class: accuracy, confused pairs, precision-recall curves, ratios of two models; and by view.

Shapes: N videos, K classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, precision_recall_curve

from secondlook import tables
from secondlook.audit import Aligned, Ranking, align
from secondlook.evaluate import confusion
from secondlook.evaluate.accuracy import hits, per_class
from secondlook.evaluate.label_sets import LabelSets

_AT_ONCE = 8192
"""Rows read at once."""


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class as the threshold on its probability rises."""

    label: int
    name: str
    positives: int
    """Videos given as this class."""
    average_precision: float
    """`sum_i (r_i - r_{i-1}) p_i`, without interpolation (scikit-learn)."""
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    threshold: npt.NDArray[np.float64]
    """One less than of the others: the last point, precision 1 at recall 0, has none."""


@dataclass(frozen=True)
class Details:
    """What one model does to each class."""

    name: str
    classes: tuple[dict[str, Any], ...]
    """One a class: label, name, group, n, and for each k a share `top1`, ... (None without a video), and
    `average_precision`."""
    counts_KK: npt.NDArray[np.int64]
    """Confusion matrix: given by row, predicted by column."""
    curves: tuple[Curve, ...]
    """Of the classes that have videos, in index order."""

    @property
    def mean_average_precision(self) -> float:
        """Over the classes that have videos."""
        return float(np.mean([curve.average_precision for curve in self.curves]))

    def confused(self) -> list[dict[str, Any]]:
        """See `most_confused`."""
        return most_confused(self.counts_KK, [row["name"] for row in self.classes])


def details(predictions: Mapping[str, pa.Table], *, top: Sequence[int] = (1, 5), split: str = "") -> list[Details]:
    """Class by class, on the videos that all models predicted (`audit.align` says which are left out).

    Args:
        predictions: model name -> predictions table.
        top: k of the accuracies; above the number of classes it is that number.
        split: only videos of this split; all when empty.

    Raises:
        BadValue: if tables do not fit together.
    """
    aligned = align(predictions, top_k=max(top), split=split)
    kept = sorted({min(k, len(aligned.labels)) for k in top})
    return [_of_model(ranking, predictions[ranking.name], aligned, kept) for ranking in aligned.rankings]


def most_confused(counts_KK: npt.NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Wrong pairs by falling count: `{"given", "predicted", "count", "share", "back"}`.

    `share` is of the videos of the given class; `back` counts the same confusion the other way round.
    """
    wrong_KK = counts_KK.copy()
    np.fill_diagonal(wrong_KK, 0)
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[: np.count_nonzero(wrong_KK)]
    total_K = counts_KK.sum(axis=1)
    return [
        {
            "given": names[i],
            "predicted": names[j],
            "count": int(wrong_KK[i, j]),
            "share": float(wrong_KK[i, j] / total_K[i]),
            "back": int(wrong_KK[j, i]),
        }
        for i, j in zip(*(index.tolist() for index in np.unravel_index(order, wrong_KK.shape)), strict=True)
    ]


def accuracy_ratio(first: Details, second: Details) -> list[dict[str, Any]]:
    """Top-1 of each class under one model over that under another, largest first: flow over RGB says which classes
    live on motion and which on looks (late-temporal-bert 2.4: rock-paper-scissors 5.3, making a sandwich 0).

    Returns:
        `{"label", "name", "n", "first", "second", "ratio"}` of the classes that have videos; the ratio is None (and
        comes last) where the second model is never right.
    """
    rows = [
        {
            "label": a["label"],
            "name": a["name"],
            "n": a["n"],
            "first": a["top1"],
            "second": b["top1"],
            "ratio": a["top1"] / b["top1"] if b["top1"] else None,
        }
        for a, b in zip(first.classes, second.classes, strict=True)
        if a["n"]
    ]
    return sorted(rows, key=lambda row: (row["ratio"] is None, -(row["ratio"] or 0), row["label"]))


def accuracy_difference(first: Details, second: Details) -> list[dict[str, Any]]:
    """Top-1 of each class under one model less that under another, largest gain first
    (srtg-mtnet-classreg-visualisation, section 4.5; figure 6.5 of its source).

    Returns:
        `{"label", "name", "n", "first", "second", "difference"}` of the classes that have videos, shares in [0, 1].
    """
    rows = [
        {
            "label": a["label"],
            "name": a["name"],
            "n": a["n"],
            "first": a["top1"],
            "second": b["top1"],
            "difference": a["top1"] - b["top1"],
        }
        for a, b in zip(first.classes, second.classes, strict=True)
        if a["n"]
    ]
    return sorted(rows, key=lambda row: (-row["difference"], row["label"]))


def view_accuracy(path: str | Path, *, top: Sequence[int] = (1, 5), split: str = "") -> dict[str, Any]:
    """Accuracy of single views, each counted as a sample of its own: the score "per sequence" beside that per video.

    Rows that are not usable or have no label are left out. Reads piece by piece.

    Returns:
        `{"n", "videos", "top1", ...}`: views, videos they come from, and shares (None without a view).
    """
    tables.read(tables.PREDICTIONS, path, columns=["video_id"])
    found: dict[int, int] = dict.fromkeys(sorted(set(top)), 0)
    count, seen = 0, set()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_AT_ONCE):
            rows = pa.Table.from_batches([batch])
            keep = pc.and_(pc.greater_equal(rows["view"], 0), pc.greater_equal(rows["label"], 0))
            keep = pc.and_(keep, pc.is_in(rows["status"], value_set=pa.array(sorted(tables.USABLE))))
            rows = rows.filter(pc.and_(keep, pc.equal(rows["split"], split)) if split else keep)
            logits_NK = tables.matrix(rows, "logits")
            finite_N = np.isfinite(logits_NK).all(axis=1)
            logits_NK, given_N = logits_NK[finite_N], rows["label"].to_numpy()[finite_N]
            own_N1 = np.take_along_axis(logits_NK, given_N[:, None], axis=1)
            # Of equal logits the lower class is the better one, as in `audit.Ranking`.
            before_NK = (logits_NK == own_N1) & (np.arange(logits_NK.shape[1]) < given_N[:, None])
            place_N = ((logits_NK > own_N1) | before_NK).sum(axis=1)
            for k in found:
                found[k] += int((place_N < k).sum())
            count += len(given_N)
            seen.update(rows["video_id"].filter(pa.array(finite_N)).to_pylist())
    return {"n": count, "videos": len(seen)} | {f"top{k}": h / count if count else None for k, h in found.items()}


def _of_model(ranking: Ranking, table: pa.Table, aligned: Aligned, top: Sequence[int]) -> Details:
    given_N = aligned.given_N
    rows_of_videos = table.filter(pc.equal(table["view"], -1))
    place = {video: n for n, video in enumerate(rows_of_videos["video_id"].to_pylist())}
    at_N = np.array([place[video] for video in aligned.video_id_N], np.int64)
    logits_NK = tables.matrix(rows_of_videos, "logits")[at_N].astype(np.float64)
    logits_NK -= logits_NK.max(axis=1, keepdims=True)
    p_NK = np.exp(logits_NK)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    curves = tuple(
        _curve(k, name, given_N == k, p_NK[:, k]) for k, name in enumerate(aligned.labels.names) if (given_N == k).any()
    )
    precision = {curve.label: curve.average_precision for curve in curves}
    sets = LabelSets.single(given_N, len(aligned.labels))
    counted = per_class(given_N, aligned.labels, {f"top{k}": hits(ranking.top_NK, sets, k) for k in top})
    rows = tuple(
        {key: row[key] for key in ("label", "name", "group", "n")}
        | {f"top{k}": row[f"top{k}"] / row["n"] if row["n"] else None for k in top}
        | {"average_precision": precision.get(row["label"])}
        for row in counted
    )
    counts_KK = confusion.counts(given_N, ranking.predicted_N, len(aligned.labels))
    return Details(ranking.name, rows, counts_KK, curves)


def _curve(label: int, name: str, is_class_N: npt.NDArray[np.bool_], p_N: npt.NDArray[np.float64]) -> Curve:
    precision, recall, threshold = precision_recall_curve(is_class_N, p_N)
    area = float(average_precision_score(is_class_N, p_N))
    return Curve(label, name, int(is_class_N.sum()), area, precision, recall, threshold)


def write_tables(found: Details, folder: Path, stem: str) -> list[Path]:
    """Writes `classes-`, `confusion-`, `confused-` and `precision-recall-<stem>.csv`."""
    names = [row["name"] for row in found.classes]
    matrix = ([name, *counts] for name, counts in zip(names, found.counts_KK.tolist(), strict=True))
    points = (
        (curve.name, p, r, t)
        for curve in found.curves
        for p, r, t in zip(
            curve.precision.tolist(), curve.recall.tolist(), [*curve.threshold.tolist(), ""], strict=True
        )
    )
    confused = [list(row.values()) for row in found.confused()]
    return [
        write_csv(folder / f"classes-{stem}.csv", list(found.classes[0]), (list(r.values()) for r in found.classes)),
        write_csv(folder / f"confusion-{stem}.csv", ["given \\ predicted", *names], matrix),
        write_csv(folder / f"confused-{stem}.csv", ["given", "predicted", "count", "share", "back"], confused),
        write_csv(folder / f"precision-recall-{stem}.csv", ["class", "precision", "recall", "threshold"], points),
    ]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Writes a CSV file with a header; None becomes an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def write_json(path: Path, found: Sequence[Details], views: Mapping[str, Any], ratios: Sequence[Any]) -> Path:
    """Writes everything but the points of the curves as one object."""
    models = [
        {
            "name": d.name,
            "per_class": list(d.classes),
            "mean_average_precision": d.mean_average_precision,
            "confused": d.confused(),
            "per_view": views.get(d.name),
        }
        for d in found
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"models": models, "ratios": list(ratios)}, indent=1, allow_nan=False), encoding="utf-8")
    return path
