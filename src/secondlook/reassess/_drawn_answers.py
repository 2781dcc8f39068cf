"""Answers of simulated people as a table in memory, all at once: the models of `annotate.simulate` without a store.

Same kinds of workers, same reviewer, same numbers in `Crowd`; not the same draws, because here all answers are drawn
together. For studies that simulate thousands of campaigns.

Legend of shapes: N tasks, A answers (`votes` a task, then one a task of the colluders' leader), V (answer, option).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from secondlook.annotate.answers import VERDICTS, Ints
from secondlook.annotate.simulate import SPAM, Crowd, Kind, picks
from secondlook.annotate.tasks import Task, deal
from secondlook.errors import BadValue
from secondlook.tables import UNLABELLED

_RATINGS = ("", "yes", "maybe")


def draw(
    tasks: Sequence[Task],
    true_labels: Mapping[str, Collection[int]],
    *,
    votes: int = 3,
    crowd: Crowd | None = None,
    seed: int = 0,
) -> tuple[pa.Table, tuple[Kind, ...]]:
    """An answers table (`annotate.answers.COLUMNS`), judged by the simulated reviewer; and each worker's kind.

    Workers are named "w000", "w001", ... in the order of the kinds.

    Raises:
        BadValue: if the true labels of a task's video are not known, or there are fewer workers than votes.
    """
    crowd = crowd or Crowd()
    generator = np.random.default_rng(seed)
    for task in tasks:
        if task.video_id not in true_labels:
            raise BadValue(task.video_id, "the true labels of this video are not known", "Simulate on drawn videos.")
    kinds = tuple(crowd.kinds(generator))
    size_N = np.array([len(task.options) for task in tasks], np.int64)
    label_O = np.array([label for task in tasks for label in task.options], np.int64)
    holds_O = np.array([label in true_labels[task.video_id] for task in tasks for label in task.options], np.bool_)
    first_N = np.cumsum(size_N) - size_N

    count = len(tasks)
    worker_A = np.append(deal(count, crowd.workers, votes, generator).ravel(), np.full(count, -1))
    task_A = np.append(np.repeat(np.arange(count), votes), np.arange(count))
    known: list[Kind] = sorted({*kinds, crowd.leader})
    code_W = np.array([known.index(kind) for kind in (*kinds, crowd.leader)])  # the last place is the leader's
    code_A = code_W[worker_A]
    size_A = size_N[task_A]
    answer_V = np.repeat(np.arange(len(task_A)), size_A)
    place_V = np.arange(len(answer_V)) - np.repeat(np.cumsum(size_A) - size_A, size_A)
    option_V = first_N[task_A[answer_V]] + place_V
    chosen_V = _chosen(known, code_A, answer_V, place_V, holds_O[option_V], crowd, generator)
    honest_A = ~np.isin(code_A, [known.index(kind) for kind in SPAM if kind in known])
    unsuitable_A = honest_A & (generator.random(len(task_A)) < crowd.slip)
    chosen_V &= ~unsuitable_A[answer_V]
    lies_A = np.array([kind == "adversary" for kind in known])[code_A]
    sure_V = (generator.random(len(answer_V)) < crowd.sure) == (holds_O[option_V] != lies_A[answer_V])
    sure_V |= ~honest_A[answer_V]

    if "colluder" in known:  # every colluder's answer is the leader's
        source_A = np.where(code_A == known.index("colluder"), count * votes + task_A, np.arange(len(task_A)))
        start_A = np.cumsum(size_A) - size_A
        from_V = start_A[source_A[answer_V]] + place_V
        chosen_V, sure_V = chosen_V[from_V], sure_V[from_V]
        unsuitable_A, honest_A = unsuitable_A[source_A], honest_A[source_A]
    listed_A, listed_V = worker_A >= 0, (worker_A >= 0)[answer_V]
    table = _table(
        tasks, [f"w{i:03}" for i in range(crowd.workers)],
        task_A[listed_A], worker_A[listed_A], unsuitable_A[listed_A], honest_A[listed_A],
        answer_V[listed_V], label_O[option_V[listed_V]], holds_O[option_V[listed_V]],
        chosen_V[listed_V], sure_V[listed_V], crowd.reviewer_error, generator,
    )  # fmt: skip
    return table, kinds


def _chosen(
    known: Sequence[Kind],
    code_A: Ints,
    answer_V: Ints,
    place_V: Ints,
    holds_V: npt.NDArray[np.bool_],
    crowd: Crowd,
    generator: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Which options each answer picks."""
    rates = np.array([(0.0, 0.0) if kind in SPAM else picks(kind, crowd)[::-1] for kind in known])  # [kind, holds]
    chosen_V = generator.random(len(answer_V)) < rates[code_A[answer_V], holds_V.astype(np.int64)]
    code_V = code_A[answer_V]
    if "spam_first" in known:
        chosen_V |= (code_V == known.index("spam_first")) & (place_V == 0)
    if "spam_random" in known:
        keys_V = generator.random(len(answer_V))
        rank_V = np.empty(len(answer_V), np.int64)
        rank_V[np.lexsort((keys_V, answer_V))] = place_V  # answers are contiguous: ranks run as places do
        size_A = generator.integers(1, 4, len(code_A))
        chosen_V |= (code_V == known.index("spam_random")) & (rank_V < size_A[answer_V])
    return np.asarray(chosen_V, dtype=np.bool_)


def _table(
    tasks: Sequence[Task],
    workers: Sequence[str],
    task_A: Ints,
    worker_A: Ints,
    unsuitable_A: npt.NDArray[np.bool_],
    honest_A: npt.NDArray[np.bool_],
    answer_V: Ints,
    label_V: Ints,
    holds_V: npt.NDArray[np.bool_],
    chosen_V: npt.NDArray[np.bool_],
    sure_V: npt.NDArray[np.bool_],
    error: float,
    generator: np.random.Generator,
) -> pa.Table:
    """The long table, a row a chosen label, with the verdicts of the simulated reviewer."""
    count = len(task_A)
    chosen_A = np.bincount(answer_V[chosen_V], minlength=count)
    right_A = np.bincount(answer_V[chosen_V & holds_V], minlength=count)
    fits_A = np.bincount(answer_V[holds_V], minlength=count) > 0
    no_match_A = honest_A & ~unsuitable_A & (chosen_A == 0)
    close_A = np.where(chosen_A > 0, 2 * right_A >= chosen_A, no_match_A & ~fits_A)
    blank_A = (chosen_A == 0) & ~no_match_A & ~unsuitable_A
    approved_A = ~blank_A & (close_A != (generator.random(count) < error))

    none_A = np.flatnonzero(chosen_A == 0)
    of_R = np.append(answer_V[chosen_V], none_A)
    label_R = np.append(label_V[chosen_V], np.full(len(none_A), UNLABELLED))
    rating_R = np.append(np.where(sure_V[chosen_V], 1, 2), np.zeros(len(none_A), np.int64))
    order = np.argsort(of_R, kind="stable")
    of_R, label_R, rating_R = of_R[order], label_R[order], rating_R[order]

    def texts(index_R: Ints, values: Sequence[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(index_R, pa.int32()), pa.array(list(values), pa.string()))

    task_R = task_A[of_R]
    shown, options_N = np.unique([" ".join(map(str, task.options)) for task in tasks], return_inverse=True)
    return pa.table(
        {
            "task": texts(task_R, [task.video_id for task in tasks]),
            "worker": texts(worker_A[of_R], workers),
            "label": label_R.astype(np.int32),
            "verdict": texts(np.where(approved_A[of_R], 0, 1), VERDICTS),
            "given_label": np.array([task.given_label for task in tasks], np.int32)[task_R],
            "rating": texts(rating_R, _RATINGS),
            "no_match": no_match_A[of_R],
            "unsuitable": unsuitable_A[of_R],
            "options": texts(options_N[task_R], shown.tolist()),
        }
    )
