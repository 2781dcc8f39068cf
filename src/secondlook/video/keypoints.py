"""Key points of a video's people from files: OpenPose's JSON a frame, or one JSON or Parquet file a video."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from secondlook.errors import BadValue
from secondlook.video.skeleton import People, Skeleton, with_joints

COLUMNS = ("frame", "person", "joint", "x", "y", "confidence")
"""Of a Parquet file: one row a joint."""
_MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class Keypoints:
    """The people of every frame."""

    skeleton: Skeleton
    frames: tuple[People, ...]
    """Index t: the people of frame t, in pixels of the video as shown."""


def find(folder: Path, video_id: str, listed: str) -> Path | None:
    """Where key points of a video lie: a folder, `.json` or `.parquet` named as its id or its path; None if nowhere.

    Tried under `folder`: the id, the listed path, and that without its suffix.
    """
    path = PurePosixPath(listed)
    for name in dict.fromkeys((video_id, listed, str(path.with_suffix("")))):
        if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
            continue
        for candidate in (folder / f"{name}.json", folder / f"{name}.parquet", folder / name):
            if candidate.is_file() if candidate.suffix in (".json", ".parquet") else candidate.is_dir():
                return candidate
    return None


def files(source: Path) -> list[Path]:
    """The files that key points are read from, in order of their frames."""
    if not source.is_dir():
        return [source]
    found = [p for p in source.iterdir() if p.suffix == ".json" and p.name[0] != "."]
    return sorted(found, key=lambda p: ([int(n) for n in re.findall(r"\d+", p.name)], p.name))


def read(source: str | Path) -> Keypoints:
    """The key points of one video.

    * a folder of JSON files, one a frame, by OpenPose: `{"people": [{"pose_keypoints_2d": [x, y, c, ...]}, ...]}`
    * a JSON list, one entry a frame: such a dictionary, or a list of people; a person is a flat list of x, y, c, or a
      dictionary with `keypoints` or `pose_keypoints_2d`
    * a JSON list of COCO results: `{"image_id": 0, "keypoints": [x, y, c, ...]}`; frames are the numbers of `image_id`
    * a Parquet file with `COLUMNS`, one row a joint

    Which skeleton it is, the number of joints says: 25 (OpenPose), or 17 (COCO); where nobody is found, 25.

    Raises:
        BadValue: if it is none of these.
    """
    source = Path(source)
    try:
        if source.suffix == ".parquet":
            listed = _of_table(source)
        elif source.is_dir():
            listed = [_people(json.loads(path.read_text(encoding="utf-8"))) for path in files(source)]
        else:
            listed = _of_json(json.loads(source.read_text(encoding="utf-8")))
        counts = {len(person) for people in listed for person in people}
        if len(counts) > 1:
            raise BadValue(str(source), f"its people have different numbers of joints: {sorted(counts)}")
        skeleton = with_joints(counts.pop() if counts else 25)
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadValue):
            raise
        raise BadValue(str(source), f"holds no key points ({type(error).__name__}: {error})") from None
    joints = len(skeleton.joints)
    frames = tuple(np.array(people, np.float32).reshape(-1, joints, 3) for people in listed)
    return Keypoints(skeleton, frames)


def _of_json(data: Any) -> list[list[Any]]:
    if isinstance(data, Mapping):
        data = data["frames"]
    if data and all(isinstance(entry, Mapping) and "image_id" in entry for entry in data):
        numbers = [int(re.findall(r"\d+", str(entry["image_id"]))[-1]) for entry in data]
        frames: list[list[Any]] = [[] for _ in range(_count(numbers))]
        for number, entry in zip(numbers, data, strict=True):
            frames[number].append(_joints(entry))
        return frames
    return [_people(frame) for frame in data]


def _count(numbers: Sequence[int]) -> int:
    """How many frames there are, if these are their numbers."""
    if min(numbers) < 0 or max(numbers) > _MOST_FRAMES:
        raise ValueError(f"frames are numbered from 0, not {min(numbers)} to {max(numbers)}")
    return max(numbers) + 1


def _people(frame: Any) -> list[Any]:
    people: Sequence[Any] = frame["people"] if isinstance(frame, Mapping) else frame
    return [_joints(person) for person in people]


def _joints(person: Any) -> list[Any]:
    """A person as J triples."""
    if isinstance(person, Mapping):
        person = person["pose_keypoints_2d"] if "pose_keypoints_2d" in person else person["keypoints"]
    flat = np.asarray(person, np.float32).reshape(-1)
    if not len(flat) or len(flat) % 3:
        raise ValueError(f"a person has {len(flat)} numbers, which is no multiple of 3")
    return flat.reshape(-1, 3).tolist()


def _of_table(path: Path) -> list[list[Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(COLUMNS), partitioning=None)
    if not len(table):
        return []
    frame, person, joint = (table[name].to_numpy().astype(np.int64) for name in COLUMNS[:3])
    joints = 25 if joint.max() > 16 else 17
    values = np.stack([table[name].to_numpy().astype(np.float32) for name in COLUMNS[3:]], -1)
    frames: list[dict[int, Any]] = [{} for _ in range(_count(frame.tolist()))]
    for t, p, j, value in zip(frame.tolist(), person.tolist(), joint.tolist(), values, strict=True):
        frames[t].setdefault(p, np.zeros((joints, 3), np.float32))[j] = value
    return [[people[p].tolist() for p in sorted(people)] for people in frames]
