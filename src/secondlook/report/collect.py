"""Finds what a report is made of: the tables, runs, scores and explanations that the other verbs left in a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from secondlook import tables
from secondlook.errors import BadValue, MissingFile


@dataclass
class Findings:
    """Everything found; what is not there stays empty, and its section is left out of the page."""

    folder: Path
    videos: pa.Table | None = None
    predictions: dict[str, pa.Table] = field(default_factory=dict)
    """File stem -> predictions table."""
    candidates: pa.Table | None = None
    labels: pa.Table | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    explanations: list[dict[str, Any]] = field(default_factory=list)
    """What every `explanations.json` holds, with `base`: the folder that its paths are relative to."""
    explanation_scores: list[dict[str, Any]] = field(default_factory=list)
    """What every `explanation_scores.json` holds, the nearest to the top first."""
    foci: list[dict[str, Any]] = field(default_factory=list)
    """What every `foci.json` holds, with `base`: the folder of its pictures."""


@dataclass(frozen=True)
class Run:
    """What a run folder tells about itself."""

    card: Mapping[str, Any]
    settings: Mapping[str, Any]
    curves: Mapping[str, npt.NDArray[np.float64]]


def gather(folder: str | Path) -> Findings:
    """Looks through `folder` and the folders in it, three levels deep, and takes what it knows.

    Tables are known by what they say they are, not by their names. Where two tables of one kind compete (two label
    tables, say), the one nearest to the top wins, then the first by name.

    Raises:
        MissingFile: if there is no such folder.
        BadValue: if nothing in it can be reported on.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(folder, "Give the folder in which the other verbs wrote their files.")
    found = Findings(folder)
    files = sorted(
        (p for depth in range(4) for p in folder.glob("*/" * depth + "*") if p.is_file()), key=_nearest_first
    )
    for path in files:
        if path.suffix == ".parquet":
            _take_table(found, path)
        elif path.name == "explanations.json":
            found.explanations.append({**json.loads(path.read_text(encoding="utf-8")), "base": path.parent})
        elif path.name == "explanation_scores.json":
            found.explanation_scores.append(json.loads(path.read_text(encoding="utf-8")))
        elif path.name == "foci.json":
            found.foci.append({**json.loads(path.read_text(encoding="utf-8")), "base": path.parent})
        elif path.name == "scores.json" and not found.scores:
            found.scores = json.loads(path.read_text(encoding="utf-8"))
        elif path.name == "card.json":
            found.runs[path.parent.name] = _run(path.parent)
    if not (found.predictions or found.videos is not None or found.runs):
        raise BadValue(str(folder), "holds nothing to report on", "Run `secondlook index`, `train`, `predict` first.")
    return found


def _nearest_first(path: Path) -> tuple[int, str]:
    return len(path.parts), str(path)


def _take_table(found: Findings, path: Path) -> None:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return
    kind = json.loads(metadata.get(b"secondlook", b"{}")).get("table")
    if kind == "predictions":
        found.predictions.setdefault(path.stem, tables.read(tables.PREDICTIONS, path))
    elif kind in ("videos", "candidates", "labels") and getattr(found, kind) is None:
        setattr(found, kind, tables.read(tables.SCHEMAS[kind], path))


def _run(folder: Path) -> Run:
    settings = folder / "settings.json"
    return Run(
        json.loads((folder / "card.json").read_text(encoding="utf-8")),
        json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {},
        _curves(folder / "curves.csv"),
    )


def _curves(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Columns of a `curves.csv`; an empty cell is NaN."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = rows[0].keys() if rows else []
    return {c: np.array([float(row[c]) if row[c] else np.nan for row in rows]) for c in columns}
