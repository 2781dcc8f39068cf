"""Listing: what every reader of this room gives, and how a row of it is made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondlook.labels import LabelSpace

MIRROR_WORDS = frozenset({"left", "right", "up", "down", "clockwise", "counterclockwise", "anticlockwise"})
"""Words in a class name that say a direction. Such a dataset is never mirrored unless the user says otherwise."""


@dataclass(frozen=True)
class Listing:
    """The videos of a dataset, before anything is split or checked: what `read(root, split)` returns.

    A reader does three things: it finds the label space, it streams one dictionary a video (`row` makes one), and it
    says which folder the paths are relative to. Sizes, checks, seeded splits and exclusions are added by `_index.py`
    for every reader alike, so a reader never opens a video.
    """

    labels: LabelSpace
    rows: Iterable[dict[str, Any]]
    """Columns of `tables.VIDEOS`, read once and in a fixed order; a generator is fine and keeps memory flat."""
    root: Path
    """Folder that every `path` is relative to."""
    annotations: tuple[Path, ...] = ()
    """Files of the publisher that were read; their hashes go into the table."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the user; a reader may add to them while its rows are read."""


def row(
    video_id: str,
    path: str,
    label: int,
    split: str = "",
    group: str = "",
    status: str = "unchecked",
    reason: str = "",
    **more: Any,
) -> dict[str, Any]:
    """One row of the videos table; a video without a group is a group of its own.

    Args:
        video_id: unique name, without the file's suffix, so that a re-encoded copy keeps its name.
        path: relative to the listing's root, with forward slashes.
        label: index in the label space, or `tables.UNLABELLED`.
        split: train, val, test, or empty where the publisher gives none.
        group: source video, person or scene.
        status: one of `tables.STATUSES`.
        reason: why, in words.
        **more: optional columns of `tables.VIDEOS`.
    """
    return {
        "video_id": video_id,
        "path": path,
        "label": label,
        "split": split,
        "group": group or video_id,
        "status": status,
        "reason": reason,
        **more,
    }


def directional(names: Iterable[str]) -> bool:
    """Whether a class name holds a word of `MIRROR_WORDS`, so that a mirrored clip may have another class.

    Words are split at anything that is not a letter and at changes of case: `MoveLeft` and `move_left` count, `PushUps`
    and `upright` do not. Cautious on purpose ("push up" counts); `secondlook index --not-directional` overrides.
    """
    words = (w.casefold() for name in names for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))
    return any(word in MIRROR_WORDS for word in words)
