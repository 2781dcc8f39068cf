"""GLAD: workers differ in ability and questions in difficulty; a reply is right with probability sigmoid(a_w b_q).

J. Whitehill, P. Ruvolo, T. Wu, J. Bergsma, J. Movellan, "Whose Vote Should Count More: Optimal Integration of Labels
from Labelers of Unknown Expertise", NIPS 2009. Each label is a yes-or-no question with truth `t`, ability `a_w` (below
0: says the opposite), difficulty `1 / b_q`, `b_q > 0`:

    P(reply = t) = sigmoid(a_w b_q)
    logit P(t = 1 | replies) = logit(prior) + b_q (sum of a_w over yes - sum of a_w over no)

Priors as in the source: `a_w` and `log b_q` are normal with mean 1 and variance 1.

Departs from the source in the M-step: in place of conjugate gradients over all parameters at once, one damped Fisher
scoring step for every ability (apart, given the difficulties), then one for every difficulty. One ability answers for
yes and no alike, so a learnt prior (`prior="learn"`), low because few of the labels shown hold, drowns what people say
where they are few or often wrong.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import expit  # type: ignore[import-untyped]

from secondlook.annotate.answers import Bools, Ints, count
from secondlook.errors import BadValue
from secondlook.reassess import _options
from secondlook.reassess._questions import Floats, Shared, ask, decide
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PRIOR_MEAN = 1.0
"""Of ability and of the logarithm of `b_q`; both have variance 1."""
_LONGEST_STEP = 0.5


@dataclass(frozen=True)
class Options(Shared):
    """What may be chosen."""

    prior: Literal["uniform", "learn"] = "uniform"
    """Probability that a label holds before any reply: 1/2 as in the source, or learnt."""
    iterations: int = 100
    """Rounds of EM at most."""
    tolerance: float = 1e-3
    """EM stops when no probability moves by more than this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1 or self.tolerance < 0:
            raise BadValue((self.iterations, self.tolerance), "iterations must be at least 1, tolerance not below 0")


@dataclass(frozen=True)
class Fitted:
    """What EM found."""

    probability_Q: Floats
    ability_W: Floats
    ease_Q: Floats
    """`b_q`, above 0; `1 / b_q` is the difficulty."""
    prior: float
    iterations: int


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos, from all rounds together; blank answers are no replies.

    The worker table gets `ability` (`a_w`) and `quality = sigmoid(a_w b)`, the probability of a right reply to a
    question of median ease: 0.5 says nothing, less is the opposite.

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
    start_Q = questions.share_Q(yes_V)
    found = em(questions.question_V, questions.worker_V, yes_V, start_Q, questions.workers, o)
    asked_Q = questions.asked_Q > 0
    median = float(np.median(found.ease_Q[asked_Q])) if asked_Q.any() else 1.0
    record = {"quality": expit(found.ability_W * median), "ability": found.ability_W}
    settings = {"rule": "glad", **asdict(o), "iterations_done": found.iterations}
    return decide(questions, found.probability_Q, o, settings, record)


def em(question_V: Ints, worker_V: Ints, yes_V: Bools, start_Q: Floats, workers: int, o: Options) -> Fitted:
    """Expectation and a step of maximisation in turn, from a first guess of the probability that each label holds."""
    sign_V = np.where(yes_V, 1.0, -1.0)
    size = len(start_Q)
    asked_Q = np.bincount(question_V, minlength=size) > 0
    probability_Q = np.where(asked_Q, start_Q, 0.0)
    ability_W, log_ease_Q = np.full(workers, PRIOR_MEAN), np.full(size, PRIOR_MEAN)
    prior, done = 0.5, 0
    for _ in range(o.iterations):
        done += 1
        right_V = np.where(yes_V, probability_Q[question_V], 1 - probability_Q[question_V])
        ease_Q = np.exp(log_ease_Q)
        ability_W += _step(worker_V, ease_Q[question_V], right_V, ability_W[worker_V] * ease_Q[question_V], ability_W)
        ability_V = ability_W[worker_V]
        slope_V = ability_V * ease_Q[question_V]  # of a_w b_q in log b_q
        log_ease_Q += _step(question_V, slope_V, right_V, slope_V, log_ease_Q)
        if o.prior == "learn":
            prior = (float(probability_Q.sum()) + 1) / (int(asked_Q.sum()) + 2)
        balance_Q = np.bincount(question_V, weights=sign_V * ability_V, minlength=size)
        logit_Q = np.log(prior / (1 - prior)) + np.exp(log_ease_Q) * balance_Q
        before_Q, probability_Q = probability_Q, np.where(asked_Q, expit(logit_Q), 0.0)
        if np.abs(probability_Q - before_Q).max(initial=0) <= o.tolerance:
            break
    return Fitted(probability_Q, ability_W, np.exp(log_ease_Q), prior, done)


def _step(index_V: Ints, slope_V: Floats, right_V: Floats, logit_V: Floats, value_X: Floats) -> Floats:
    """One Fisher scoring step of parameters of which each replies' logit depends on one, with that slope."""
    guess_V = expit(logit_V)
    gradient_X = np.bincount(index_V, weights=(right_V - guess_V) * slope_V, minlength=len(value_X))
    curvature_X = np.bincount(index_V, weights=guess_V * (1 - guess_V) * slope_V**2, minlength=len(value_X))
    step_X = (gradient_X + PRIOR_MEAN - value_X) / (curvature_X + 1)
    return np.asarray(np.clip(step_X, -_LONGEST_STEP, _LONGEST_STEP))
