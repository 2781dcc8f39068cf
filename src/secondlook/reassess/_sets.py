"""Counting votes a label and building label sets, as index arrays over all videos at once.

Legend of shapes: N tasks, A answers, P pairs of a task and a label that at least one counted answer chose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook import tables
from secondlook.annotate import workers
from secondlook.annotate.answers import Bools, Ints, Votes


@dataclass(frozen=True)
class Reassessed:
    """Label sets, and who they come from."""

    labels: pa.Table
    """Rows of the labels table, ordered by video_id."""
    workers: pa.Table
    """`annotate.workers.record`: one row a worker."""
    failed: tuple[str, ...]
    """video_ids to post again."""
    settings: Mapping[str, Any]
    """The rule and its options."""
    probabilities: pa.Table | None = None
    """Of rules that give them, one row a label that was asked about: `video_id`, `label`, `probability` that it holds,
    `votes` (answers that chose it), `asked` (answers that could have)."""

    @property
    def by_rule(self) -> dict[str, int]:
        """Videos by rule id, most frequent first."""
        return dict(Counter(self.labels["rule"].to_pylist()).most_common())


@dataclass(frozen=True)
class Tally:
    """Votes of the counted answers, by task and label; pairs in ascending order."""

    counted_N: Ints
    """Counted answers of each task."""
    task_P: Ints
    label_P: Ints
    votes_P: Ints

    @property
    def share_all_P(self) -> Bools:
        """Pairs that every counted answer of the task chose."""
        return np.asarray(self.votes_P == self.counted_N[self.task_P], dtype=np.bool_)

    @property
    def majority_P(self) -> Bools:
        """Pairs that more than half of the counted answers chose."""
        return np.asarray(2 * self.votes_P > self.counted_N[self.task_P], dtype=np.bool_)

    def any_N(self, of_P: Bools) -> Bools:
        """Tasks for which the statement holds of at least one pair."""
        found = np.zeros(len(self.counted_N), np.bool_)
        found[self.task_P[of_P]] = True
        return found

    def votes_for(self, label_N: Ints) -> Ints:
        """Votes for one label a task."""
        mine_P = self.label_P == label_N[self.task_P]
        votes_N = np.zeros(len(self.counted_N), np.int64)
        votes_N[self.task_P[mine_P]] = self.votes_P[mine_P]
        return votes_N


def tally(votes: Votes, counted_A: Bools, with_maybe: bool = True) -> Tally:
    """Counts the choices of the answers in `counted_A`; without `with_maybe`, those rated Yes only."""
    use_C = counted_A[votes.answer_C] & (with_maybe | ~votes.maybe_C)
    width = int(votes.label_C.max(initial=0)) + 1
    key_C = votes.task_A[votes.answer_C[use_C]] * width + votes.label_C[use_C]
    key_P, votes_P = np.unique(key_C, return_counts=True)
    counted_N = np.bincount(votes.task_A[counted_A], minlength=len(votes.tasks_N))
    return Tally(counted_N.astype(np.int64), key_P // width, key_P % width, votes_P.astype(np.int64))


def per_task(votes: Votes, of_A: Bools) -> Ints:
    """How many answers of each task the statement holds of."""
    return np.bincount(votes.task_A[of_A], minlength=len(votes.tasks_N)).astype(np.int64)


def reassessed(
    votes: Votes,
    counts: Tally,
    *,
    chosen_P: Bools,
    with_given_N: Bools,
    empty_N: Bools,
    rule_N: npt.NDArray[np.object_],
    approved_N: Ints,
    answers_N: Ints,
    failed_N: Bools,
    settings: Mapping[str, Any],
    workers_W: Mapping[str, pa.Array] | None = None,
    probabilities: pa.Table | None = None,
) -> Reassessed:
    """The labels table of what a rule decided.

    Args:
        votes: every answer.
        counts: votes of the answers that the rule counted.
        chosen_P: pairs that go into the sets.
        with_given_N: tasks whose given label goes into the set, chosen or not.
        empty_N: tasks whose set is empty whatever else is said: they are left out of evaluation.
        rule_N: id of the rule that fired; "/-given" is appended where a given label is not in the set that it made.
        approved_N: approved answers.
        answers_N: answers given.
        failed_N: tasks to post again.
        settings: the rule and its options.
        workers_W: further columns of the worker table, in the order of `votes.workers_W`.
        probabilities: see `Reassessed`.
    """
    width = int(max(counts.label_P.max(initial=0), votes.given_N.max(initial=0))) + 1
    has_given_N = votes.given_N != tables.UNLABELLED
    from_given_N = np.flatnonzero(with_given_N & has_given_N & ~empty_N)
    use_P = chosen_P & ~empty_N[counts.task_P]
    key = np.union1d(
        counts.task_P[use_P] * width + counts.label_P[use_P], from_given_N * width + votes.given_N[from_given_N]
    )
    task, label = key // width, key % width
    given_in_N = np.zeros(len(votes.tasks_N), np.bool_)
    given_in_N[task[label == votes.given_N[task]]] = True
    dropped_N = has_given_N & ~given_in_N & ~empty_N
    names, code_N = np.unique(rule_N.astype(str), return_inverse=True)
    rule = np.array([*names, *(f"{name}/-given" for name in names)], dtype=object)[code_N + len(names) * dropped_N]
    voted_P = counts.votes_P > 0
    table = pa.table(
        {
            "video_id": pa.array(votes.tasks_N, pa.string()),
            "given_label": votes.given_N,
            "labels": _lists(task, label, len(votes.tasks_N)),
            "rule": pa.array(rule, pa.string()),
            "approved": approved_N,
            "answers": answers_N,
            "voted": _lists(counts.task_P[voted_P], counts.label_P[voted_P], len(votes.tasks_N)),
            "votes": _lists(counts.task_P[voted_P], counts.votes_P[voted_P], len(votes.tasks_N)),
        }
    )
    failed = tuple(str(video_id) for video_id in votes.tasks_N[failed_N])
    record = workers.record(votes)  # in the order of votes.workers_W: both ascend
    for name, column in (workers_W or {}).items():
        record = record.append_column(name, column)
    return Reassessed(tables.conform(tables.LABELS, table), record, failed, settings, probabilities)


def _lists(task: Ints, values: Ints, count: int) -> pa.ListArray:
    """Values as one list a task; `task` ascends."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(task, minlength=count))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.int32)))
