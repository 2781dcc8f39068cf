"""What the store holds, as CSV: every answer, or the decisions about them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondlook.annotate.answers import count
from secondlook.annotate.rows import SEPARATOR
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import public_view
from secondlook.tables import UNLABELLED
from secondlook.whole_files import whole

ANSWER_COLUMNS = (
    "task", "video_id", "worker", "round", "label", "rating", "verdict", "no_match", "review", "unsuitable",
)  # fmt: skip
QUESTION_COLUMNS = ("task", "video", "options", "video_id", "path")
DECISION_COLUMNS = ("task", "video_id", "worker", "round", "decision", "because")


@dataclass(frozen=True)
class Decisions:
    """What a file of decisions holds."""

    approved: int
    rejected: int
    rejected_as_blank: int
    """Of the rejected, those that nobody judged: a blank answer is rejected by rule."""
    undecided: int
    """Answers without a verdict; they are not in the file."""


def write_answers(store: Store, path: str | Path) -> int:
    """Writes a row for each chosen label, one without a label for an answer that chose none; gives how many rows.

    Workers stand under their pseudonyms.
    """
    table = store.answers()
    names = {UNLABELLED: "", **dict(enumerate(store.labels.names))}
    table = table.filter(table["worker"].is_valid())
    flags = [[int(x) for x in table[name].to_pylist()] for name in ("no_match", "review", "unsuitable")]
    labels = [names[label] for label in table["label"].to_pylist()]
    texts = {n: table[n].to_pylist() for n in ("task_id", "task", "worker", "round", "rating", "verdict")}
    columns = (
        *(texts[n] for n in ("task_id", "task", "worker", "round")), labels, texts["rating"], texts["verdict"], *flags,
    )  # fmt: skip
    write_rows(path, ANSWER_COLUMNS, zip(*columns, strict=True))
    return len(labels)


def write_questions(store: Store, path: str | Path) -> int:
    """Writes a row a task, for whoever sets the questions up in another tool; gives how many.

    `task`, `video` and `options` (names in shown order, separated by `|`) are what annotators may see; `video_id` and
    `path` are for the one who runs the campaign, since file names often hold the class.
    """
    rows = []
    for task in store.tasks():
        view = public_view(task, store.labels)
        options = SEPARATOR.join(option["text"] for option in view["options"])
        rows.append((view["task"], view["video"], options, task.video_id, task.path))
    write_rows(path, QUESTION_COLUMNS, rows)
    return len(rows)


def write_decisions(store: Store, path: str | Path) -> Decisions:
    """Writes one row a decided answer: its last verdict; a blank answer that nobody judged is rejected by rule.

    The same store gives the same file, byte for byte, however often it is written (label-reassessment §1.6, §1.7).
    """
    task_ids = store.task_ids()
    votes = count(store.answers())
    by_rule_A = votes.blank_A & ~votes.judged_A
    decided_A = votes.judged_A | by_rule_A
    rows = sorted(
        (
            task_ids[str(votes.tasks_N[votes.task_A[a]])],
            str(votes.tasks_N[votes.task_A[a]]),
            str(votes.workers_W[votes.worker_A[a]]),
            int(votes.round_A[a]),
            "approved" if votes.approved_A[a] else "rejected",
            "blank" if by_rule_A[a] else "reviewer",
        )
        for a in np.flatnonzero(decided_A)
    )
    write_rows(path, DECISION_COLUMNS, rows)
    return Decisions(
        approved=int(votes.approved_A.sum()),
        rejected=int(votes.rejected_A.sum() + by_rule_A.sum()),
        rejected_as_blank=int(by_rule_A.sum()),
        undecided=int((~decided_A).sum()),
    )


def write_rows(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes the whole file or none of it."""
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
