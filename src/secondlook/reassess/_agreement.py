"""How much people agree when each may choose several labels, and why kappa is refused there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from secondlook.annotate.answers import count
from secondlook.errors import BadValue
from secondlook.reassess import _sets

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Agreement:
    """Simple agreement over the videos with two or more answers."""

    videos: int
    mean_jaccard: float
    """Mean over videos of the mean over pairs of answers of |A and B| / |A or B|; two empty answers agree wholly."""
    identical: float
    """Share of videos whose answers are all the same set."""
    common: float
    """Share of videos with a label that every answer chose."""


def simple(answers: pa.Table | pd.DataFrame) -> Agreement:
    """Agreement that fits answers of several labels; all rounds together, verdicts left aside.

    Raises:
        BadValue: if no video has two answers.
    """
    votes = count(answers)
    size_A = votes.chosen_A
    answer = pd.DataFrame({"task": votes.task_A, "answer": np.arange(len(votes.task_A))})
    pairs = answer.merge(answer, on="task", suffixes=("", "_2"))
    pairs = pairs[pairs["answer"] < pairs["answer_2"]]
    if pairs.empty:
        raise BadValue(
            len(votes.tasks_N), "no video has two answers, so nothing can agree", "Ask for --votes 2 or more."
        )
    choice = pd.DataFrame({"task": votes.task_A[votes.answer_C], "label": votes.label_C, "answer": votes.answer_C})
    both = choice.merge(choice, on=["task", "label"], suffixes=("", "_2"))
    shared = both.groupby(["answer", "answer_2"]).size().rename("shared")
    pairs = pairs.join(shared, on=["answer", "answer_2"])
    shared_Q = pairs["shared"].fillna(0).to_numpy()
    union_Q = size_A[pairs["answer"]] + size_A[pairs["answer_2"]] - shared_Q
    jaccard_Q = np.divide(shared_Q, union_Q, out=np.ones(len(pairs)), where=union_Q > 0)
    per_video = pd.Series(jaccard_Q).groupby(pairs["task"].to_numpy())
    counts = _sets.tally(votes, np.ones(len(votes.task_A), np.bool_))
    in_common_N = counts.any_N(counts.share_all_P)[counts.counted_N >= 2]
    return Agreement(
        videos=per_video.ngroups,
        mean_jaccard=float(per_video.mean().mean()),
        identical=float((per_video.min() == 1).mean()),
        common=float(in_common_N.mean()),
    )


def fleiss_kappa(answers: pa.Table | pd.DataFrame) -> float:
    """Fleiss' kappa, for answers of exactly one label each and equally many answers a video.

    `kappa = (P - P_e) / (1 - P_e)`, P the mean over videos of the share of agreeing pairs, P_e the sum of squared label
    shares. J. L. Fleiss, "Measuring nominal scale agreement among many raters", 1971.

    Raises:
        BadValue: if an answer holds no label or several, or videos have different numbers of answers.
    """
    votes = count(answers)
    if (votes.chosen_A != 1).any():
        raise BadValue(
            f"{int((votes.chosen_A != 1).sum())} answers",
            "hold no label or several, and kappa (Cohen's or Fleiss') assumes exactly one for each rater and item",
            "Use the mean Jaccard index of `simple`, which compares sets.",
        )
    counts = _sets.tally(votes, np.ones(len(votes.task_A), np.bool_))
    answered_N = counts.counted_N[counts.counted_N > 0]
    n = int(answered_N.max(initial=0))
    if n < 2 or (answered_N != n).any():
        raise BadValue(sorted(set(answered_N.tolist())), "every video needs the same number of answers, 2 or more")
    agreeing = float((counts.votes_P * (counts.votes_P - 1)).sum()) / (len(answered_N) * n * (n - 1))
    shares = np.bincount(counts.label_P, weights=counts.votes_P) / counts.votes_P.sum()
    by_chance = float((shares**2).sum())
    return 1.0 if by_chance == 1 else (agreeing - by_chance) / (1 - by_chance)
