"""How near reassessed sets come to the true ones, where these are known (drawn videos)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from secondlook import tables
from secondlook.errors import BadValue


@dataclass(frozen=True)
class Nearness:
    """Micro-averaged over videos: R the sets in question, T the true ones."""

    precision: float
    """sum |R and T| / sum |R|."""
    recall: float
    """sum |R and T| / sum |T|."""
    f1: float
    """Harmonic mean of the two."""
    exact: float
    """Share of videos with R = T."""


@dataclass(frozen=True)
class Recovered:
    """Given labels and reassessed sets against the truth, over the same videos."""

    videos: int
    given: Nearness
    reassessed: Nearness


def recovered(labels: pa.Table, true_labels: Mapping[str, Collection[int]]) -> Recovered:
    """Compares rows of the labels table with the true sets of the same videos.

    Raises:
        BadValue: if the truth is known of none of the videos.
    """
    rows = zip(
        labels["video_id"].to_pylist(),
        labels["given_label"].to_pylist(),
        tables.lists(labels, "labels"),
        strict=True,
    )
    known = [
        (set(true_labels[v]), {given} - {tables.UNLABELLED}, set(found)) for v, given, found in rows if v in true_labels
    ]
    if not known:
        raise BadValue(labels.num_rows, "the true labels of none of these videos are known", "Use drawn videos.")
    return Recovered(
        len(known),
        _nearness((truth, given) for truth, given, _ in known),
        _nearness((t, found) for t, _, found in known),
    )


def _nearness(pairs: Iterable[tuple[set[int], set[int]]]) -> Nearness:
    listed = list(pairs)
    right = sum(len(truth & found) for truth, found in listed)
    precision = right / max(sum(len(found) for _, found in listed), 1)
    recall = right / max(sum(len(truth) for truth, _ in listed), 1)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Nearness(precision, recall, f1, sum(truth == found for truth, found in listed) / len(listed))
