"""What `audit` puts together: the signals that were named, with inputs and options; a held-out model; CSV files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.errors import BadValue

if TYPE_CHECKING:
    import pyarrow as pa

    from secondlook.audit import Aligned, Confusion

_USED_BY = {
    "vectors": "label_closeness",
    "embeddings": "near_duplicates, or confident_learning with --folds",
    "run": "training_dynamics",
    "folds": "confident_learning",
}


def options_of(
    signals: Sequence[str], texts: Sequence[str], select: str, folds: int, inputs: Mapping[str, Path | None]
) -> dict[str, dict[str, Any]]:
    """The options of each signal that was named, and of `combined` where there are several.

    Raises:
        UnknownName: for a signal or an option that is not there.
        BadValue: if a signal is named twice, or something is given that no signal asks for.
    """
    from secondlook.audit import given_options, takes

    if len(set(signals)) < len(signals):
        raise BadValue(", ".join(signals), "names a signal twice", "Name each once.")
    if "combined" in signals:
        raise BadValue("combined", "is what several signals become together",
                       "Name them: --signal misclassified --signal low_margin.")  # fmt: skip
    asked = {name for signal in signals for name in takes(signal)}
    given = [name for name, path in inputs.items() if path is not None] + (["folds"] if folds else [])
    for name in given:
        if name not in asked:
            raise BadValue(f"--{name}", f"no signal that is named uses it: {', '.join(signals)}",
                           f"It is for --signal {_USED_BY[name]}.")  # fmt: skip
    options = given_options([*signals, *(["combined"] if len(signals) > 1 else [])], texts)
    if "misclassified" in options:
        options["misclassified"].setdefault("select", select)
    if folds:
        options["confident_learning"]["folds"] = folds
    return options


def read_inputs(inputs: Mapping[str, Path | None]) -> tuple[dict[str, Any], list[Path]]:
    """What the signals are given, and the files that their results depend on.

    Raises:
        MissingFile: if one of them is not there.
        BadValue: if it is another table.
    """
    from secondlook import tables

    schemas = {"vectors": tables.LABEL_VECTORS, "embeddings": tables.EMBEDDINGS}
    read: dict[str, Any] = {}
    files = []
    for name, path in inputs.items():
        if path is not None:
            read[name] = tables.read(schemas[name], path) if name in schemas else path
            files.append(path / "dynamics.parquet" if path.is_dir() else path)
    return read, [file for file in files if file.is_file()]


def measure_held_out(
    path: Path, others: Sequence[Path], videos: pa.Table | None, aligned: Aligned, split: str
) -> dict[str, Any]:
    """Measures a model that neither selects nor proposes: on how many videos it is wrong.

    Raises:
        BadValue: if its label space is another one, or it is one of the other models.
    """
    from secondlook.audit import align, compare_label_spaces, mistakes, name_models, read_video_rows

    if path.resolve() in [other.resolve() for other in others]:
        raise BadValue(str(path), "is one of the models that select", "Hold out another one.")
    table = read_video_rows(path)
    (name,) = name_models([table], [path])
    if name in aligned.names:
        name = str(path)
    alone = align({name: table}, videos, top_k=aligned.top_k, split=split)
    compare_label_spaces(aligned.names[0], aligned.labels, name, alone.labels)
    sizes = mistakes(alone).sizes()
    return {"model": name, "videos": sizes["videos"], "wrong": sizes["wrong"][name], "missed": sizes["missed"][name]}


def write_csv(
    folder: Path, classes: Sequence[Mapping[str, Any]], pairs: Sequence[Confusion], names: Sequence[str]
) -> list[str]:
    """Writes `confused_classes.csv` and `confusions.csv`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    confused = [
        {"video_id": p.video_id, "model": p.model, "given": names[p.given], "predicted": names[p.predicted],
         "confidence": f"{p.confidence:.6f}"}
        for p in pairs
    ]  # fmt: skip
    shares = [{**row, "share": f"{row['share']:.6f}"} for row in classes]
    for name, rows, columns in (
        ("confused_classes", shares, ("label", "name", "count", "videos", "share")),
        ("confusions", confused, ("video_id", "model", "given", "predicted", "confidence")),
    ):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return [str(folder / f"{name}.csv") for name in ("confused_classes", "confusions")]
