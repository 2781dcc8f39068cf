"""Prediction, video and label tables made by code, in memory or on disk; numbers in, tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.audit import Aligned, align
from secondlook.labels import Label, LabelSpace


def space(classes: int, groups: int = 0) -> LabelSpace:
    """Classes c0, c1, ... in groups g0, g1, ... in turn."""
    labels = tuple(Label(f"c{k}", f"g{k % groups}" if groups else "") for k in range(classes))
    return LabelSpace(labels, "made by code")


def ids(count: int) -> list[str]:
    return [f"v{i:05d}" for i in range(count)]


def with_made(table: pa.Table, schema: tables.Schema, **made: Any) -> pa.Table:
    """A table as it looks after writing and reading, without the disk."""
    import json

    table = tables.conform(schema, table)
    return table.replace_schema_metadata({b"secondlook": json.dumps({"table": schema.name, **made}).encode()})


def predictions(
    logits_NK: Any,
    given_N: Sequence[int],
    *,
    labels: LabelSpace | None = None,
    video_ids: Sequence[str] | None = None,
    split: str | Sequence[str] = "test",
    status: Mapping[int, str] | None = None,
    model: str = "toy:one",
    views: int = 1,
) -> pa.Table:
    """A predictions table: `views` noisy view rows and one video row a video; unusable rows hold NaN."""
    logits_NK = np.array(logits_NK, dtype=np.float32)
    count, classes = logits_NK.shape
    status_N = [(status or {}).get(i, "ok") for i in range(count)]
    for i, said in enumerate(status_N):
        if said not in tables.USABLE:
            logits_NK[i] = np.nan
    splits = [split] * count if isinstance(split, str) else list(split)
    parts = []
    for view in [*range(views), -1]:
        shown_NK = logits_NK if view == -1 else logits_NK[:, ::-1]  # views say something else: they must not be read
        parts.append(
            pa.table(
                {
                    "video_id": pa.array(video_ids or ids(count)),
                    "view": pa.array([view] * count, pa.int16()),
                    "label": pa.array(np.asarray(given_N, dtype=np.int32)),
                    "split": pa.array(splits),
                    "start_s": pa.array([np.nan] * count, pa.float64()),
                    "crop": pa.array([""] * count),
                    "logits": pa.FixedSizeListArray.from_arrays(pa.array(shown_NK.ravel()), classes),
                    "status": pa.array(status_N),
                    "reason": pa.array(["" if s == "ok" else f"it is {s}" for s in status_N]),
                }
            )
        )
    named = (labels or space(classes)).to_dict()
    return with_made(pa.concat_tables(parts), tables.PREDICTIONS, label_space=named, model=model)


def videos(
    given_N: Sequence[int],
    classes: int,
    *,
    labels: LabelSpace | None = None,
    video_ids: Sequence[str] | None = None,
    split: str | Sequence[str] = "test",
    group: Sequence[str] | None = None,
    status: Mapping[int, str] | None = None,
    true_labels: Sequence[Sequence[int]] | None = None,
) -> pa.Table:
    count = len(given_N)
    names = list(video_ids or ids(count))
    columns = {
        "video_id": pa.array(names),
        "path": pa.array([f"videos/{n}.mp4" for n in names]),
        "label": pa.array(np.asarray(given_N, dtype=np.int32)),
        "split": pa.array([split] * count if isinstance(split, str) else list(split)),
        "group": pa.array(list(group) if group is not None else [""] * count),
        "status": pa.array([(status or {}).get(i, "ok") for i in range(count)]),
        "reason": pa.array([""] * count),
    }
    if true_labels is not None:
        columns["true_labels"] = pa.array(list(true_labels), pa.list_(pa.int32()))
    named = (labels or space(classes)).to_dict()
    return with_made(
        pa.table(columns), tables.VIDEOS, label_space=named, root="/data", dataset="toy", fingerprint="f00d"
    )


def labels(
    rows: Mapping[str, tuple[int, Sequence[int]]],
    classes: int,
    *,
    space_of: LabelSpace | None = None,
    approved: Sequence[int] | None = None,
    voted: Sequence[Sequence[int]] | None = None,
    votes: Sequence[Sequence[int]] | None = None,
) -> pa.Table:
    """A labels table from `video_id -> (given label, reassessed set)`."""
    count = len(rows)
    lists = pa.list_(pa.int32())
    columns = {
        "video_id": pa.array(list(rows), pa.string()),
        "given_label": pa.array([given for given, _ in rows.values()], pa.int32()),
        "labels": pa.array([sorted(found) for _, found in rows.values()], lists),
        "rule": pa.array(["R1" if found else "failed" for _, found in rows.values()], pa.string()),
        "approved": pa.array(approved if approved is not None else [3] * count, pa.int8()),
        "answers": pa.array([3] * count, pa.int8()),
        "voted": pa.array(voted if voted is not None else [sorted(f) for _, f in rows.values()], lists),
        "votes": pa.array(votes if votes is not None else [[3] * len(f) for _, f in rows.values()], lists),
    }
    named = (space_of or space(classes)).to_dict()
    return with_made(pa.table(columns), tables.LABELS, label_space=named, rules={})


def save(table: pa.Table, path: Path) -> Path:
    """Writes a table to disk as the room that makes it would."""
    made = tables.made(table)
    return tables.write(tables.SCHEMAS[made["table"]], table, path, made)


def ordered_logits(order_N: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """Logits whose best classes are the given ones, best first; the rest follow by falling index."""
    logits_NK = np.empty((len(order_N), classes), dtype=np.float32)
    for row, order in enumerate(order_N):
        full = [*order, *(k for k in range(classes - 1, -1, -1) if k not in order)]
        logits_NK[row, full] = np.linspace(3, 0, classes)
    return logits_NK


def random_models(rng: np.random.Generator, count: int, classes: int, models: int = 2) -> tuple[dict[str, Any], Any]:
    """Random but better than chance models, named a, b, ..., and the given labels."""
    given_N = rng.integers(classes, size=count)
    found = {}
    for m in range(models):
        logits_NK = rng.normal(size=(count, classes)).astype(np.float32)
        logits_NK[np.arange(count), given_N] += 1.5
        found["abcdefgh"[m]] = logits_NK
    return found, given_N


def aligned(logits: Mapping[str, Any], given_N: Sequence[int], *, top_k: int = 5, **options: Any) -> Aligned:
    return align({name: predictions(x, given_N, **options) for name, x in logits.items()}, top_k=top_k)
