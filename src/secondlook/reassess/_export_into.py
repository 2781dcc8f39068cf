"""Reassessed labels written into the data set's own JSON file, whose entries keep everything they had."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.whole_files import whole

FIELD = "reassessed_labels"
SHOWN = 10


@dataclass(frozen=True)
class Written:
    """What went into the file."""

    entries: int
    reassessed: int
    """Entries that got labels."""
    unknown: tuple[str, ...]
    """Reassessed videos that the data set's file does not name."""

    @property
    def words(self) -> str:
        """In a sentence."""
        text = f"{self.reassessed} of {self.entries} entries got {FIELD}"
        if self.unknown:
            more = f" and {len(self.unknown) - SHOWN} more" if len(self.unknown) > SHOWN else ""
            text += f"; reassessed but not in the file: {', '.join(self.unknown[:SHOWN])}{more}"
        return text


def read_dataset(path: str | Path) -> list[dict[str, Any]]:
    """Entries of a data set's JSON file, as Something-Something has them: a list of objects with an "id".

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not JSON, not a list of objects with an id, or names an id twice.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Give the data set's own file, such as something-something-v2-validation.json.")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadValue(str(path), f"is not a JSON file ({error})") from None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
        raise BadValue(str(path), 'must hold a list of objects with an "id" each')
    ids = [str(e["id"]) for e in entries]
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise BadValue(twice, f"is named twice in {path}", "Keep one entry a video.")
    return entries


def write_into(labels: pa.Table, space: LabelSpace, original: str | Path, path: str | Path) -> Written:
    """Writes the entries of `original`, in their order, with `reassessed_labels` added to those that were reassessed.

    The list holds label names, as the data set writes its own; it is empty where the video is to be left out of
    evaluation. Entries of videos that nobody reassessed stay as they are.

    Raises:
        MissingFile: if `original` does not exist.
        BadValue: if `original` cannot be read, or no entry is a reassessed video.
    """
    entries = read_dataset(original)
    sets: Mapping[str, list[int]] = dict(
        zip(labels["video_id"].to_pylist(), tables.lists(labels, "labels"), strict=True)
    )
    stems = Counter(Path(video_id).stem for video_id in sets)
    by_stem = {Path(v).stem: v for v in sets if stems[Path(v).stem] == 1}
    met: set[str] = set()
    made = []
    for entry in entries:
        name = str(entry["id"])
        video_id = name if name in sets else by_stem.get(name)
        if video_id is None:
            made.append(entry)
            continue
        met.add(video_id)
        made.append(entry | {FIELD: [space.names[label] for label in sets[video_id]]})
    if not met and len(sets):
        raise BadValue(min(sets), f"and all other reassessed videos are not in {original}", "Give its data set's file.")
    with whole(path) as part:
        part.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return Written(len(made), len(met), tuple(sorted(set(sets) - met)))
