"""Videos drawn by code, with known true label sets, action times and masks: `secondlook draw ROOT` makes them.

33 caption templates in 13 coarse groups, in the manner of Something-Something, played by a drawn hand on a table: a
testbed for labels (which labels truly hold is known) and for explanations (where and when it happens is known).

* `REVERSAL_PAIRS` differ only in the order of time, `SPEED_PAIRS` only in speed, `APPEARANCE_PAIRS` only in what is
  seen. `PARENTS` hold where their children do. Both labels of `VIEWPOINT_PAIRS` and of `FORCE_PAIRS` hold where the
  viewpoint, or a force near the boundary, does not tell them apart.
* The rules by which a label holds are in `_drawn_truth.py`; they look at what was drawn, never at the template alone.
* The given label is one that holds (mostly that of the template, sometimes another, such as its parent), except for a
  stated share of plainly wrong ones.
* `DrawnSettings.cue` plants a mark in a corner of the clips given one label: a cheat that explanations should find.
* Within a class, how long the motion takes varies widely, but for the speed pairs.

On disk: `drawn.json` (settings, seed, label space), `videos/<video_id>.mp4`, `truth/<video_id>.npz` (`masks_THW`: 0
background, 1 object, 2 second object, 3 hand, 4 planted cue), `clips.jsonl` (one line a clip). Clips come in scenes of
four that share background, hand and things: the groups of the videos table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.datasets._drawn_clip import DrawnSettings
from secondlook.datasets._drawn_labels import (
    APPEARANCE_PAIRS,
    FORCE_PAIRS,
    LABELS,
    PARENTS,
    REVERSAL_PAIRS,
    SPEED_PAIRS,
    VIEWPOINT_PAIRS,
)
from secondlook.datasets._drawn_write import ABOUT, CLIPS, draw, summary
from secondlook.datasets._listing import Listing, row
from secondlook.datasets._paths import dataset_root, tame
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.video.listed_path import leaves_root

__all__ = [
    "APPEARANCE_PAIRS",
    "FORCE_PAIRS",
    "LABELS",
    "PARENTS",
    "REVERSAL_PAIRS",
    "SPEED_PAIRS",
    "VIEWPOINT_PAIRS",
    "DrawnSettings",
    "draw",
    "read",
    "summary",
    "truth",
]


def read(root: str | Path, split: str = "") -> Listing:
    """Lists the clips of a drawn folder, with true labels, action times and masks.

    Args:
        root: folder that `secondlook draw` wrote.
        split: must be empty; splits are dealt out by scene.

    Raises:
        MissingFile: if nothing was drawn there.
        BadValue: if drawing was interrupted, a line is malformed, or a split is asked for.
        UnknownName: if a line names a label that is not in the folder's own label space.
    """
    root = dataset_root(root)
    if split:
        raise BadValue(split, "drawn data has no splits of its own", "Leave --split out.")
    about, clips = root / ABOUT, root / CLIPS
    if not about.is_file():
        raise MissingFile(about, f"Draw it with `secondlook draw {root}`.")
    facts = json.loads(about.read_text(encoding="utf-8"))
    labels, settings = LabelSpace.from_dict(facts["label_space"]), facts["settings"]
    there = 0
    if clips.is_file():
        with clips.open(encoding="utf-8") as file:
            there = sum(1 for _ in file)
    if there != settings["clips"]:
        again = f"secondlook draw {root} --clips {settings['clips']}"
        raise BadValue(f"{there} of {settings['clips']} clips", "drawing was interrupted", f"Go on with `{again}`.")
    notes = [f"About {settings['wrong_labels']:.0%} of the given labels are wrong on purpose."]
    return Listing(labels, _rows(clips, labels), root, (about, clips), notes)


def truth(root: str | Path, video_id: str) -> npt.NDArray[np.uint8]:
    """The masks of a drawn clip, T x H x W: 0 background, 1 object, 2 second object, 3 hand, 4 planted cue.

    Raises:
        BadValue: if the id leaves the folder.
        MissingFile: if there are none.
    """
    if leaves_root(video_id):
        raise BadValue(video_id, "must be the id of a drawn clip, such as 000012")
    path = Path(root) / "truth" / f"{video_id}.npz"
    if not path.is_file():
        raise MissingFile(path, "Draw it with `secondlook draw`.")
    with np.load(path, allow_pickle=False) as data:
        masks_THW: npt.NDArray[np.uint8] = data["masks_THW"]
    return masks_THW


def _rows(clips: Path, labels: LabelSpace) -> Iterator[dict[str, Any]]:
    with clips.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                clip = json.loads(line)
                video_id, given, true = tame(str(clip["video_id"])), str(clip["label"]), list(clip["true_labels"])
                group, times = str(clip["group"]), (float(clip["action_start_s"]), float(clip["action_end_s"]))
            except (ValueError, KeyError, TypeError) as error:
                raise BadValue(f"{clips.name}, line {number}", f"is not a drawn clip ({error!r})") from None
            yield row(
                video_id,
                f"videos/{video_id}.mp4",
                labels.index_of(given),
                group=group,
                true_labels=sorted(labels.index_of(str(name)) for name in true),
                action_start_s=times[0],
                action_end_s=times[1],
                truth_path=f"truth/{video_id}.npz",
            )
