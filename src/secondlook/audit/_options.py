"""The label options of each video: what the models proposed and the given label, in an order that tells nothing.

The order is a function of the seed, the video and the *set* of options, and of nothing else: each option gets a hash of
(seed, video, class) and options stand in the order of their hashes. Rank, model and given label never reach the
shuffle, so the order cannot leak them; and adding a model adds options without reordering the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

_PIECE = 4096
"""Rows whose hashes of all classes are held at a time."""


def choose(
    proposed_NJ: npt.NDArray[np.int32], video_id_N: Iterable[str], seed: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The distinct classes of each row, shuffled.

    Args:
        proposed_NJ: every class proposed for a video, with repeats, in any order: the k best of each model, the given
            label.
        video_id_N: names of the videos.
        seed: of the shuffle.

    Returns:
        `offsets` (N + 1) and `classes`: the options of row i are `classes[offsets[i]:offsets[i + 1]]`.
    """
    class_NJ = np.sort(proposed_NJ, axis=1)
    repeat_NJ = np.zeros(class_NJ.shape, dtype=bool)
    repeat_NJ[:, 1:] = class_NJ[:, 1:] == class_NJ[:, :-1]
    video_N = np.array([_hash(f"{seed}\0{video}") for video in video_id_N], dtype=np.uint64)
    # One bit is dropped so that the key of a repeat, all ones, is greater than that of any option.
    key_NJ = _mix(video_N[:, None] ^ _mix(class_NJ.astype(np.uint64))) >> np.uint64(1)
    key_NJ[repeat_NJ] = np.iinfo(np.uint64).max
    order_NJ = np.argsort(key_NJ, axis=1, kind="stable")
    shuffled_NJ = np.take_along_axis(class_NJ, order_NJ, axis=1)
    count_N = (~repeat_NJ).sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(count_N)]).astype(np.int32)
    return offsets, shuffled_NJ[np.arange(class_NJ.shape[1]) < count_N[:, None]]


def video_hash(seed: int, purpose: str, video: str) -> int:
    """A number of 64 bits for a video: the same wherever and beside whichever other videos it stands."""
    return _hash(f"{seed}\0{purpose}\0{video}")


def lowest_classes(
    video_N: npt.NDArray[np.uint64], but: Sequence[Sequence[int]], classes: int, count: int
) -> list[list[int]]:
    """The `count` classes of each row with the lowest hash of (video, class), ascending, those of `but` left out."""
    found: list[list[int]] = []
    class_K = _mix(np.arange(classes, dtype=np.uint64))
    for start in range(0, len(video_N), _PIECE):
        key_NK = _mix(video_N[start : start + _PIECE, None] ^ class_K) >> np.uint64(1)
        out = but[start : start + _PIECE]
        row_J = np.repeat(np.arange(len(out)), [len(x) for x in out])
        key_NK[row_J, np.concatenate([np.asarray(x, dtype=np.int64) for x in out])] = np.iinfo(np.uint64).max
        first_NJ = np.argsort(key_NK, axis=1, kind="stable")[:, :count].tolist()
        left_N = [classes - len(set(x)) for x in out]
        found += [sorted(row[:left]) for row, left in zip(first_NJ, left_N, strict=True)]
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Splitmix64's output step: every bit of the input moves every bit of the output (Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
