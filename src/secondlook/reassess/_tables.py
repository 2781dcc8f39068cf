"""Tables of the source, counted from answers: pilot agreement (Table 4.5), approvals (Table 4.6), sizes of sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from secondlook import tables
from secondlook.annotate.answers import count
from secondlook.errors import BadValue
from secondlook.reassess import _rounds, _sets

if TYPE_CHECKING:
    import pandas as pd


def pilot_agreement(answers: pa.Table | pd.DataFrame) -> pa.Table:
    """Table 4.5 (label-reassessment §3.4): videos by how many of their annotators chose the given label.

    Returns:
        One row for each number from all down to 0: `chose_given`, `videos`, `percent`, and how many of these videos
        have several labels, under four definitions (§8-C4): `multi_any` (some annotator chose more than one),
        `multi_union` (together they chose more than one), `multi_each` (each chose more than one), `multi_common`
        (they have more than one in common). Videos that nobody answered are left out.
    """
    votes = count(answers)
    everyone_A = np.ones(len(votes.task_A), np.bool_)
    counts = _sets.tally(votes, everyone_A)
    answered_N = counts.counted_N > 0
    chose_N = counts.votes_for(votes.given_N)
    tasks = len(votes.tasks_N)
    several_A = votes.chosen_A > 1
    several_N = _sets.per_task(votes, several_A)
    multi = {
        "multi_any": several_N > 0,
        "multi_union": np.bincount(counts.task_P, minlength=tasks) > 1,
        "multi_each": several_N == counts.counted_N,
        "multi_common": np.bincount(counts.task_P[counts.share_all_P], minlength=tasks) > 1,
    }
    rows = []
    for chose in range(int(counts.counted_N.max(initial=0)), -1, -1):
        here_N = answered_N & (chose_N == chose)
        row = {"chose_given": chose, "videos": int(here_N.sum()), "percent": _percent(here_N, answered_N)}
        rows.append(row | {name: int((here_N & of_N).sum()) for name, of_N in multi.items()})
    return pa.Table.from_pylist(rows)


def approvals_by_given(
    answers: pa.Table | pd.DataFrame,
    mode: Literal["any", "all"] = "any",
    *,
    unjudged: Literal["refuse", "approve", "reject"] = "refuse",
) -> pa.Table:
    """Table 4.6 (label-reassessment §3.6): videos by approved answers and by whether these chose the given label.

    Args:
        answers: as for `approval_rules.fit`.
        mode: the given label counts as chosen if any approved answer chose it, or only if all did. The source does not
            say which it means.
        unjudged: what becomes of answers without a verdict.

    Returns:
        Rows `approved` (from most down to 0), `given_chosen`, `videos`, `percent`; they sum to the answered videos.

    Raises:
        BadValue: if `mode` is another one, or an answer has no verdict.
    """
    if mode not in ("any", "all"):
        raise BadValue(mode, "mode must be any or all")
    votes = count(answers)
    approved_A = _rounds.approved(votes, unjudged)
    counted_A = _rounds.counted(votes, approved_A, "best")
    counts = _sets.tally(votes, approved_A & counted_A)
    answered_N = _sets.per_task(votes, counted_A) > 0
    votes_N = counts.votes_for(votes.given_N)
    chosen_N = (votes_N > 0) & ((mode == "any") | (votes_N == counts.counted_N))
    rows = []
    for a in range(int(counts.counted_N.max(initial=0)), -1, -1):
        for chosen in (True, False):
            here_N = answered_N & (counts.counted_N == a) & (chosen_N == chosen)
            if a or not chosen:
                row = {"approved": a, "given_chosen": chosen, "videos": int(here_N.sum())}
                rows.append(row | {"percent": _percent(here_N, answered_N)})
    return pa.Table.from_pylist(rows)


def set_sizes(labels: pa.Table) -> dict[int, int]:
    """Label sets by their size, ascending, from rows of the labels table; size 0 is left out of evaluation."""
    return dict(sorted(Counter(len(x) for x in tables.lists(labels, "labels")).items()))


def mean_size(sizes: Mapping[int, int]) -> float:
    """Mean number of labels over the videos that stay in evaluation (size 1 and up), from `set_sizes`."""
    counted = {size: videos for size, videos in sizes.items() if size}
    return sum(size * videos for size, videos in counted.items()) / max(sum(counted.values()), 1)


def _percent(part_N: np.ndarray, whole_N: np.ndarray) -> float:
    return round(100 * int(part_N.sum()) / max(int(whole_N.sum()), 1), 2)
