"""How evenly a dataset fills its classes: clips and frames a class, and both tails by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondlook import tables

if TYPE_CHECKING:
    import pyarrow as pa

_TAIL = 3


@dataclass(frozen=True)
class Balance:
    """Clips and frames of each class; only usable rows with a label are counted, unless no row is usable."""

    clips: Mapping[str, int]
    """Class -> clips, in index order."""
    frames: Mapping[str, int]
    """Class -> frames, in index order; empty before a check has counted them."""

    @property
    def counted(self) -> Mapping[str, int]:
        """Frames where they are known, else clips."""
        return self.frames or self.clips

    def most(self, number: int = _TAIL) -> list[tuple[str, int]]:
        """The over-represented tail: classes with most frames (or clips), most first."""
        return sorted(self.counted.items(), key=lambda item: -item[1])[:number]

    def fewest(self, number: int = _TAIL) -> list[tuple[str, int]]:
        """The under-represented tail: classes with fewest frames (or clips), fewest first."""
        return sorted(self.counted.items(), key=lambda item: item[1])[:number]

    def tails(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Both tails without a class in common; two empty ones where every class has as much."""
        if len(set(self.counted.values())) < 2:
            return [], []
        number = min(_TAIL, len(self.counted) // 2)
        return self.most(number), self.fewest(number)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        tails = {"unit": "frames" if self.frames else "clips", "most": self.most(), "fewest": self.fewest()}
        return {"clips": dict(self.clips), "frames": dict(self.frames), **tails}

    def words(self) -> str:
        """One line for people."""
        if not self.counted:
            return "no classes"
        unit = "frames" if self.frames else "clips"
        if len(set(self.counted.values())) == 1:
            return f"every class has {next(iter(self.counted.values()))} {unit}"
        most, fewest = (", ".join(f"{name} {count}" for name, count in tail) for tail in self.tails())
        return f"most {unit}: {most}; fewest: {fewest}"


def balance(videos: pa.Table) -> Balance:
    """Counts a videos table that keeps its label space.

    Raises:
        BadValue: if the table keeps no label space.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    names = tables.label_space(videos).names
    usable = pc.is_in(videos["status"], value_set=pa.array(sorted(tables.USABLE)))
    kept = videos.filter(pc.and_(usable, pc.greater_equal(videos["label"], 0)))
    if not kept.num_rows:
        kept = videos.filter(pc.greater_equal(videos["label"], 0))
    label_N = kept["label"].to_numpy()
    clips_K = np.bincount(label_N, minlength=len(names))
    frames_K = np.zeros(len(names), dtype=np.int64)
    if "frames" in kept.column_names:
        frames_K += np.bincount(label_N, weights=kept["frames"].fill_null(0).to_numpy(), minlength=len(names)).astype(
            np.int64
        )
    return from_counts(names, ((i, int(clips_K[i]), int(frames_K[i])) for i in range(len(names))))


def from_counts(names: Sequence[str], counts: Iterable[tuple[int, int, int]]) -> Balance:
    """From label, clips and frames of each class that has any; no frames at all means that none were counted."""
    clips, frames = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for label, clips_of_class, frames_of_class in counts:
        clips[names[label]], frames[names[label]] = clips_of_class, frames_of_class
    return Balance(clips, frames if any(frames.values()) else {})
