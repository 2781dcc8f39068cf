"""Reviewer-approved majority: the rules R1, R2, R3 over approved answers, with a rule id on every video.

D. K. Patil, "Something is Fishy!", Colorado State University, 2022, §4.5.4; label-reassessment §1.9. With `P` the
approved answers of a video, `a = |P|`, `S_j` the labels chosen in answer `j`, `y` the given label:

| Rule | When | Set |
|---|---|---|
| R1 | `a >= 3` and all agree | `y`, and what `r1_mode` says (default: labels of more than half of `P`) |
| R1-partial | `a >= 3`, not all agree, some label has more than half of `P` | `y`, and what `partial` says |
| R3 | `a >= 3`, no label has more than half of `P` | `y`, and every label of every `S_j` |
| R2 | `a = 2` and the two agree | `y`, and the labels of both |
| none-2 | `a = 2`, the two do not agree | `y`, and what `two_disagree` says |
| none-1 | `a = 1` | `y`, and what `one_approved` says |
| no-match | `a >= 2`, no approved answer chose a label | `y` |
| failed | answered, `a = 0` | `y` |
| unanswered | nobody answered | `y` |
| unsuitable | more than half of `P` flagged the clip as unsuitable | empty: left out of evaluation |

A video has *failed*, and is to be posted again, if `a = 0`, or if `a = 1` and that answer did not choose `y`.
`/-given` after a rule id: the given label is not in the set. `/dropped`: failed, and left out of evaluation.

Departs from the source in what it leaves open: the rows from "R1-partial" down, "more than half" in place of "2 of 3"
(the same for three answers), and `given`, without which no label could ever be found wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from secondlook.annotate.answers import count
from secondlook.reassess import _options, _rounds, _sets
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Options:
    """What the source leaves open; the defaults are those of label-reassessment §1.9."""

    agreement: Literal["intersection", "identical"] = "intersection"
    """When answers agree: if they have a label in common, or only if their sets are the same."""
    r1_mode: Literal["votes", "common", "union"] = "votes"
    """R1 gives the labels of more than half of the approved answers, only those of all, or every label chosen."""
    partial: Literal["votes", "union", "given"] = "votes"
    """R1-partial gives the labels of more than half, every label chosen, or the given label only."""
    two_disagree: Literal["given", "union"] = "given"
    """none-2 gives the given label only, or every label chosen as well."""
    one_approved: Literal["given", "union"] = "given"
    """none-1 likewise."""
    given: Literal["keep", "drop-if-unvoted", "vote"] = "keep"
    """The given label is always kept; or dropped where two or more answers are approved and none of them chose it; or
    treated like any other label where two or more are approved."""
    failed: Literal["keep", "drop"] = "keep"
    """A failed video keeps the given label, or is left out of evaluation."""
    rounds: Literal["best", "pool", "last"] = "best"
    """Where a video was posted again: the better round counts, all answers together, or the last round."""
    maybe: Literal["count", "ignore"] = "count"
    """Whether a label rated Maybe counts as chosen."""
    unjudged: Literal["refuse", "approve", "reject"] = "refuse"
    """An answer that is not blank and has no verdict: an error, approved, or rejected."""


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos.

    Args:
        answers: columns `task`, `worker`, `label`, `verdict`, `given_label`, and where there are any `round`, `rating`,
            `no_match`, `review`, `unsuitable` (`annotate.answers.COLUMNS`).
        **options: see `Options`.

    Raises:
        BadValue: if a column is missing or an answer has no verdict; see `Options.unjudged`.
        UnknownName: if an option is not known.
    """
    o = _options.read(Options, options)
    votes = count(answers)
    approved_A = _rounds.approved(votes, o.unjudged)
    counted_A = _rounds.counted(votes, approved_A, o.rounds)
    approved_A = approved_A & counted_A
    counts = _sets.tally(votes, approved_A, with_maybe=o.maybe == "count")
    answers_N = _sets.per_task(votes, counted_A)

    a_N = counts.counted_N
    everyone_P, majority_P = counts.share_all_P, counts.majority_P
    voted_N = counts.any_N(np.ones(len(counts.task_P), np.bool_))
    agree_N = counts.any_N(everyone_P) if o.agreement == "intersection" else voted_N & ~counts.any_N(~everyone_P)
    given_votes_N = counts.votes_for(votes.given_N)
    unsuitable_N = 2 * _sets.per_task(votes, approved_A & votes.unsuitable_A) > a_N
    failed_N = (answers_N > 0) & ~unsuitable_N & ((a_N == 0) | ((a_N == 1) & (given_votes_N == 0)))

    # The first condition that holds names the rule; the second list says which of the chosen labels it takes.
    everything_P, nothing_P = np.ones_like(majority_P), np.zeros_like(majority_P)
    wide = {"votes": majority_P, "common": everyone_P, "union": everything_P, "given": nothing_P}
    branches = (
        ("unsuitable", unsuitable_N, nothing_P),
        ("unanswered", answers_N == 0, nothing_P),
        ("failed", a_N == 0, nothing_P),
        ("none-1", a_N == 1, wide[o.one_approved]),
        ("no-match", ~voted_N, nothing_P),
        ("R2", (a_N == 2) & agree_N, everyone_P),
        ("none-2", a_N == 2, wide[o.two_disagree]),
        ("R1", agree_N, wide[o.r1_mode]),
        ("R1-partial", counts.any_N(majority_P), wide[o.partial]),
        ("R3", np.ones(len(a_N), np.bool_), everything_P),
    )
    code_N = np.select([when_N for _, when_N, _ in branches], list(range(len(branches))))
    chosen_P = np.choose(code_N[counts.task_P], [takes_P for _, _, takes_P in branches])
    decided_N = a_N >= 2
    with_given_N = {
        "keep": np.ones(len(a_N), np.bool_),
        "drop-if-unvoted": ~decided_N | (given_votes_N > 0),
        "vote": ~decided_N,
    }[o.given]
    rule_N = np.array([name for name, _, _ in branches], dtype=object)[code_N]
    dropped_N = failed_N & (o.failed == "drop")
    rule_N[dropped_N] += "/dropped"
    return _sets.reassessed(
        votes,
        counts,
        chosen_P=chosen_P,
        with_given_N=with_given_N,
        empty_N=unsuitable_N | dropped_N,
        rule_N=rule_N,
        approved_N=a_N,
        answers_N=answers_N,
        failed_N=failed_N,
        settings={"rule": "approval_rules", **asdict(o)},
    )
