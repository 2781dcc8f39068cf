"""Kappa of each label on its own, where "does this label hold?" has two answers and kappa is defined.

Over the questions of a label with two or more replies, `a` the share of pairs of replies that agree, averaged over
questions, and `p` the share of yes:

* `kappa = (a - e) / (1 - e)`, `e = p^2 + (1 - p)^2`: Fleiss' form, for any number of replies.
* `cohen`: the same with `e = p_1 p_2 + (1 - p_1) (1 - p_2)`, where two people, the same ones, answered everything.
  J. Cohen, "A coefficient of agreement for nominal scales", 1960.
* `pabak = 2 a - 1`: what kappa would be were yes and no equally frequent. T. Byrt, J. Bishop, J. B. Carlin, "Bias,
  prevalence and kappa", 1993. Rare labels have a low kappa however well people agree; look at both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]

from secondlook.reassess._bootstrap import Resamples, ratio
from secondlook.reassess._questions import NO, Floats, Questions


def by_label(questions: Questions, draws: Resamples) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row a label with `label`, `questions`, `prevalence`, `observed`, `kappa`, `pabak` (and `cohen`, where two
    people answered everything), each but the first two with its interval; and the means over labels.

    The mean is over labels for which a value is defined: it weighs rare labels like frequent ones.
    """
    replies_Q = questions.asked_Q
    use_Q = replies_Q >= 2
    yes_Q = questions.chosen_Q
    no_Q = replies_Q - yes_Q
    pairs_Q = np.maximum(replies_Q * (replies_Q - 1), 1)
    agree_Q = (yes_Q * (yes_Q - 1) + no_Q * (no_Q - 1)) / pairs_Q
    labels, at_Q = np.unique(questions.label_Q, return_inverse=True)
    rows, columns = at_Q[use_Q], questions.task_Q[use_Q]

    def total(values_Q: np.ndarray) -> Floats:
        """Sum over the questions of each label, by draw: K x (1 + B)."""
        shape = (len(labels), len(draws.times_NB))
        return np.asarray(sparse.csr_array((values_Q[use_Q], (rows, columns)), shape=shape) @ draws.times_NB)

    count_KB = total(np.ones(len(use_Q)))
    observed_KB = ratio(total(agree_Q), count_KB)
    yes_KB = ratio(total(yes_Q.astype(np.float64)), total(replies_Q.astype(np.float64)))
    values = {
        "prevalence": yes_KB,
        "observed": observed_KB,
        "kappa": _kappa(observed_KB, yes_KB**2 + (1 - yes_KB) ** 2),
        "pabak": 2 * observed_KB - 1,
    }
    two = _two_people(questions, use_Q)
    if two is not None:
        first_KB, second_KB = (ratio(total(of_Q), count_KB) for of_Q in two)
        values["cohen"] = _kappa(observed_KB, first_KB * second_KB + (1 - first_KB) * (1 - second_KB))
    kept = np.flatnonzero(count_KB[:, 0] > 0)
    table = [
        {"label": int(labels[k]), "questions": int(count_KB[k, 0])}
        | {name: draws.interval(of_KB[k]) for name, of_KB in values.items()}
        for k in kept
    ]
    means = {}
    for name in [n for n in values if n != "prevalence"]:
        known_KB = np.isfinite(values[name][kept])
        mean_B = ratio(np.where(known_KB, values[name][kept], 0.0).sum(0), known_KB.sum(0).astype(np.float64))
        means[name] = draws.interval(mean_B)
    return table, means


def _kappa(observed_KB: Floats, chance_KB: Floats) -> Floats:
    """NaN where chance agreement is whole: everyone always said the same."""
    return ratio(observed_KB - chance_KB, np.where(chance_KB < 1 - 1e-12, 1 - chance_KB, 0.0))


def _two_people(questions: Questions, use_Q: np.ndarray) -> tuple[Floats, Floats] | None:
    """Whether each of the two people said yes to each question; None unless exactly two replied, to the same ones."""
    workers = np.unique(questions.worker_V)
    if len(workers) != 2 or not use_Q.any() or (questions.asked_Q[use_Q] != 2).any():
        return None
    said_yes = []
    for worker in workers:
        of_V = (questions.worker_V == worker) & (questions.reply_V != NO)
        said_yes.append(np.bincount(questions.question_V[of_V], minlength=len(use_Q)).astype(np.float64))
    asked = [np.bincount(questions.question_V[questions.worker_V == w], minlength=len(use_Q)) for w in workers]
    if any((of_Q[use_Q] != 1).any() for of_Q in asked):
        return None
    return said_yes[0], said_yes[1]
