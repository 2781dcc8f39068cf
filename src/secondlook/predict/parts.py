"""Predicting in parts: the folder of finished parts, the keys still to do, and the rows of a part.

Shapes: V views of a video, N clips of a part, K classes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import tables
from secondlook.predict.loader import Batch, Facts, Key
from secondlook.predict.views import Fusion, Views, fuse
from secondlook.predict.weights import read_json, write_json

PART_CLIPS = 512
"""Clips (views of videos) of one part, about: what a stop can cost."""


class Parts:
    """The folder of finished parts beside an output; parts made in another way are thrown away.

    Args:
        output: the table that the parts will become.
        made: how it is made; parts that say the same are kept.
        parts: rows of each part (`parts_of`).
    """

    def __init__(self, output: Path, made: dict[str, Any], parts: Sequence[range]) -> None:
        self.output, self.made = output, made
        self.folder = output.with_name(output.name + ".parts")
        about = self.folder / "made.json"
        if not about.is_file() or read_json(about) != made:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_json(about, made)
        self.all = [*parts]
        self.todo = [part for part in self.all if not self._path(part).is_file()]
        """Ranges of rows, in order; `write` takes the first away."""
        self.resumed = sum(len(part) for part in self.all) - sum(len(part) for part in self.todo)
        """Videos that an earlier run had done."""

    def _path(self, part: range) -> Path:
        return self.folder / f"{part.start:09d}.parquet"

    def write(self, rows: pa.Table) -> None:
        """Keeps the rows of the first part that is still to do."""
        tables.write(tables.PREDICTIONS, rows, self._path(self.todo.pop(0)), self.made)

    def join(self) -> None:
        """Makes the output of all parts, one after the other, and removes them."""
        with tables.Writer(tables.PREDICTIONS, self.output, self.made) as writer:
            for part in self.all:
                writer.write(tables.read(tables.PREDICTIONS, self._path(part)))
        shutil.rmtree(self.folder)


def parts_of(rows: int, views: Views, clips_R: NDArray[np.int64] | None = None) -> list[range]:
    """Rows of each part.

    Args:
        rows: number of videos.
        views: views a video.
        clips_R: temporal clips of each video where they differ; None: `views.clips` of all.
    """
    if clips_R is not None:
        parts, start, gathered = [], 0, 0
        for row, clips in enumerate(clips_R.tolist()):
            if row > start and gathered + clips * views.crops > PART_CLIPS:
                parts.append(range(start, row))
                start, gathered = row, 0
            gathered += clips * views.crops
        return [*parts, range(start, rows)] if rows else []
    size = max(1, PART_CLIPS // views.total)
    return [range(start, min(start + size, rows)) for start in range(0, rows, size)]


class KeyBatches:
    """Keys of the parts still to do, in order; no batch spans two parts, so that a resumed output has the same bits.

    Args:
        todo: rows of each part.
        views: temporal views a video, of all or of each row.
        keys: of a batch, at most.
    """

    def __init__(self, todo: Sequence[range], views: int | NDArray[np.int64], keys: int) -> None:
        self.todo, self.views, self.keys = tuple(todo), views, keys

    def __len__(self) -> int:
        return sum(-(-self.keys_of(part) // self.keys) for part in self.todo)

    def __iter__(self) -> Iterator[list[Key]]:
        for part in self.todo:
            keys = (Key(row, 0, view) for row in part for view in range(self._views_of(row)))
            while batch := [*islice(keys, self.keys)]:
                yield batch

    def keys_of(self, part: range) -> int:
        """How many keys a part has."""
        return sum(map(self._views_of, part))

    def _views_of(self, row: int) -> int:
        return self.views if isinstance(self.views, int) else int(self.views[row])


class Rows:
    """Gathers what the network says about the videos of a part, and makes rows of the predictions table of it.

    Args:
        videos: the rows that are predicted.
        crops: names of the crops of a view.
        columns_K: which column of the network becomes column `k`.
        how: how views become the video's logits.
    """

    def __init__(self, videos: pa.Table, crops: Sequence[str], columns_K: NDArray[np.int64], how: Fusion) -> None:
        self.videos = videos.select(["video_id", "label", "split"])
        self.crops, self.columns_K, self.how = crops, columns_K, how
        self.facts: list[Facts] = []
        """One entry a key, in order of videos and, within one, of views."""
        self._logits: list[NDArray[np.float32]] = []

    def add(self, batch: Batch, logits_BK: NDArray[np.float32]) -> None:
        """Takes in the next batch."""
        self.facts.extend(batch.facts)
        if len(logits_BK):
            self._logits.append(logits_BK[:, self.columns_K])

    def take(self) -> pa.Table:
        """The rows gathered so far, which are then forgotten."""
        num_classes = len(self.columns_K)
        logits_NK = np.concatenate([np.zeros((0, num_classes), np.float32), *self._logits])
        of_rows: list[tuple[int, int, float, str, str, str]] = []
        logits: list[NDArray[np.float32]] = []
        at = 0
        for row, group in groupby(self.facts, key=lambda facts: facts.row):
            keys = list(group)
            for facts in keys:
                for number, crop in enumerate(self.crops[: facts.clips]):
                    view = facts.view * len(self.crops) + number
                    of_rows.append((row, view, facts.start_s, crop, facts.status, facts.reason))
            clips = sum(facts.clips for facts in keys)
            logits_VK = logits_NK[at : at + clips]
            at += clips
            said = next((facts for facts in keys if not facts.clips), keys[0])
            of_rows.append((row, -1, float("nan"), "", said.status, said.reason))
            video_K = fuse(logits_VK, self.how) if said.clips else np.full(num_classes, np.nan, np.float32)
            logits += [*logits_VK, video_K]
        self.facts, self._logits = [], []
        rows_N, views_N, starts_N, crops_N, statuses_N, reasons_N = zip(*of_rows, strict=True)
        named = self.videos.take(pa.array(rows_N))
        return pa.table(
            {
                "video_id": named["video_id"],
                "view": pa.array(views_N, pa.int16()),
                "label": named["label"],
                "split": named["split"],
                "start_s": pa.array(starts_N, pa.float64()),
                "crop": pa.array(crops_N, pa.string()),
                "logits": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(logits)), num_classes),
                "status": pa.array(statuses_N, pa.string()),
                "reason": pa.array(reasons_N, pa.string()),
            }
        )
