"""Answers of several labels as one yes-or-no question a label, for rules that weigh people by how well they answer.

Every label of a task is a question of its own: does it hold? Asked are the options that the task showed, where the
answers table says which; without that the labels that any counted answer chose, and the given label. A counted answer
answers every question of its task: yes, maybe, or no. The truth of a question is binary; "maybe" is but a way to reply.

Legend of shapes: Q questions (task, label) in ascending order, V replies (one a counted answer and question of its
task), W workers, N tasks, A answers, R = 3 ways to reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse  # type: ignore[import-untyped]

from secondlook import tables
from secondlook.annotate.answers import Bools, Ints, Votes
from secondlook.errors import BadValue
from secondlook.reassess import _sets
from secondlook.reassess._sets import Reassessed, Tally

Floats = npt.NDArray[np.float64]
NO, MAYBE, YES = 0, 1, 2


@dataclass(frozen=True)
class Shared:
    """Options of every rule that gives each label a probability."""

    threshold: float = 0.5
    """A label is in the set if its probability is above this."""
    given: Literal["vote", "keep"] = "vote"
    """The given label needs votes like any other, or is always kept."""
    rejected: Literal["drop", "count"] = "drop"
    """Answers that a reviewer rejected are left out, or count like any other."""
    maybe: Literal["count", "ignore"] = "count"
    """A label rated Maybe counts as chosen, or as not chosen."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise BadValue(self.threshold, "threshold must lie between 0 and 1")


@dataclass(frozen=True)
class Questions:
    """Who replied what to which question."""

    votes: Votes
    counted_A: Bools
    task_Q: Ints
    label_Q: Ints
    question_V: Ints
    worker_V: Ints
    answer_V: Ints
    reply_V: Ints
    """NO, MAYBE or YES."""

    @property
    def workers(self) -> int:
        """W."""
        return len(self.votes.workers_W)

    @cached_property
    def asked_Q(self) -> Ints:
        """Replies to each question."""
        return np.bincount(self.question_V, minlength=len(self.task_Q)).astype(np.int64)

    @cached_property
    def chosen_Q(self) -> Ints:
        """Replies that are not "no", by question."""
        return np.bincount(self.question_V[self.reply_V != NO], minlength=len(self.task_Q)).astype(np.int64)

    def said_yes_V(self, maybe: str) -> Bools:
        """Replies as yes or no: "maybe" is a yes if `maybe` is "count", else a no."""
        return np.asarray(self.reply_V >= (MAYBE if maybe == "count" else YES), dtype=np.bool_)

    def share_Q(self, yes_V: Bools) -> Floats:
        """Share of the replies to each question that are yes: the start of every rule here."""
        yes_Q = np.bincount(self.question_V[yes_V], minlength=len(self.task_Q))
        return yes_Q / np.maximum(self.asked_Q, 1)

    def matrix(self, kind_V: Ints, kinds: int) -> sparse.csr_array:
        """`Q x (W kinds)` counts of replies by worker and kind.

        With it, a sum over the replies to a question is a product from the left, and a sum over the replies of a worker
        one from the right (of its transpose): each is one pass over the replies.
        """
        columns = self.workers * kinds
        entries = (np.ones(len(kind_V)), (self.question_V, self.worker_V * kinds + kind_V))
        return sparse.csr_array(entries, shape=(len(self.task_Q), columns))


def ask(votes: Votes, *, rejected: str = "drop") -> Questions:
    """The questions of all tasks and the replies of the counted answers: not blank and, unless said, not rejected."""
    counted_A = ~votes.blank_A & ~(votes.rejected_A & (rejected == "drop"))
    return of_counted(votes, counted_A)


def of_counted(votes: Votes, counted_A: Bools) -> Questions:
    """The questions of all tasks and the replies of these answers."""
    use_C = counted_A[votes.answer_C]
    answer_C, label_C, maybe_C = votes.answer_C[use_C], votes.label_C[use_C], votes.maybe_C[use_C]
    task_C = votes.task_A[answer_C]
    width = int(max(votes.label_C.max(initial=0), votes.given_N.max(initial=0), votes.label_O.max(initial=0))) + 1
    given = np.flatnonzero(votes.given_N != tables.UNLABELLED)
    key_Q = np.unique(
        np.concatenate(
            [task_C * width + label_C, given * width + votes.given_N[given], votes.task_O * width + votes.label_O]
        )
    )
    task_Q = key_Q // width
    size_N = np.bincount(task_Q, minlength=len(votes.tasks_N))
    first_N = np.cumsum(size_N) - size_N

    answer_B = np.flatnonzero(counted_A)  # B: answers that count
    size_B = size_N[votes.task_A[answer_B]]
    start_B = np.cumsum(size_B) - size_B
    answer_V = np.repeat(answer_B, size_B)
    within_V = np.arange(len(answer_V)) - np.repeat(start_B, size_B)
    reply_V = np.zeros(len(answer_V), np.int64)
    place_A = np.full(len(votes.task_A), -1, np.int64)
    place_A[answer_B] = start_B
    question_C = np.searchsorted(key_Q, task_C * width + label_C)
    reply_V[place_A[answer_C] + question_C - first_N[task_C]] = np.where(maybe_C, MAYBE, YES)
    return Questions(
        votes=votes,
        counted_A=counted_A,
        task_Q=task_Q,
        label_Q=key_Q % width,
        question_V=first_N[votes.task_A[answer_V]] + within_V,
        worker_V=votes.worker_A[answer_V],
        answer_V=answer_V,
        reply_V=reply_V,
    )


def decide(
    questions: Questions,
    probability_Q: Floats,
    options: Shared,
    settings: Mapping[str, Any],
    workers_W: Mapping[str, Floats],
) -> Reassessed:
    """Label sets of what is more probable than the threshold.

    Rule ids: the rule's name; "no-label" where no label is probable enough (the given label stays alone, because
    nothing was found in its place); "unsuitable" (more than half of the answers said so: left out), "unanswered",
    "failed" (answered, but no answer counts).

    Args:
        questions: what was asked.
        probability_Q: probability that the label holds.
        options: threshold, and what becomes of the given label.
        settings: the rule and its options.
        workers_W: columns of the worker table; null for those without a counted reply.
    """
    votes = questions.votes
    replied_N = _sets.per_task(votes, questions.counted_A)
    chosen_P = np.asarray((probability_Q > options.threshold) & (questions.asked_Q > 0), dtype=np.bool_)
    counts = Tally(replied_N, questions.task_Q, questions.label_Q, questions.chosen_Q)
    found_N = counts.any_N(chosen_P)
    answers_N = _sets.per_task(votes, np.ones(len(votes.task_A), np.bool_))
    unsuitable_N = 2 * _sets.per_task(votes, questions.counted_A & votes.unsuitable_A) > replied_N
    names = np.array(["unsuitable", "unanswered", "failed", settings["rule"], "no-label"], dtype=object)
    conditions = [unsuitable_N, answers_N == 0, replied_N == 0, found_N]
    silent_W = np.bincount(questions.worker_V, minlength=questions.workers) == 0
    asked = questions.asked_Q > 0
    return _sets.reassessed(
        votes,
        counts,
        chosen_P=chosen_P,
        with_given_N=~found_N | (options.given == "keep"),
        empty_N=unsuitable_N,
        rule_N=names[np.select(conditions, [0, 1, 2, 3], default=4)],
        approved_N=_sets.per_task(votes, votes.approved_A),
        answers_N=answers_N,
        failed_N=(answers_N > 0) & (replied_N == 0),
        settings=settings,
        workers_W={name: pa.array(values, pa.float64(), mask=silent_W) for name, values in workers_W.items()},
        probabilities=pa.table(
            {
                "video_id": pa.array(votes.tasks_N[questions.task_Q[asked]], pa.string()),
                "label": pa.array(questions.label_Q[asked], pa.int32()),
                "probability": probability_Q[asked],
                "votes": questions.chosen_Q[asked],
                "asked": questions.asked_Q[asked],
            }
        ),
    )
