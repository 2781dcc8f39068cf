"""What formats of other annotation tools share: answers one by one, addresses of clips, files written whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from secondlook.annotate.answers import count
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.errors import BadValue, MissingFile
from secondlook.whole_files import whole

MOST_BYTES = 500_000_000
"""A larger JSON or XML file is refused: it is read into memory whole."""
FLAGS = ("no_match", "review", "unsuitable")
FLAG_WORDS = ("None of these fits", "Mark for review", "The clip should not be shown")


@dataclass(frozen=True)
class Given:
    """One person's answer to one task."""

    worker: str
    """By pseudonym."""
    round: int
    yes: tuple[str, ...]
    """Names of labels."""
    maybe: tuple[str, ...]
    flags: tuple[str, ...]
    """Those of `FLAGS` that are set."""


def answers(store: Store) -> dict[int, list[Given]]:
    """Every answer of the campaign by task number, in the order of worker and round."""
    votes, numbers = count(store.answers()), store.task_ids()
    names = store.labels.names
    chosen: list[dict[bool, list[str]]] = [{False: [], True: []} for _ in votes.task_A]
    for answer, label, maybe in zip(
        votes.answer_C.tolist(), votes.label_C.tolist(), votes.maybe_C.tolist(), strict=True
    ):
        chosen[answer][bool(maybe)].append(names[label])
    set_A = [getattr(votes, f"{flag}_A") for flag in FLAGS]
    found: dict[int, list[Given]] = {}
    for a in np.arange(len(votes.task_A)).tolist():
        given = Given(
            str(votes.workers_W[votes.worker_A[a]]),
            int(votes.round_A[a]),
            tuple(chosen[a][False]),
            tuple(chosen[a][True]),
            tuple(flag for flag, flags_A in zip(FLAGS, set_A, strict=True) if flags_A[a]),
        )
        found.setdefault(numbers[str(votes.tasks_N[votes.task_A[a]])], []).append(given)
    return found


def address(media_url: str, task: Task) -> str:
    """Where a clip is found: `<media_url>/<pseudonym>.mp4`."""
    return f"{media_url.rstrip('/')}/{quote(task.media)}.mp4"


def write_json(path: str | Path, content: Any) -> None:
    """Writes the whole file or none of it."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_text(path: Path, kind: str) -> str:
    """The text of a file that a person gives.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is too large to be read whole, or not UTF-8.
    """
    if not path.is_file():
        raise MissingFile(path, f"Give {kind}.")
    if path.stat().st_size > MOST_BYTES:
        raise BadValue(str(path), f"is larger than {MOST_BYTES // 1_000_000} MB", "Export it in several parts.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadValue(str(path), f"is not UTF-8 text ({error.reason})", f"Give {kind}.") from None


def read_json(path: Path, kind: str) -> Any:
    """The content of a JSON file that a person gives; errors as `read_text`, and BadValue if it is not JSON."""
    try:
        return json.loads(read_text(path, kind))
    except json.JSONDecodeError as error:
        raise BadValue(str(path), f"is not JSON ({error})", f"Give {kind}.") from None


def objects(values: Any, path: Path, kind: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSON list, numbered from 1.

    Raises:
        BadValue: if it is no list, or holds something else, naming where.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise BadValue(str(path), "is not a list", f"Give {kind}.")
    for number, value in enumerate(values, start=1):
        if not isinstance(value, Mapping):
            raise BadValue(str(path), f"entry {number} is not an object", f"Give {kind}.")
        yield number, value
