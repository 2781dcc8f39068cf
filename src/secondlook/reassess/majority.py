"""Majority a label: a label holds where more than half of the answers chose it.

Each label of a video is its own yes-or-no question: `R = {l : 2 votes(l) > answers}`. Answers that a reviewer rejected
are left out (`rejected="count"` keeps them); no verdict is needed. The given label is one label among others; where no
label has a majority it stays alone (rule "no-majority"), because nothing was found in its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from secondlook.annotate.answers import count
from secondlook.reassess import _options, _sets
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options:
    """What may be chosen."""

    given: Literal["vote", "keep"] = "vote"
    """The given label needs votes like any other, or is always kept."""
    rejected: Literal["drop", "count"] = "drop"
    """Answers that a reviewer rejected are left out, or count like any other."""
    maybe: Literal["count", "ignore"] = "count"
    """Whether a label rated Maybe counts as chosen."""


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos, from all rounds together; blank answers are no votes.

    Args:
        answers: columns `task`, `worker`, `label`, and where there are any `given_label`, `verdict`, `rating`, `round`,
            `no_match`, `unsuitable` (`annotate.answers.COLUMNS`).
        **options: see `Options`.

    Raises:
        BadValue: if a column is missing.
        UnknownName: if an option is not known.
    """
    o = _options.read(Options, options)
    votes = count(answers)
    counted_A = ~votes.blank_A & ~(votes.rejected_A & (o.rejected == "drop"))
    counts = _sets.tally(votes, counted_A, with_maybe=o.maybe == "count")
    majority_P = counts.majority_P
    found_N = counts.any_N(majority_P)
    answers_N = _sets.per_task(votes, np.ones(len(votes.task_A), np.bool_))
    unsuitable_N = 2 * _sets.per_task(votes, counted_A & votes.unsuitable_A) > counts.counted_N
    conditions = [unsuitable_N, answers_N == 0, counts.counted_N == 0, found_N]
    names = np.array(["unsuitable", "unanswered", "failed", "majority", "no-majority"], dtype=object)
    return _sets.reassessed(
        votes,
        counts,
        chosen_P=majority_P,
        with_given_N=~found_N | (o.given == "keep"),
        empty_N=unsuitable_N,
        rule_N=names[np.select(conditions, [0, 1, 2, 3], default=4)],
        approved_N=_sets.per_task(votes, votes.approved_A),
        answers_N=answers_N,
        failed_N=(answers_N > 0) & (counts.counted_N == 0),
        settings={"rule": "majority", **asdict(o)},
    )
