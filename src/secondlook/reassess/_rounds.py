"""Which answers of a task count: those of its best round, of its last, or all of them; and which are approved."""

from __future__ import annotations

from typing import Literal

import numpy as np

from secondlook.annotate.answers import Bools, Votes
from secondlook.errors import BadValue


def approved(votes: Votes, unjudged: Literal["refuse", "approve", "reject"]) -> Bools:
    """Approved answers; a blank one that nobody judged is rejected by rule (label-reassessment §1.7).

    Raises:
        BadValue: if an answer that is not blank has no verdict and `unjudged` is "refuse".
    """
    open_A = ~votes.judged_A & ~votes.blank_A
    if unjudged == "refuse" and open_A.any():
        raise BadValue(
            f"{int(open_A.sum())} answers",
            "have no verdict yet",
            "Import verdicts (secondlook annotate import), or say --unjudged approve or --unjudged reject.",
        )
    return np.asarray(votes.approved_A | (open_A & (unjudged == "approve")), dtype=np.bool_)


def counted(votes: Votes, approved_A: Bools, rounds: Literal["best", "pool", "last"]) -> Bools:
    """Answers that count where a task was posted more than once.

    "best" is the round with more approved answers; of equal ones the round that agrees more; then the later one
    (label-reassessment §1.8). How much a round agrees is the share of its approved answers that chose a label, averaged
    over the labels that were chosen: 1 where all sets are the same.
    """
    if rounds == "pool" or (votes.round_A == 1).all():
        return np.ones(len(votes.task_A), np.bool_)
    width = int(votes.round_A.max(initial=0)) + 1
    key_R, group_A = np.unique(votes.task_A * width + votes.round_A, return_inverse=True)
    task_R, round_R = key_R // width, key_R % width
    if rounds == "last":
        order = np.lexsort((round_R, task_R))
    else:
        approved_R = np.bincount(group_A[approved_A], minlength=len(key_R))
        use_C = approved_A[votes.answer_C]
        labels = int(votes.label_C.max(initial=0)) + 1
        pairs = group_A[votes.answer_C[use_C]] * labels + votes.label_C[use_C]
        group_P = np.unique(pairs) // labels
        chosen_R = np.bincount(group_A[votes.answer_C[use_C]], minlength=len(key_R))
        possible_R = approved_R * np.bincount(group_P, minlength=len(key_R))
        agreement_R = np.divide(chosen_R, possible_R, out=np.zeros(len(key_R)), where=possible_R > 0)
        order = np.lexsort((round_R, agreement_R, approved_R, task_R))
    is_last = np.append(task_R[order][1:] != task_R[order][:-1], True)
    best_R = np.zeros(len(key_R), np.bool_)
    best_R[order[is_last]] = True
    return np.asarray(best_R[group_A], dtype=np.bool_)
