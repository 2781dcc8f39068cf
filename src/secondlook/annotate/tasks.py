"""Candidates become tasks; what an annotator may see of one; who is dealt which; what it will cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace


@dataclass(frozen=True)
class Task:
    """One question: which of these labels hold for this video?"""

    video_id: str
    path: str
    """As in the videos table; may name the class, so it is never shown."""
    given_label: int
    """The label under suspicion; never shown."""
    options: tuple[int, ...]
    """Label indices in the order in which they are shown."""
    task_id: int = 0
    """Number in the store; 0 until it is there. The store numbers tasks in an order that says nothing about them."""
    media: str = ""
    """Name under which the video is shown: a pseudonym, because file names often hold the class."""


@dataclass(frozen=True)
class Estimate:
    """How much is asked of people."""

    videos: int
    answers: int
    """Answers to collect, and then to review: videos x votes."""
    cost: float
    """If every answer is approved and paid; fees of a platform come on top."""


def estimate(videos: int, votes: int = 3, reward: float = 0.03) -> Estimate:
    """Volume and cost of a campaign: `answers = videos * votes`, `cost = answers * reward`.

    The defaults are those of label-reassessment §1.6: three workers a video, 0.03 dollars an approved answer.

    Raises:
        BadValue: if a number is negative, or no vote is asked for.
    """
    if videos < 0 or votes < 1 or reward < 0:
        raise BadValue((videos, votes, reward), "videos and reward are at least 0, votes at least 1")
    return Estimate(videos, videos * votes, videos * votes * reward)


def from_candidates(candidates: pa.Table, labels: LabelSpace) -> list[Task]:
    """Tasks of a candidates table, options in the order in which `audit` shuffled them.

    Raises:
        BadValue: if a video has no options, an option twice, or a label outside the label space.
    """
    made = []
    columns = (candidates[name].to_pylist() for name in ("video_id", "path", "given_label"))
    for video_id, path, given, options in zip(*columns, tables.lists(candidates, "options"), strict=True):
        if not options:
            raise BadValue(video_id, "this candidate has no options to choose from", "Make it again: secondlook audit.")
        if len(set(options)) < len(options):
            raise BadValue(options, f"the options of {video_id!r} hold a label twice", "Keep each label once.")
        for label in (*options, given):
            if not (0 <= label < len(labels) or label == given == tables.UNLABELLED):
                raise BadValue(label, f"is not a label of {labels.name or 'the label space'} (of video {video_id!r})")
        made.append(Task(video_id, path or "", given, tuple(options)))
    return made


def public_view(task: Task, labels: LabelSpace) -> dict[str, Any]:
    """All that an annotator may be sent about a task: its number, its video's pseudonym, its options in shown order.

    Not: the given label, why the video is asked about, how suspicious it is, its id, its file name, its place in the
    table of candidates (label-reassessment §1.4).
    """
    options = [{"label": label, "text": labels.names[label]} for label in task.options]
    return {"task": task.task_id, "video": task.media, "options": options}


def deal(tasks: int, workers: int, votes: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Who answers what: `tasks x votes` worker indices, no worker twice in a row, loads equal to within one.

    Whole blocks of `workers` tasks are dealt by shifting a shuffled row of workers by `votes` different steps (each
    worker gets `votes` of them); what is left is dealt round.

    Raises:
        BadValue: if there are fewer workers than votes.
    """
    if workers < votes:
        raise BadValue(workers, f"{votes} votes a video need at least {votes} workers", "Raise --workers.")
    rows = []
    for start in range(0, tasks, workers):
        size = min(workers, tasks - start)
        shuffled = generator.permutation(workers)
        if size == workers:
            steps = generator.permutation(workers)[:votes]
            rows.append(shuffled[(np.arange(size)[:, None] + steps[None, :]) % workers])
        else:
            rows.append(shuffled[np.arange(size * votes).reshape(size, votes) % workers])
    return np.concatenate(rows) if rows else np.empty((0, votes), np.int64)
