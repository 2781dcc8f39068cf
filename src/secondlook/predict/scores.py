"""Scores made elsewhere -> a predictions table, without running a network; and the best classes of a table -> CSV.

Shapes: N videos, K classes.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.predict.loader import fingerprint
from secondlook.predict.run import PredictResult, rows_of_split

_FLOOR = 1e-12
"""A probability of 0 is taken for this one: logits are finite."""


def import_scores(path: str | Path, videos: pa.Table, output: str | Path, split: str = "all") -> PredictResult:
    """Makes a predictions table of a file of scores.

    CSV: a column `video_id` and one column a class, headed by its name. NPZ: arrays `video_id` (N), `logits` (N x K),
    and perhaps `labels` (K names; else the columns are in the order of the videos table's label space). Rows that are
    probabilities (not negative, sum 1 within 1e-3) become their logarithm, so that their softmax gives them back.
    A video of the split that the file says nothing about gets a row with NaN logits and status `missing`.

    Args:
        path: the file.
        videos: the videos table they are about.
        output: file to write.
        split: videos to write rows for; `all` for every one.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not of that form, names a video twice or one that is not in the table, or has a value that is
            not finite.
        UnknownName: if it names a class that is not in the label space.
    """
    path, output = Path(path), Path(output)
    if not path.is_file():
        raise MissingFile(path, "Give a run folder, or a .csv or .npz of scores.")
    labels = tables.label_space(videos)
    names, scores_NK, classes = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path)
    columns = list(range(len(labels))) if classes is None else [labels.index_of(name) for name in classes]
    if sorted(columns) != list(range(len(labels))) or scores_NK.shape != (len(names), len(labels)):
        raise BadValue(
            str(path),
            f"has scores of shape {scores_NK.shape}; {len(names)} videos and one column for each of the {len(labels)} "
            "labels of the videos table are needed",
        )
    row_of = {name: i for i, name in enumerate(names)}
    if len(row_of) != len(names):
        raise BadValue(str(path), "names a video twice", "Give one row a video.")
    strangers = sorted(row_of.keys() - set(videos["video_id"].to_pylist()))
    if strangers:
        raise BadValue(strangers[0], f"is in {path.name} but not in the videos table ({len(strangers)} such videos)")
    if not np.isfinite(scores_NK).all():
        raise BadValue(str(path), "holds scores that are not finite", "Leave out videos without scores.")
    logits_NK = np.empty_like(scores_NK)
    logits_NK[:, columns] = scores_NK
    probabilities = bool(len(names) and (scores_NK >= 0).all() and (abs(scores_NK.sum(1) - 1) < 1e-3).all())
    if probabilities:
        logits_NK = np.log(np.maximum(logits_NK, _FLOOR))
    chosen = rows_of_split(videos, split)
    known = [row_of.get(name) for name in chosen["video_id"].to_pylist()]
    full_NK = np.full((len(chosen), len(labels)), np.nan, np.float32)
    for place, row in enumerate(known):
        if row is not None:
            full_NK[place] = logits_NK[row]
    missing = [row is None for row in known]
    made = tables.provenance("predict", {"scores": path.name, "split": split}, [path]) | {
        "label_space": labels.to_dict(),
        "model": path.stem,
        "run": str(path),
        "views": "1x1",
        "fuse": "",
        "given_as": "probabilities" if probabilities else "logits",
        "fingerprint": tables.made(videos).get("fingerprint") or fingerprint(videos),
    }
    columns_of_table: dict[str, Any] = {
        "video_id": chosen["video_id"],
        "view": pa.array(np.full(len(chosen), -1, np.int16)),
        "label": chosen["label"],
        "split": chosen["split"],
        "start_s": pa.array(np.full(len(chosen), np.nan)),
        "crop": pa.array([""] * len(chosen)),
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(full_NK.reshape(-1)), len(labels)),
        "status": pa.array(["missing" if m else "ok" for m in missing]),
        "reason": pa.array([f"{path.name} has no score for this video" if m else "" for m in missing]),
    }
    tables.write(tables.PREDICTIONS, pa.table(columns_of_table), output, made)
    return PredictResult(output, len(chosen), sum(missing), "1x1", len(labels), 0, 0.0)


def write_top_k(predictions: pa.Table, k: int, path: str | Path) -> Path:
    """Writes the k best classes of each video as CSV: `video_id, label, rank, index, name, confidence`.

    Confidence is the softmax of the video's logits. Videos that could not be used have no row.

    Raises:
        BadValue: if k is not in 1..K.
    """
    labels = tables.label_space(predictions)
    if not 1 <= k <= len(labels):
        raise BadValue(k, f"must lie in 1..{len(labels)}, the number of labels")
    logits_NK = tables.matrix(predictions, "logits").astype(np.float64)
    of_video_N = (predictions["view"].to_numpy() == -1) & np.isfinite(logits_NK).all(1)
    rows = predictions.select(["video_id", "label"]).filter(pa.array(of_video_N))
    logits_NK = logits_NK[of_video_N]
    confidence_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True, initial=-np.inf))
    confidence_NK /= confidence_NK.sum(1, keepdims=True)
    best_Nk = np.argsort(-logits_NK, axis=1, kind="stable")[:, :k]
    path = Path(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("video_id", "label", "rank", "index", "name", "confidence"))
        for at, (name, label) in enumerate(zip(*(c.to_pylist() for c in rows.columns), strict=True)):
            for rank, index in enumerate(best_Nk[at].tolist(), start=1):
                writer.writerow((name, label, rank, index, labels.names[index], f"{confidence_NK[at, index]:.6g}"))
    return path


def _read_csv(path: Path) -> tuple[list[str], NDArray[np.float64], list[str] | None]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if not header or header[0].strip() != "video_id":
            raise BadValue(str(path), "must start with a line `video_id,CLASS,CLASS,...`")
        names, rows = [], []
        for row in reader:
            try:
                rows.append([float(value) for value in row[1:]])
            except ValueError as error:
                raise BadValue(row[0], f"has a score that is no number ({error})", f"Look at {path}.") from None
            if len(row) != len(header):
                raise BadValue(row[0], f"has {len(row) - 1} scores for {len(header) - 1} classes", f"Look at {path}.")
            names.append(row[0])
    return names, np.array(rows, dtype=np.float64).reshape(len(names), len(header) - 1), [c.strip() for c in header[1:]]


def _read_npz(path: Path) -> tuple[list[str], NDArray[np.float64], list[str] | None]:
    try:
        with np.load(path, allow_pickle=False) as data:
            names = [str(name) for name in data["video_id"]]
            classes = [str(name) for name in data["labels"]] if "labels" in data else None
            return names, np.asarray(data["logits"], dtype=np.float64), classes
    except (OSError, ValueError, KeyError) as error:
        raise BadValue(str(path), f"is not an .npz with arrays video_id and logits ({error})") from None
