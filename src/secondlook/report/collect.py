"""Finds what a report is made of: the tables, runs, scores and explanations that the other verbs left in a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
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
    recovery: list[dict[str, Any]] = field(default_factory=list)
    """What every `recovery.json` holds."""
    label_vectors: list[pa.Table] = field(default_factory=list)
    """Every table of label vectors, the nearest to the top first."""
    workers: list[dict[str, str]] = field(default_factory=list)
    """Rows of `workers.csv`."""
    answers: Path | None = None
    """Folder of the answers' store."""
    set_aside: frozenset[str] = frozenset()
    """Videos that a list excluded, or that people found unsuitable: nothing of them is shown."""


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
        elif path.name == "recovery.json":
            found.recovery.append(json.loads(path.read_text(encoding="utf-8")))
        elif path.name == "foci.json":
            found.foci.append({**json.loads(path.read_text(encoding="utf-8")), "base": path.parent})
        elif path.name == "scores.json" and not found.scores:
            found.scores = json.loads(path.read_text(encoding="utf-8"))
        elif path.name == "workers.csv" and not found.workers:
            with path.open(newline="", encoding="utf-8") as file:
                found.workers = list(csv.DictReader(file))
        elif path.name == "store.sqlite" and found.answers is None:
            found.answers = path.parent
        elif path.name == "card.json":
            found.runs[path.parent.name] = _run(path.parent)
    if not (found.predictions or found.videos is not None or found.runs):
        raise BadValue(str(folder), "holds nothing to report on", "Run `secondlook index`, `train`, `predict` first.")
    _hide_what_is_set_aside(found)
    return found


def _hide_what_is_set_aside(found: Findings) -> None:
    """Takes candidates and explanations of excluded and unsuitable videos out; and foci that show one."""
    ids: set[str] = set()
    if found.videos is not None:
        ids |= set(found.videos.filter(pc.equal(found.videos["status"], "excluded"))["video_id"].to_pylist())
    if found.labels is not None:
        ids |= set(found.labels.filter(pc.starts_with(found.labels["rule"], "unsuitable"))["video_id"].to_pylist())
    found.set_aside = frozenset(ids)
    if not ids:
        return
    if found.candidates is not None:
        shown = pc.invert(pc.is_in(found.candidates["video_id"], value_set=pa.array(sorted(ids), pa.string())))
        found.candidates = found.candidates.filter(shown)
    for explained in found.explanations:
        explained["explanations"] = [e for e in explained["explanations"] if e["video_id"] not in ids]
    found.foci = [f for f in found.foci if ids.isdisjoint(_texts({k: v for k, v in f.items() if k != "left_out"}))]


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested lists and dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


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
    elif kind == "label_vectors":
        found.label_vectors.append(tables.read(tables.LABEL_VECTORS, path))
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
