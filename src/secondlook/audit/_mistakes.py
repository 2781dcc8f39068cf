"""Which videos each model got wrong: sets, their sizes, and the partition into two categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.audit._align import Aligned
from secondlook.errors import UnknownName

Videos = npt.NDArray[np.bool_]
"""One truth value a video."""


@dataclass(frozen=True)
class Mistakes:
    """The misclassified samples of M models on N videos.

    The seed of this method gives set sizes that no union can have (label-reassessment 8, C1); they fit when read as a
    partition of the union, and so the two categories are defined here. They never overlap, and together they are
    the union.
    """

    names: tuple[str, ...]
    wrong_MN: npt.NDArray[np.bool_]
    """The best class is not the given label."""
    missed_MN: npt.NDArray[np.bool_]
    """The given label is not among the k best."""

    @property
    def union(self) -> Videos:
        """Wrong for at least one model."""
        return np.asarray(self.wrong_MN.any(axis=0))

    @property
    def intersection(self) -> Videos:
        """Wrong for every model."""
        return np.asarray(self.wrong_MN.all(axis=0))

    @property
    def top1_category(self) -> Videos:
        """Wrong for at least one model, and given label among the k best of at least one."""
        return self.union & ~self.topk_category

    @property
    def topk_category(self) -> Videos:
        """Given label missed among the k best by every model."""
        return np.asarray(self.missed_MN.all(axis=0))

    def select(self, how: str) -> Videos:
        """The videos that a named selection keeps.

        Raises:
            UnknownName: if `how` is not one of `SELECT`.
        """
        if how not in SELECT:
            raise UnknownName("selection", how, SELECT)
        return SELECT[how](self)

    def sizes(self) -> dict[str, Any]:
        """How many videos are in each set; JSON-ready."""
        return {
            "videos": self.wrong_MN.shape[1],
            "wrong": dict(zip(self.names, self.wrong_MN.sum(axis=1).tolist(), strict=True)),
            "missed": dict(zip(self.names, self.missed_MN.sum(axis=1).tolist(), strict=True)),
            "union": int(self.union.sum()),
            "intersection": int(self.intersection.sum()),
            "top1_category": int(self.top1_category.sum()),
            "topk_category": int(self.topk_category.sum()),
        }


SELECT: Mapping[str, Callable[[Mistakes], Videos]] = MappingProxyType(
    {
        "union": lambda m: m.union,
        "intersection": lambda m: m.intersection,
        "union-topk": lambda m: np.asarray(m.missed_MN.any(axis=0)),
        "intersection-topk": lambda m: m.topk_category,
        "either-top1-only": lambda m: m.top1_category,
        "both-topk": lambda m: m.topk_category,
    }
)
"""Which misclassified samples become candidates, by name: wrong at top-1, or (`-topk`) missed among the k best, for one
model at least or for every one. `both-topk` is the older name of `intersection-topk`."""


def mistakes(aligned: Aligned) -> Mistakes:
    """Compares each model's k best classes with the given label (label-reassessment 1.3)."""
    given_N1 = aligned.given_N[:, None]
    hits = [ranking.top_NK == given_N1 for ranking in aligned.rankings]
    wrong_MN = np.stack([~hit_NK[:, 0] for hit_NK in hits])
    missed_MN = np.stack([~hit_NK.any(axis=1) for hit_NK in hits])
    return Mistakes(aligned.names, wrong_MN, missed_MN)
