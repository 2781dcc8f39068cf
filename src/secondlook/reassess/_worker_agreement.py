"""How each worker agrees with the others, and with the reviewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]

from secondlook.annotate.answers import Bools, Ints, Votes
from secondlook.reassess._bootstrap import Resamples, ratio
from secondlook.reassess._questions import NO, Floats, Questions


def against_consensus(questions: Questions) -> tuple[Floats, Bools]:
    """Jaccard index of each answer and of what more than half of the *other* answers to its task chose.

    Returns:
        One value an answer, and whether it counts (there is another answer).
    """
    votes = questions.votes
    yes_V = questions.reply_V != NO
    others_V = questions.asked_Q[questions.question_V] - 1
    consensus_V = 2 * (questions.chosen_Q[questions.question_V] - yes_V) > others_V
    count = len(votes.task_A)
    both_A = np.bincount(questions.answer_V[yes_V & consensus_V], minlength=count)
    either_A = np.bincount(questions.answer_V[yes_V | consensus_V], minlength=count)
    index_A = np.divide(both_A, either_A, out=np.ones(count), where=either_A > 0)
    replied_N = np.bincount(votes.task_A[questions.counted_A], minlength=len(votes.tasks_N))
    return index_A, np.asarray(questions.counted_A & (replied_N >= 2)[votes.task_A], dtype=np.bool_)


def by_worker(questions: Questions, draws: Resamples) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row a worker: `answers`, `consensus` (mean over answers of `against_consensus`), `reviewer` (share of the
    judged answers that the reviewer approved); and the same over all answers, with `reviewer_consensus`: how much
    approved and rejected answers agree with the others, which says whether the reviewer sides with the crowd.
    """
    votes = questions.votes
    index_A, counts_A = against_consensus(questions)
    names = votes.workers_W
    shape = (len(names), len(votes.tasks_N))

    def total(values_A: np.ndarray) -> Floats:
        entries = (values_A.astype(np.float64), (votes.worker_A, votes.task_A))
        return np.asarray(sparse.csr_array(entries, shape=shape) @ draws.times_NB)

    consensus_WB = ratio(total(np.where(counts_A, index_A, 0.0)), total(counts_A))
    reviewer_WB = ratio(total(votes.approved_A), total(votes.judged_A))
    rows = [
        {
            "worker": str(names[w]),
            "answers": int(answers),
            "consensus": draws.interval(consensus_WB[w]),
            "reviewer": draws.interval(reviewer_WB[w]),
        }
        for w, answers in enumerate(np.bincount(votes.worker_A, minlength=len(names)))
    ]

    def share(part_A: np.ndarray, whole_A: np.ndarray) -> dict[str, float | None]:
        return draws.ratio(_per_task(votes.task_A, part_A, votes), _per_task(votes.task_A, whole_A, votes))

    return rows, {
        "consensus": share(np.where(counts_A, index_A, 0.0), counts_A),
        "reviewer": share(votes.approved_A, votes.judged_A),
        "reviewer_consensus": {
            "approved": share(np.where(counts_A & votes.approved_A, index_A, 0.0), counts_A & votes.approved_A),
            "rejected": share(np.where(counts_A & votes.rejected_A, index_A, 0.0), counts_A & votes.rejected_A),
        },
    }


def _per_task(task_A: Ints, values_A: np.ndarray, votes: Votes) -> Floats:
    weights_A = values_A.astype(np.float64)
    return np.bincount(task_A, weights=weights_A, minlength=len(votes.tasks_N)).astype(np.float64)
