"""Seeded splits by group: shares of clips, stratified by label, and no group in two splits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue

NAMES = ("train", "val", "test")


def parse_shares(text: str) -> tuple[float, float, float]:
    """Shares of train, val and test that sum to 1, from "70/15/15" (or "0.7/0.15/0.15").

    Raises:
        BadValue: if these are not three numbers of at least 0 that sum to 100 or 1, or the first is 0.
    """
    cure = "Give train/val/test, such as 70/15/15 or 80/0/20."
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        raise BadValue(text, "splits must be three numbers with / between them", cure) from None
    if len(numbers) != 3 or not all(math.isfinite(n) and n >= 0 for n in numbers) or numbers[0] == 0:
        raise BadValue(text, "splits must be three numbers of at least 0, the first above 0", cure)
    total = sum(numbers)
    if not (math.isclose(total, 1, rel_tol=1e-6) or math.isclose(total, 100, rel_tol=1e-6)):
        raise BadValue(text, f"splits must sum to 100 (or 1), these sum to {total:g}", cure)
    return numbers[0] / total, numbers[1] / total, numbers[2] / total


def group_key(seed: int, group: str) -> int:
    """A number in [0, 2**64) that depends on nothing but seed and group; groups are dealt out in its order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=8).digest(), "big")


class Assignment:
    """Which split each group has got; 9 bytes a group."""

    def __init__(self, keys_G: npt.NDArray[np.uint64], split_G: npt.NDArray[np.int8]) -> None:
        order = np.argsort(keys_G)
        self._keys_G, self._split_G = keys_G[order], split_G[order]

    def __len__(self) -> int:
        return len(self._keys_G)

    def split_of(self, key: int) -> int | None:
        """Number of the split of a group by its key; None for a group that was not dealt out."""
        at = int(np.searchsorted(self._keys_G, np.uint64(key)))
        if at == len(self._keys_G) or int(self._keys_G[at]) != key:
            return None
        return int(self._split_G[at])


def assign(counts: Iterable[tuple[int, int, int]], shares: Iterable[float], seed: int) -> Assignment:
    """Deals groups out to splits so that each split gets its share of the clips of every label, as far as groups allow.

    Groups whose clips all have one label are put in the order of their keys, label by label, and cut where the clips so
    far reach the shares (systematic sampling: the first cut is shifted by a seeded part of a group, so that many small
    classes do not all round the same way). A group's place depends on its key alone, so clips that are added later move
    only the groups at a cut. Groups that mix labels (a person, a scene) are dealt out after these, large ones first,
    each to a split with room for at least half of it, and among these to the one in which the shares of its labels end
    up closest to what was asked (least rise of chi-square; a greedy rule, as StratifiedGroupKFold's); there, added
    clips may move more.

    Args:
        counts: key of a group (`group_key`), label, number of clips; one entry for each label a group has.
        shares: share of each split; they sum to 1.
        seed: as given to `group_key`.
    """
    table_N3 = np.fromiter(counts, dtype=[("key", "u8"), ("label", "i4"), ("clips", "i4")])
    table_N3 = table_N3[np.lexsort((table_N3["label"], table_N3["key"]))]
    keys_N, labels_N, clips_N = table_N3["key"], table_N3["label"], table_N3["clips"].astype(np.int64)
    keys_G, first_G, size_G = np.unique(keys_N, return_index=True, return_counts=True)
    split_G = np.zeros(len(keys_G), np.int8)
    shares_S = np.asarray(list(shares), np.float64)
    cuts_S = np.cumsum(shares_S)[:-1]

    pure_G = np.flatnonzero(size_G == 1)
    label_of = labels_N[first_G[pure_G]]
    for label in np.unique(label_of):
        members = pure_G[label_of == label]  # in the order of their keys, as np.unique sorts
        split_G[members] = _cut(clips_N[first_G[members]], cuts_S, group_key(seed, f"start of label {label}") / 2**64)

    mixed_G = np.flatnonzero(size_G > 1)
    if len(mixed_G):
        _deal(mixed_G, keys_G, first_G, size_G, labels_N, clips_N, split_G, pure_G, shares_S)
    return Assignment(keys_G, split_G)


def _cut(clips_G: npt.NDArray[np.int64], cuts_S: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.int64]:
    before_G = np.cumsum(clips_G) - clips_G
    place_G = (before_G + start * clips_G) / clips_G.sum()
    split_G: npt.NDArray[np.int64] = np.searchsorted(cuts_S, place_G, side="right")
    return split_G


def _deal(
    mixed_G: npt.NDArray[np.int64],
    keys_G: npt.NDArray[np.uint64],
    first_G: npt.NDArray[np.int64],
    size_G: npt.NDArray[np.int64],
    labels_N: npt.NDArray[np.int32],
    clips_N: npt.NDArray[np.int64],
    split_G: npt.NDArray[np.int8],
    pure_G: npt.NDArray[np.int64],
    shares_S: npt.NDArray[np.float64],
) -> None:
    """The greedy part of `assign`: fills `split_G` at `mixed_G`."""
    total_L = np.bincount(labels_N, weights=clips_N)
    got_SL = np.zeros((len(shares_S), len(total_L)))
    np.add.at(got_SL, (split_G[pure_G], labels_N[first_G[pure_G]]), clips_N[first_G[pure_G]])
    asked_S = np.maximum(shares_S, 1e-9)  # a share of 0 never has room while clips are left
    clips_of_group = np.add.reduceat(clips_N, first_G)[mixed_G]
    for group in mixed_G[np.lexsort((keys_G[mixed_G], -clips_of_group))]:
        at = slice(first_G[group], first_G[group] + size_G[group])
        labels, clips = labels_N[at], clips_N[at]
        # Rise of sum over labels of (share got - share asked)^2 / share asked, when the group goes to split s.
        off_SL = got_SL[:, labels] / total_L[labels] - asked_S[:, None]
        added_L = clips / total_L[labels]
        cost_S = ((off_SL + added_L) ** 2 - off_SL**2).sum(axis=1) / asked_S
        room_S = shares_S * total_L.sum() - got_SL.sum(axis=1)
        cost_S[room_S < min(clips.sum() / 2, room_S.max())] = np.inf
        split_G[group] = split = int(np.argmin(cost_S))
        got_SL[split, labels] += clips
