"""Late fusion of rows: a video's probabilities are the mean of those of its streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.views import fuse

VIDEO = -1
"""View of the row that stands for a whole video."""


def fuse_tables(paths: Sequence[Path], output: Path) -> Path:
    """`softmax(out) = mean_m softmax(logits_m)` over predictions tables of the same videos, video by video.

    `late-temporal-bert`, section 3.4 and F86: streams are trained apart and their scores averaged.

    Raises:
        BadValue: if the tables are not of the same videos or label spaces, or fewer than two.
    """
    if len(paths) < 2:
        raise BadValue(len(paths), "fusing needs at least two predictions tables")
    read = [tables.read(tables.PREDICTIONS, path) for path in paths]
    videos = [table.filter(np.asarray(table["view"]) == VIDEO).sort_by("video_id") for table in read]
    first = videos[0]
    for table, path in zip(videos[1:], paths[1:], strict=True):
        if table["video_id"].to_pylist() != first["video_id"].to_pylist():
            raise BadValue(str(path), f"is not of the same videos as {paths[0]}")
        if tables.label_space(table) != tables.label_space(first):
            raise BadValue(str(path), f"has other labels than {paths[0]}")
    logits_MNK = np.stack([tables.matrix(table, "logits") for table in videos])
    fused_NK = np.stack([fuse(logits_MNK[:, n]) for n in range(logits_MNK.shape[1])])
    rows = [
        {**row, "logits": logits_K.tolist()}
        for row, logits_K in zip(first.drop_columns(["logits"]).to_pylist(), fused_NK, strict=True)
    ]
    kept = {k: v for k, v in tables.made(first).items() if k in ("label_space", "dataset")}
    made = tables.provenance("study", {"fuse": [str(path) for path in paths]}, paths)
    tables.write(tables.PREDICTIONS, rows, output, {**kept, **made})
    return output
