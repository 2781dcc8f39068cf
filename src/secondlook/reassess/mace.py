"""MACE: whoever is not spamming gives the true reply, whoever is gives one of their own habits; found by EM.

D. Hovy, T. Berg-Kirkpatrick, A. Vaswani, E. Hovy, "Learning Whom to Trust with MACE", NAACL 2013. Each label is a
yes-or-no question with truth `t`. For each reply worker `w` spams with probability `1 - theta_w`; a spammed reply is
drawn from the worker's habits `xi_w`, any other is `t`:

    P(reply r | t) = theta_w [r = t] + (1 - theta_w) xi_w[r]

"variational": Dirichlet and Beta priors on `xi` and `theta`, whose expected logarithms stand in for them (the source's
VB-EM, section 3); "em": maximum likelihood with `smoothing`.

Departs from the source in the start (the share of yes, not random ones of which the best is kept: the same answers give
the same sets) and in `prior`: the source's truth is uniform, but far fewer than half of the labels shown hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]
from scipy.special import digamma, expit  # type: ignore[import-untyped]

from secondlook.annotate.answers import count
from secondlook.errors import BadValue
from secondlook.reassess import _options
from secondlook.reassess._questions import Floats, Shared, ask, decide
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Options(Shared):
    """What may be chosen."""

    method: Literal["variational", "em"] = "variational"
    """How `theta` and `xi` are found from expected counts."""
    prior: Literal["learn", "uniform"] = "learn"
    """Probability that a label holds before any reply: learnt, or 1/2 as in the source."""
    iterations: int = 100
    """Rounds of EM at most."""
    tolerance: float = 1e-4
    """EM stops when no probability moves by more than this."""
    alpha: float = 0.5
    """"variational": both parameters of the Beta prior on `theta`."""
    beta: float = 0.5
    """"variational": parameter of the Dirichlet prior on `xi`."""
    smoothing: float = 0.1
    """"em": added to every expected count."""

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.alpha, self.beta, self.smoothing)
        if self.iterations < 1 or min(numbers) <= 0 or self.tolerance < 0:
            raise BadValue(
                (self.iterations, *numbers), "iterations must be at least 1, alpha, beta and smoothing above 0"
            )


@dataclass(frozen=True)
class Fitted:
    """What EM found."""

    probability_Q: Floats
    trust_W: Floats
    """`theta`: expected share of a worker's replies that are not spammed."""
    habit_WR: Floats
    """`xi`: expected share of no and yes among the spammed ones."""
    iterations: int


def fit(answers: pa.Table | pd.DataFrame, **options: Any) -> Reassessed:
    """Label sets of all videos, from all rounds together; blank answers are no replies.

    The worker table gets `quality`, the share of the worker's replies that are not spam, and `says_yes_when_spamming`.

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
    yes_V = questions.said_yes_V(o.maybe).astype(np.int64)
    start_Q = questions.share_Q(yes_V == 1)
    found = em(questions.matrix(yes_V, 2), start_Q, o)
    record = {"quality": found.trust_W, "says_yes_when_spamming": found.habit_WR[:, 1]}
    settings = {"rule": "mace", **asdict(o), "iterations_done": found.iterations}
    return decide(questions, found.probability_Q, o, settings, record)


def em(replies: sparse.csr_array, start_Q: Floats, o: Options) -> Fitted:
    """Expectation and maximisation in turn, from a first guess of the probability that each label holds.

    Args:
        replies: `Q x 2 W` counts by worker and reply (no, yes).
        start_Q: the first guess.
        o: how.
    """
    asked_Q = np.asarray(replies.sum(axis=1)) > 0
    total_WR = np.asarray(replies.sum(axis=0)).reshape(-1, 2)
    by_worker = replies.T.tocsr()
    probability_Q = np.where(asked_Q, start_Q, 0.0)
    trust_W, spam_WR = np.full(len(total_WR), 0.5), np.full((len(total_WR), 2), 0.25)
    honest_W = spammed_W = np.zeros(len(total_WR))
    spammed_WR = np.zeros((len(total_WR), 2))
    done = 0
    for _ in range(o.iterations):
        done += 1
        # Expected replies that are honest: those that agree with the truth, times how probable honesty then is.
        agree_WR = np.asarray(by_worker @ probability_Q).reshape(-1, 2)
        agree_WR[:, 0] = total_WR[:, 0] - agree_WR[:, 0]
        honest_WR = agree_WR * (trust_W[:, None] / (trust_W[:, None] + spam_WR))
        spammed_WR = np.maximum(total_WR - honest_WR, 0)
        honest_W, spammed_W = honest_WR.sum(-1), spammed_WR.sum(-1)
        if o.method == "variational":
            both = digamma(honest_W + spammed_W + 2 * o.alpha)
            trust_W = np.exp(digamma(honest_W + o.alpha) - both)
            spams_W = np.exp(digamma(spammed_W + o.alpha) - both)
            habit_WR = np.exp(digamma(spammed_WR + o.beta) - digamma(spammed_W + 2 * o.beta)[:, None])
        else:
            trust_W = (honest_W + o.smoothing) / (honest_W + spammed_W + 2 * o.smoothing)
            spams_W = 1 - trust_W
            habit_WR = (spammed_WR + o.smoothing) / (spammed_W + 2 * o.smoothing)[:, None]
        spam_WR = spams_W[:, None] * habit_WR
        evidence_WR = np.log(trust_W[:, None] + spam_WR) - np.log(spam_WR)
        evidence_WR[:, 0] *= -1  # a "no" speaks against the label
        prior = 0.5
        if o.prior == "learn":
            prior = (float(probability_Q.sum()) + 1) / (int(asked_Q.sum()) + 2)
        logit_Q = np.log(prior / (1 - prior)) + replies @ evidence_WR.ravel()
        before_Q, probability_Q = probability_Q, np.where(asked_Q, expit(logit_Q), 0.0)
        if np.abs(probability_Q - before_Q).max(initial=0) <= o.tolerance:
            break
    share_W = (honest_W + o.alpha) / (honest_W + spammed_W + 2 * o.alpha)
    shares_WR = (spammed_WR + o.beta) / (spammed_W + 2 * o.beta)[:, None]
    return Fitted(probability_Q, share_W, shares_WR, done)
