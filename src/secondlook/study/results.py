"""The table of a study's run: one row a row, set, split and seed, what was measured and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from secondlook.study.measure import Measured, measured
from secondlook.study.plan import TEST_LABELS, Unit
from secondlook.study.run import DONE, FAILED, Outcome
from secondlook.study.schema import Study

COLUMNS = (
    "study", "row", "label", "set", "split", "seed", "status", "reason", "top1", "top3", "top5", "true_top1",
    "real_top1", "n", "params", "macs", "views", "input", "pre_training", "minutes",
)  # fmt: skip
"""`top1` to `top5`, `true_top1` (one of the labels that truly hold, where they are known) and `real_top1` (one of those
that simulated people chose) are shares; `macs`: of one view; `n`: videos; `minutes`: to train and predict."""
MEASURES = ("top1", "top3", "top5", "true_top1", "real_top1")


def measure(units: Sequence[Unit], outcomes: Mapping[Path, Outcome]) -> dict[str, list[Measured]]:
    """Set -> its splits, with every unit that is done."""
    found: dict[str, list[Measured]] = {}
    for data in dict.fromkeys(unit.data for unit in units):
        tables_of: dict[str, dict[int, Path]] = {}
        labels: dict[int, Path] = {}
        for unit in units:
            if unit.data == data and outcomes[unit.folder].status == DONE:
                tables_of.setdefault(unit.row.name, {})[unit.seed] = unit.predictions
                if unit.asks_test and (unit.folder / TEST_LABELS).is_file():
                    labels[unit.seed] = unit.folder / TEST_LABELS
        if tables_of:
            found.setdefault(data.name, []).append(measured(data.name, data.split, data.videos, tables_of, labels))
    return found


def table(
    study: Study, units: Sequence[Unit], outcomes: Mapping[Path, Outcome], parts: Mapping[str, Sequence[Measured]]
) -> pd.DataFrame:
    """The results table, `COLUMNS`, in the order of the study."""
    part_of = {(part.set, part.split): part for of_set in parts.values() for part in of_set}
    place = {row.name: number for number, row in enumerate(study.rows)}
    rows = []
    for unit in sorted(units, key=lambda u: (u.data.name, u.data.split, place[u.row.name], u.seed)):
        outcome = outcomes[unit.folder]
        part = part_of.get((unit.data.name, unit.data.split))
        right = part.hits.get(unit.row.name, {}).get(unit.seed, {}) if part else {}
        values = {m: float(right[m].mean()) if m in right else math.nan for m in MEASURES}
        rows.append(
            {
                "study": study.name,
                "row": unit.row.name,
                "label": unit.row.title,
                "set": unit.data.name,
                "split": unit.data.split,
                "seed": unit.seed,
                "status": outcome.status,
                "reason": outcome.reason,
                **values,
                "n": part.videos if right and part else 0,
                "params": outcome.params,
                "macs": outcome.macs,
                "views": outcome.views,
                "input": outcome.input,
                "pre_training": outcome.pre_training,
                "minutes": outcome.seconds / 60,
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"params": "Int64", "macs": "Int64"})


def write(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """`results.parquet` and `results.csv`."""
    paths = [folder / "results.parquet", folder / "results.csv"]
    frame.to_parquet(paths[0], index=False)
    frame.to_csv(paths[1], index=False, float_format="%.6g")
    return paths


def failures(units: Sequence[Unit], outcomes: Mapping[Path, Outcome]) -> dict[str, tuple[str, str]]:
    """Row -> status and reason, for rows of which no unit is done; skipped ones too."""
    found: dict[str, tuple[str, str]] = {}
    done = {unit.row.name for unit in units if outcomes[unit.folder].status == DONE}
    for unit in units:
        outcome = outcomes[unit.folder]
        if unit.row.name not in done and (unit.row.name not in found or outcome.status == FAILED):
            found[unit.row.name] = (outcome.status, outcome.reason)
    return found
