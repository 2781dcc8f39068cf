"""Dawid-Skene: each label is a yes-or-no question, each worker has a confusion matrix, both found together by EM.

A. P. Dawid and A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Journal of
the Royal Statistical Society C 28(1), 1979. The truth `t` of a question is 0 or 1, a reply `r` is no, maybe or yes:

    P(t = 1 | replies) = sigmoid( log(pi / (1 - pi)) + sum over replies of log( T[w, 1, r] / T[w, 0, r] ) )
    T[w, t, r] = (smoothing + expected replies r of w where the truth is t) / (the same, summed over r)

`pi` is the share of questions whose label holds. EM starts from the share of yes among the replies to each question.

Departs from the source in what the questions are (several labels may hold, so each label is a question of its own), in
that "maybe" is a reply but never a truth (a third latent class would have to be told apart by people who are merely
unsure), and in `smoothing`, without which a worker of one answer is believed without doubt. Workers who say the
opposite of the truth are turned round, as long as they are not the majority: this is what makes adversaries harmless.
With a single answer a task nothing tells people apart, and confusion and truth drift together: ask for two or more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]
from scipy.special import expit  # type: ignore[import-untyped]

from secondlook.annotate.answers import count
from secondlook.errors import BadValue
from secondlook.reassess import _options
from secondlook.reassess._questions import MAYBE, NO, YES, Floats, Shared, ask, decide
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Options(Shared):
    """What may be chosen."""

    iterations: int = 100
    """Rounds of EM at most."""
    tolerance: float = 1e-4
    """EM stops when no probability moves by more than this."""
    smoothing: float = 0.1
    """Replies of each kind that a worker is credited with beforehand, for either truth."""
    maybe: Literal["own", "count", "ignore"] = "own"  # type: ignore[assignment]
    """A label rated Maybe is a reply of its own kind, whose meaning is learnt; or a yes; or a no."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1 or self.smoothing <= 0 or self.tolerance < 0:
            raise BadValue(
                (self.iterations, self.smoothing, self.tolerance),
                "iterations must be at least 1, smoothing above 0, tolerance not below 0",
            )


@dataclass(frozen=True)
class Fitted:
    """What EM found."""

    probability_Q: Floats
    confusion_WTR: Floats
    """P(reply | truth) of each worker; the truths are no, yes, the replies no, maybe, yes."""
    prior: float
    iterations: int


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos, from all rounds together; blank answers are no replies.

    The worker table gets `sensitivity` (P(the worker chooses a label | it holds)), `false_picks` (P(chooses | it does
    not hold)) and `quality = (sensitivity + 1 - false_picks) / 2`: 1 is perfect, 0.5 says nothing, 0 is the opposite.

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
    reply_V = questions.reply_V
    if o.maybe != "own":
        reply_V = np.where(questions.said_yes_V(o.maybe), YES, NO)
    weight_R = np.array([0.0, 0.5, 1.0])  # a maybe is half a yes, in the start only
    yes_Q = np.bincount(questions.question_V, weights=weight_R[reply_V], minlength=len(questions.task_Q))
    start_Q = yes_Q / np.maximum(questions.asked_Q, 1)
    found = em(questions.matrix(reply_V, 3), start_Q, o.iterations, o.tolerance, o.smoothing, o.maybe == "own")
    chosen_WT = found.confusion_WTR[:, :, MAYBE] + found.confusion_WTR[:, :, YES]
    record = {
        "quality": (chosen_WT[:, 1] + 1 - chosen_WT[:, 0]) / 2,
        "sensitivity": chosen_WT[:, 1],
        "false_picks": chosen_WT[:, 0],
    }
    settings = {"rule": "dawid_skene", **asdict(o), "iterations_done": found.iterations}
    return decide(questions, found.probability_Q, o, settings, record)


def em(
    replies: sparse.csr_array,
    start_Q: Floats,
    iterations: int = 100,
    tolerance: float = 1e-4,
    smoothing: float = 0.1,
    with_maybe: bool = True,
) -> Fitted:
    """Expectation and maximisation in turn; no step lowers the (penalised) likelihood.

    Args:
        replies: `Q x 3 W` counts by worker and reply.
        start_Q: first guess of the probability that each label holds.
        iterations: rounds at most.
        tolerance: stops when no probability moves by more than this.
        smoothing: see `Options`.
        with_maybe: whether "maybe" is a possible reply; otherwise it is credited with nothing.
    """
    shape_WR = (-1, 3)
    credit_R = np.array([smoothing, smoothing if with_maybe else 0.0, smoothing])
    by_worker = replies.T.tocsr()
    asked_Q = np.asarray(replies.sum(axis=1)) > 0
    total_WR = np.asarray(replies.sum(axis=0)).reshape(shape_WR)
    known = max(int(asked_Q.sum()), 1)
    probability_Q = np.where(asked_Q, start_Q, 0.0)
    tiny = np.finfo(np.float64).tiny
    done = 0
    confusion_WTR, prior = np.zeros((len(total_WR), 2, 3)), 0.5
    for _ in range(iterations):
        done += 1
        yes_WR = np.asarray(by_worker @ probability_Q).reshape(shape_WR)
        expected_WTR = np.stack([np.maximum(total_WR - yes_WR, 0), yes_WR], axis=1) + credit_R
        confusion_WTR = expected_WTR / expected_WTR.sum(-1, keepdims=True)
        prior = (float(probability_Q.sum()) + smoothing) / (known + 2 * smoothing)
        log_WTR = np.log(np.maximum(confusion_WTR, tiny))
        evidence_WR = log_WTR[:, 1] - log_WTR[:, 0]
        logit_Q = np.log(prior / (1 - prior)) + replies @ evidence_WR.ravel()
        before_Q, probability_Q = probability_Q, np.where(asked_Q, expit(logit_Q), 0.0)
        if np.abs(probability_Q - before_Q).max(initial=0) <= tolerance:
            break
    return Fitted(probability_Q, confusion_WTR, prior, done)
