"""What `evaluate --details` writes: tables and pictures by class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_TOLD = 3
"""Confused pairs that are said on the screen."""


def write_details(
    models: Mapping[str, pa.Table], paths: Sequence[Path], top: Sequence[int], split: str, folder: Path
) -> dict[str, Any]:
    """Writes CSV tables, `details.json` and PNG pictures; gives the files and the few numbers that are said.

    Args:
        models: model name -> predictions table (video rows).
        paths: the files they come from, in the same order: their view rows are scored, too.
        top: k of the accuracies.
        split: only videos of this split; all when empty.
        folder: where to write.
    """
    from secondlook import figure_files
    from secondlook.evaluate import details
    from secondlook.report import score_figures

    found = details.details(models, top=sorted({1, *top}), split=split)
    views = {
        name: details.view_accuracy(path, top=sorted({1, *top}), split=split)
        for name, path in zip(models, paths, strict=True)
    }
    stems = dict(zip(models, _stems(models), strict=True))
    files: list[Path] = []
    for of in found:
        stem, names = stems[of.name], [row["name"] for row in of.classes]
        files += details.write_tables(of, folder, stem)
        curves = {c.name: (c.recall, c.precision, c.average_precision) for c in of.curves}
        drawn = {
            "confusion": score_figures.confusion(of.counts_KK, names),
            "precision-recall": score_figures.precision_recall(curves),
            "classes": score_figures.class_bars(
                {row["name"]: round(100 * row["top1"], 1) for row in of.classes if row["n"]}, "top-1 of the class, %"
            ),
        }
        files += [figure_files.save(figure, folder / f"{what}-{stem}.png") for what, figure in drawn.items()]
    ratios = []
    for a, b in combinations(found, 2):
        rows = details.accuracy_ratio(a, b)
        ratios.append({"first": a.name, "second": b.name, "classes": rows})
        path = folder / f"ratio-{stems[a.name]}-over-{stems[b.name]}.csv"
        files.append(details.write_csv(path, list(rows[0]), (list(row.values()) for row in rows)))
    files.append(details.write_json(folder / "details.json", found, views, ratios))
    said = {
        of.name: {
            "mean_average_precision": of.mean_average_precision,
            "confused": [f"{p['given']} as {p['predicted']} {p['count']}" for p in of.confused()[:_TOLD]],
            "per_view": views[of.name],
        }
        for of in found
    }
    return {"folder": str(folder), "files": [path.name for path in files], "models": said}


def _stems(names: Mapping[str, Any]) -> list[str]:
    """A file name for each model, told apart where two would be the same."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.+-]+", "-", name).strip("-") or "model"
        found.append(stem if stem not in found else f"{stem}-{len(found)}")
    return found
