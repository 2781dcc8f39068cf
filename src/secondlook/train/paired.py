"""One video read twice, for a student and for its teacher: the same frames, crop and flip, each in its own recipe.

T frames of the student's clip, T' of the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch.utils.data import Dataset

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.predict.loader import COLUMNS, ClipDataset, Item, Key, cache_that_fits
from secondlook.train.settings import TrainSettings
from secondlook.video.augment import Augment
from secondlook.video.clip import Clip
from secondlook.video.sample import Sampling
from secondlook.video.transform import working_size

_NEAR = 0.02
"""Centre crops whose share of the frame differs by less show the same."""


class PairedClips(Dataset[Item]):
    """The student's clips, each with the teacher's twin of it (`Item.twin_NCTHW`).

    Frame `j` of the teacher's T' is the one that lies at `j T / T'` of the student's T (between two frames of its clip:
    the earlier of the frames there). Both make their crop, flip and colour from the same draws, which depend on
    `(seed, epoch, row)` alone. A row of which either clip cannot be read gives no clip and says why.

    Args:
        student: the training clips.
        teacher: of the same rows in the same order, with the same seed; see `teacher_clips`.
        same_videos: both read the same files.
    """

    def __init__(self, student: ClipDataset, teacher: ClipDataset, *, same_videos: bool) -> None:
        self.student, self.teacher, self.same_videos = student, teacher, same_videos
        frames, wanted = student.spec.frames, teacher.spec.frames
        self._place_T = np.arange(wanted) * frames / wanted

    def __len__(self) -> int:
        return len(self.student)

    def __getitem__(self, key: Key) -> Item:
        clip = self.student.clip_of(key)
        item = self.student.item_of(key, clip)
        if item.x_NCTHW is None:
            return item
        twin = self.teacher.item_of(key, self._twin(key, clip))
        if twin.x_NCTHW is None:
            why = twin.facts._replace(reason=f"the teacher's clip: {twin.facts.reason}")
            return Item(why, item.label, None)
        return item._replace(twin_NCTHW=twin.x_NCTHW)

    def _twin(self, key: Key, clip: Clip) -> Clip:
        student, teacher = self.student.spec, self.teacher.spec
        if self.same_videos and teacher.frames <= student.frames:
            if working_size(student) != working_size(teacher):
                clip = self.teacher.frames_of(key, Sampling.from_spec(student))
            return clip.pick(self._place_T.astype(np.int64)) if clip.usable else clip
        whole = self.teacher.frames_of(key, None)
        if not whole.usable:
            return whole
        return whole.pick(np.minimum(between(clip.frame_index_T, self._place_T), len(whole.frames_THWC) - 1))

    def close(self) -> None:
        """Ends the decoding children of this process."""
        self.student.close()
        self.teacher.close()


def between(index_T: NDArray[np.int64], place_T: NDArray[np.float64]) -> NDArray[np.int64]:
    """Frames of the video at places of a clip: between two of its frames on a straight line, rounded down.

    After the last frame the line goes on as before it.
    """
    step = int(index_T[-1] - index_T[-2]) if len(index_T) > 1 else 1
    longer = np.append(index_T, index_T[-1] + max(step, 0))
    found_T: NDArray[np.int64] = np.floor(np.interp(place_T, np.arange(len(longer)), longer)).astype(np.int64)
    return found_T


def teacher_clips(
    rows: pa.Table,
    student: ClipSpec,
    spec: ClipSpec,
    augment: Augment,
    settings: TrainSettings,
    *,
    root: Path,
    other: pa.Table | None,
) -> tuple[ClipDataset, str]:
    """The teacher's reading of the rows that a student is trained on.

    Args:
        rows: the student's rows.
        student: its input recipe.
        spec: the teacher's.
        augment: of the student; the teacher's clips get the same, but neither jitter nor perturbation where
            they are other files.
        settings: of the training.
        root: folder that the rows' paths are relative to.
        other: a videos table of the teacher's own (flow drawn as pictures, say), whose rows are found by `video_id`;
            None: it reads the student's files. A video that is not in it becomes a row with status `missing`.

    Returns:
        The dataset, and a sentence on its frame cache, or nothing.

    Raises:
        BadValue: if the two recipes do not show the same part of a video.
    """
    check_same_view(student, spec, augment)
    if other is not None:
        rows, augment = _rows_of(other, rows), replace(augment, jitter=0.0, perturb=0.0)
        root = Path(tables.made(other).get("root") or root)
    cache, why = cache_that_fits(settings.cache, rows, spec, settings.timeout_s, root)
    dataset = ClipDataset(
        rows,
        spec,
        train=True,
        seed=settings.seed,
        augment=augment,
        cache=cache,
        timeout_s=settings.timeout_s,
        root=root,
    )
    return dataset, f"for the teacher, {why}" if why else ""


def _rows_of(other: pa.Table, rows: pa.Table) -> pa.Table:
    """Rows of another table for these videos, in their order, with their labels."""
    at = {video_id: row for row, video_id in enumerate(other["video_id"].to_pylist())}
    names = [name for name in (*COLUMNS, "frames") if name in other.column_names]
    there = other.select(names)
    found: list[Mapping[str, Any]] = []
    for video_id, label, split in zip(*(rows[n].to_pylist() for n in ("video_id", "label", "split")), strict=True):
        row: dict[str, Any] = dict.fromkeys(names) | {"path": "", "status": "missing", "reason": "not in its table"}
        if video_id in at:
            row = there.slice(at[video_id], 1).to_pylist()[0]
        found.append(row | {"video_id": video_id, "label": label, "split": split})
    return pa.Table.from_pylist(found, schema=there.schema.remove_metadata())


def check_same_view(student: ClipSpec, teacher: ClipSpec, augment: Augment) -> None:
    """Refuses two recipes of which one shows another stretch of time, or another part of the frame.

    Raises:
        BadValue: naming what differs.
    """
    if (student.sampling, span(student)) != (teacher.sampling, span(teacher)):
        raise BadValue(
            _recipe(student),
            f"the teacher's clips, {_recipe(teacher)}, cover another time",
            "Make frames times stride the same: --frames, --stride, --sampling.",
        )
    cure = "Give the student the teacher's --size and --fit, or --crop multi_scale."
    rule = "the teacher would see another part of the frame"
    shape = f"{student.height}x{student.width} of {student.short_side}, {student.fit}"
    if student.fit != teacher.fit:
        raise BadValue(shape, f"{rule} ({teacher.fit})", cure)
    if student.fit == "squash":
        return
    forms = [s.frame_size and s.frame_size[0] / s.frame_size[1] for s in (student, teacher)]
    if forms[0] != forms[1]:
        raise BadValue(shape, f"{rule}: frames are brought to another shape ({teacher.frame_size})",
                       "Give the student the teacher's --frame-size.")  # fmt: skip
    sizes = [(s.short_side, s.height, s.width) for s in (student, teacher)]
    if augment.crop == "random" and sizes[0] != sizes[1]:
        raise BadValue(shape, f"{rule}: random crops of two sizes lie apart", cure)
    shares = [(s.width / s.height,) if augment.crop == "multi_scale" else (s.width / s.height, s.short_side / s.height)
              for s in (student, teacher)]  # fmt: skip
    if any(abs(one / other - 1) > _NEAR for one, other in zip(*shares, strict=True)):
        other = f"{teacher.height}x{teacher.width} of {teacher.short_side}"
        raise BadValue(shape, f"{rule} ({other})", cure)


def span(spec: ClipSpec) -> int:
    """Frames of the video that a dense clip covers, the gap after its last one included; 0: the whole video."""
    return spec.frames * spec.stride if spec.sampling != "segments" else 0


def _recipe(spec: ClipSpec) -> str:
    if spec.sampling == "segments":
        return f"{spec.frames} segments"
    return f"{spec.frames}x{spec.stride} frames" + ", normal_start" * (spec.sampling == "normal_start")
