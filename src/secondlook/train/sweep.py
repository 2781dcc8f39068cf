"""One training for each distillation weight, and the weight whose student is best: by Top-1 + Top-3.

`late-temporal-bert`, section 4.17.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.run import PredictSettings, predict
from secondlook.predict.weights import load_run
from secondlook.train.loop import train
from secondlook.train.settings import TrainSettings

WEIGHTS = (25_000.0, 50_000.0, 100_000.0, 250_000.0, 500_000.0)
"""Of the source, which chooses 100 000."""


@dataclass(frozen=True)
class Tried:
    """What a weight led to, in per cent of the validation videos."""

    weight: float
    top1: float
    top3: float
    run: str = ""

    @property
    def total(self) -> float:
        """What is compared."""
        return self.top1 + self.top3


def choose(tried: Sequence[Tried]) -> Tried:
    """The highest Top-1 + Top-3; of equals the smallest weight.

    Raises:
        BadValue: if there is nothing to choose from.
    """
    if not tried:
        raise BadValue("weights", "there is none to choose from")
    return max(tried, key=lambda one: (round(one.total, 9), -one.weight))


def sweep(
    videos: pa.Table,
    folder: str | Path,
    settings: TrainSettings,
    weights: Sequence[float] = WEIGHTS,
    *,
    on_weight: Callable[[Tried], None] | None = None,
) -> tuple[Tried, list[Tried]]:
    """Trains a student with each weight in `FOLDER/weight-W` and compares them on split `val`.

    Runs and predictions that are there already are gone on with, so that a sweep that was stopped can be called again.

    Args:
        videos: a videos table.
        folder: where runs go, and `sweep.csv`.
        settings: of the student, with its teacher; the weight is replaced.
        weights: lambdas to try.
        on_weight: called after each.

    Returns:
        The chosen one, and all.

    Raises:
        BadValue: if there is no teacher.
    """
    if settings.teacher is None:
        raise BadValue("teacher", "a sweep over distillation weights needs one", "Give the settings a teacher.")
    folder = Path(folder)
    tried = []
    for weight in weights:
        run = folder / f"weight-{weight:g}"
        train(videos, run, replace(settings, distillation_weight=weight))
        how = PredictSettings("val", workers=settings.workers, cache=settings.cache, timeout_s=settings.timeout_s)
        predict(load_run(run), videos, run / "val.parquet", how)
        top1, top3 = (100 * share_correct(tables.read(tables.PREDICTIONS, run / "val.parquet"), k) for k in (1, 3))
        tried.append(Tried(weight, top1, top3, str(run)))
        if on_weight:
            on_weight(tried[-1])
    best = choose(tried)
    with (folder / "sweep.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("weight", "top1", "top3", "total", "chosen", "run"), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**asdict(one), "total": one.total, "chosen": int(one is best)} for one in tried)
    return best, tried


def share_correct(predictions: pa.Table, k: int) -> float:
    """Share of the labelled videos whose given label has one of the k highest logits; unusable videos are not right."""
    rows = predictions.filter(
        pc.and_(pc.equal(predictions["view"], -1), pc.not_equal(predictions["label"], tables.UNLABELLED))
    )
    logits_NK, label_N = tables.matrix(rows, "logits"), rows["label"].to_numpy()
    given_N1 = np.take_along_axis(logits_NK, label_N[:, None], 1)
    right_N = np.isfinite(logits_NK).all(1) & ((logits_NK > given_N1).sum(1) < k)
    return float(right_N.mean()) if len(right_N) else 0.0
