"""N sets of labels as one sorted array of keys: does row i hold class c, for many i and c at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.errors import BadValue

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class LabelSets:
    """One set of class indices for each of N videos. Memory grows with the labels in the sets, not with N x K."""

    count: int
    """N."""
    classes: int
    """K."""
    key: npt.NDArray[np.int64]
    """`row * K + class`, ascending, without repeats."""

    @classmethod
    def of_pairs(cls, row: npt.NDArray[np.int64], label: Labels, count: int, classes: int) -> LabelSets:
        """Sets from (row, class) pairs in any order, repeats allowed.

        Raises:
            BadValue: if a class is not in 0..K-1.
        """
        outside = label[(label < 0) | (label >= classes)]
        if outside.size:
            raise BadValue(int(outside[0]), f"a label of a set must be in 0..{classes - 1}")
        return cls(count, classes, np.unique(row.astype(np.int64) * classes + label))

    @classmethod
    def single(cls, label_N: Labels, classes: int) -> LabelSets:
        """The sets `{label}`."""
        return cls.of_pairs(np.arange(len(label_N)), label_N, len(label_N), classes)

    @classmethod
    def of_lists(cls, lists: pa.Array | pa.ChunkedArray, classes: int) -> LabelSets:
        """The sets of a `list<int32>` column; a null is an empty set."""
        array = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
        size_N = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(array)), size_N)
        return cls.of_pairs(row, array.flatten().to_numpy(zero_copy_only=False), len(array), classes)

    @cached_property
    def pairs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row and class of every label in the sets, by row, then by class."""
        return self.key // self.classes, self.key % self.classes

    @cached_property
    def size_N(self) -> npt.NDArray[np.int64]:
        """How many labels each set holds."""
        return np.bincount(self.pairs[0], minlength=self.count)

    def hold(self, label_NK: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether each set holds each of the classes in its row; shape of `label_NK`, whose first axis is N."""
        row = np.arange(self.count).reshape(-1, *[1] * (label_NK.ndim - 1))
        return self._has(row * self.classes + label_NK)

    def _has(self, key: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if not self.key.size:
            return np.zeros(key.shape, dtype=bool)
        place = np.minimum(np.searchsorted(self.key, key), self.key.size - 1)
        return np.asarray(self.key[place] == key)

    def shared_N(self, other: LabelSets) -> npt.NDArray[np.int64]:
        """How many labels each set shares with the other's set of the same row."""
        return np.bincount(self.pairs[0][other._has(self.key)], minlength=self.count)

    def take(self, rows: npt.NDArray[np.int64]) -> LabelSets:
        """The sets of some rows, in their order; no row twice."""
        new_row_N = np.full(self.count, -1, dtype=np.int64)
        new_row_N[rows] = np.arange(len(rows))
        row, label = self.pairs
        kept = new_row_N[row] >= 0
        return LabelSets.of_pairs(new_row_N[row[kept]], label[kept].astype(np.int32), len(rows), self.classes)

    def replaced(self, rows: npt.NDArray[np.int64], by: LabelSets) -> LabelSets:
        """The same sets, but at `rows` those of `by`, in order."""
        untouched_N = np.ones(self.count, dtype=bool)
        untouched_N[rows] = False
        row, label = self.pairs
        kept = untouched_N[row]
        new_row, new_label = by.pairs
        all_rows = np.concatenate([row[kept], rows[new_row]])
        all_labels = np.concatenate([label[kept], new_label]).astype(np.int32)
        return LabelSets.of_pairs(all_rows, all_labels, self.count, self.classes)
