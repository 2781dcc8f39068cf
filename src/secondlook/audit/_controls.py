"""Controls against selection: videos drawn at random, labels nobody proposed, and a model that proposes nothing.

The source reviews misclassified videos only, and every option comes from the models that are scored: what is found can
only raise their accuracy (label-reassessment 6.3, "Selection bias"). Three controls say by how much it would rise by
chance. A candidates table that has any of them says so in its metadata (`tables.made(table)`); a key that is absent
means that the control was not asked for:

```
made["controls"]          [video_id, ...], ascending: rows that were drawn at random from the videos that were not
                          selected; their column `category` is "control".
made["foils"]             {video_id: [label index, ...], ...}, indices ascending: options that no model proposed and
                          that are not the given label, one entry a row of the table (controls too; an empty list where
                          every class is an option already).
made["sampling"]          {"selected": videos that the signals selected (before --limit),
                           "not_selected": videos that controls were drawn from,
                           "controls": how many were drawn, "random_options": foils asked for a video, "seed": seed}
made["held_out_models"]   [name, ...]: models that were measured and never used, neither to select nor for options.
```

A control stands for `not_selected / controls` videos. Both draws can be made again from the seed alone: controls are
the videos with the lowest hash of (seed, "control", video), foils the classes with the lowest hash of (seed, "foil",
video, class) among those that are not options. So neither depends on the other videos, nor on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.audit._options import lowest_classes, video_hash
from secondlook.errors import BadValue

CONTROL = "control"
"""`category` of a row that was drawn at random."""


@dataclass(frozen=True)
class Controls:
    """What is added to candidates so that a gain by chance can be measured."""

    videos: int = 0
    """Videos drawn at random from those that were not selected."""
    random_options: int = 0
    """Foils of each video."""

    def __post_init__(self) -> None:
        for name, value in (("--controls", self.videos), ("--random-options", self.random_options)):
            if value < 0:
                raise BadValue(value, f"{name} must not be negative", f"Give {name} 0 for none.")


def draw_videos(
    video_id_N: Sequence[str] | npt.NDArray[np.object_], selected_N: npt.NDArray[np.bool_], count: int, seed: int
) -> Any:
    """Rows of `count` videos drawn at random from those that are not selected, ascending; all where fewer are left."""
    pool = np.flatnonzero(~selected_N)
    key = np.array([video_hash(seed, CONTROL, video_id_N[i]) for i in pool.tolist()], dtype=np.uint64)
    return np.sort(pool[np.argsort(key, kind="stable")[:count]])


def draw_foils(
    options: Sequence[Sequence[int]],
    video_id_N: Sequence[str] | npt.NDArray[np.object_],
    classes: int,
    count: int,
    seed: int,
) -> list[list[int]]:
    """`count` classes a video that are not among its options, ascending; all others where fewer are left."""
    video_N = np.array([video_hash(seed, "foil", video) for video in video_id_N], dtype=np.uint64)
    return lowest_classes(video_N, options, classes, count)
