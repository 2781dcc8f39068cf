"""Worker-weighted majority: each worker's vote weighs as much as they agree with what all say together.

Each label of a video is a yes-or-no question. `holds(q)` where the weighted share of yes is above `threshold`; the
weight of a worker is how well their replies agree with it, found from the plain majority first ("worker agreement with
aggregate", Wawa), then again from the weighted one, `iterations` times.

"agreement" weighs by the share of a worker's replies that agree. Most options of a task do not hold, so whoever chooses
hardly anything agrees with most of them: "informed" weighs by `sensitivity + specificity - 1` instead (Youden's index,
0 for replies that do not depend on the truth; never below 0).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from secondlook.annotate.answers import count
from secondlook.errors import BadValue
from secondlook.reassess import _options
from secondlook.reassess._questions import Shared, ask, decide
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Options(Shared):
    """What may be chosen."""

    weight: Literal["agreement", "informed"] = "informed"
    """How agreement with the majority becomes a weight."""
    iterations: int = 10
    """Times the weights are found again, at most; 1 is Wawa."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise BadValue(self.iterations, "iterations must be at least 1")


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos, from all rounds together; blank answers are no replies.

    The worker table gets `quality`, the weight, in [0, 1]. `probability` of a label is its weighted share of yes; the
    plain share where nobody who answered has a weight above 0.

    Args:
        answers: columns `task`, `worker`, `label`, and where there are any `given_label`, `verdict`, `rating`, `round`,
            `no_match`, `unsuitable`, `options` (`annotate.answers.COLUMNS`).
        **options: see `Options`.

    Raises:
        BadValue: if a column is missing.
        UnknownName: if an option is not known.
    """
    o = _options.read(Options, options)
    questions = ask(count(answers), rejected=o.rejected)
    yes_V = questions.said_yes_V(o.maybe)
    replies = questions.matrix(yes_V.astype(np.int64), 2)
    total_WR = np.asarray(replies.sum(axis=0)).reshape(-1, 2)
    by_worker = replies.T.tocsr()
    plain_Q = share_Q = questions.share_Q(yes_V)
    quality_W = np.zeros(questions.workers)
    done = 0
    for _ in range(o.iterations):
        done += 1
        holds_WR = np.asarray(by_worker @ (share_Q > o.threshold).astype(np.float64)).reshape(-1, 2)
        right_no_W, right_yes_W = total_WR[:, 0] - holds_WR[:, 0], holds_WR[:, 1]
        if o.weight == "agreement":
            quality_W = _ratio(right_no_W + right_yes_W, total_WR.sum(-1), 0.0)
        else:
            held_W = holds_WR.sum(-1)
            sensitivity_W = _ratio(right_yes_W, held_W, 0.5)
            specificity_W = _ratio(right_no_W, total_WR.sum(-1) - held_W, 0.5)
            quality_W = np.maximum(sensitivity_W + specificity_W - 1, 0.0)
        yes_Q = replies @ np.stack([np.zeros_like(quality_W), quality_W], axis=1).ravel()
        all_Q = replies @ np.repeat(quality_W, 2)
        before_Q, share_Q = share_Q, np.where(all_Q > 0, yes_Q / np.where(all_Q > 0, all_Q, 1.0), plain_Q)
        if ((before_Q > o.threshold) == (share_Q > o.threshold)).all():
            break
    settings = {"rule": "worker_weighted", **asdict(o), "iterations_done": done}
    return decide(questions, share_Q, o, settings, {"quality": quality_W})


def _ratio(part_W: np.ndarray, whole_W: np.ndarray, otherwise: float) -> np.ndarray:
    return np.asarray(np.divide(part_W, whole_W, out=np.full(len(part_W), otherwise), where=whole_W > 0))
