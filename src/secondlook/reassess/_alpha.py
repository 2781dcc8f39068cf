"""Krippendorff's alpha of answers that are sets of labels: any number of answers a task, some missing.

K. Krippendorff, "Content Analysis", 4th ed., 2018, chapter 12; with `m_u` ratings of task `u`, `n` ratings in all tasks
that have two or more, `d` the distance of two sets:

    alpha = 1 - D_o / D_e
    D_o = 1 / n sum_u 1 / (m_u - 1) sum over ordered pairs within u of d
    D_e = 1 / (n (n - 1)) sum over all ordered pairs of d

* "jaccard": `d = 1 - |A and B| / |A or B|`; two empty sets are at distance 0.
* "masi": `d = 1 - J M`, J the Jaccard index and M = 1 for equal sets, 2/3 if one holds the other, 1/3 if they overlap,
  0 if not. R. Passonneau, "Measuring Agreement on Set-valued Items (MASI) for Semantic and Pragmatic Annotation", 2006.
* "nominal": 0 for equal sets, else 1.

Sets without a label in common are at distance 1, so `D_e` is a sum over pairs of different sets that overlap: a sparse
product, whatever the number of answers. With counts `c` of the sets, `c' S c` is what it takes; where there are
more than `EXACT` different sets, its value for drawn counts `c + e` is taken to first order, `c' S c + 2 e' S c` (what
is left out is of the order of one in the number of tasks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]

from secondlook.annotate.answers import Bools, Ints, Votes
from secondlook.reassess._bootstrap import Resamples, ratio
from secondlook.reassess._questions import Floats

Distance = Literal["jaccard", "masi", "nominal"]
DISTANCES: tuple[Distance, ...] = ("masi", "jaccard", "nominal")
_ROWS_AT_ONCE = 2000
EXACT = 3000


def similarity(distance: Distance, both: Floats, first: Floats, second: Floats) -> Floats:
    """1 - distance of sets with `first` and `second` labels, of which `both` are shared."""
    union = first + second - both
    jaccard = np.divide(both, union, out=np.ones_like(union), where=union > 0)
    if distance == "jaccard":
        return np.asarray(jaccard)
    equal = (both == first) & (both == second)
    if distance == "nominal":
        return np.asarray(equal, dtype=np.float64)
    inside = (both == first) | (both == second)
    return np.asarray(jaccard * np.where(equal, 1.0, np.where(inside, 2 / 3, np.where(both > 0, 1 / 3, 0.0))))


def pairs(task_A: Ints) -> tuple[Ints, Ints]:
    """Every pair of places with the same task, once."""
    order = np.argsort(task_A, kind="stable")
    _, first, size = np.unique(task_A[order], return_index=True, return_counts=True)
    of_A = np.repeat(np.arange(len(size)), size)
    later_A = (first + size)[of_A] - np.arange(len(order)) - 1  # answers after this one in its task
    left = np.repeat(np.arange(len(order)), later_A)
    right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(later_A) - later_A, later_A)
    return order[left], order[right]


def sets(votes: Votes, rating_A: Bools) -> tuple[sparse.csr_array, Ints]:
    """Different label sets among these answers, `U x K` of 0 and 1, and which one each answer is (-1: none)."""
    labels = int(votes.label_C.max(initial=0)) + 1
    use_C = rating_A[votes.answer_C]
    shape = (len(votes.task_A), labels)
    chosen_AK = sparse.csr_array((np.ones(int(use_C.sum())), (votes.answer_C[use_C], votes.label_C[use_C])), shape)
    # Two independent 64-bit sums of random numbers, one a label, name a set.
    generator = np.random.default_rng(0)
    names_K2 = generator.integers(0, 2**63, (labels, 2), dtype=np.uint64)
    names_A2 = np.zeros((len(votes.task_A), 2), np.uint64)
    np.add.at(names_A2, votes.answer_C[use_C], names_K2[votes.label_C[use_C]])
    rated = np.flatnonzero(rating_A)
    key = names_A2[rated, 0] ^ (names_A2[rated, 1] >> np.uint64(1))
    _, first, code = np.unique(key, return_index=True, return_inverse=True)
    code_A = np.full(len(votes.task_A), -1, np.int64)
    code_A[rated] = code
    return chosen_AK[rated[first]], code_A


def alphas(votes: Votes, rating_A: Bools, draws: Resamples) -> Mapping[Distance, Floats]:
    """Alpha by each distance, over all draws; NaN where no two answers differ by chance.

    Args:
        votes: every answer.
        rating_A: answers that are ratings; the others are missing.
        draws: tasks drawn again.
    """
    tasks = len(votes.tasks_N)
    m_N = np.bincount(votes.task_A[rating_A], minlength=tasks)
    use_A = rating_A & (m_N >= 2)[votes.task_A]
    sets_UK, code_A = sets(votes, use_A)
    size_U = np.asarray(sets_UK.sum(axis=1))
    rated = np.flatnonzero(use_A)
    left, right = pairs(votes.task_A[rated])
    left, right = rated[left], rated[right]
    n_B = np.where(m_N >= 2, m_N, 0) @ draws.times_NB
    counts_NU = sparse.csr_array(
        (np.ones(len(rated)), (votes.task_A[rated], code_A[rated])), shape=(tasks, len(size_U))
    )
    times_UB = np.asarray(counts_NU.T @ draws.times_NB)
    shared_Q = shared(sets_UK, code_A[left], code_A[right])
    alike_B = {name: np.zeros(len(n_B)) for name in DISTANCES}
    for start in range(0, len(size_U), _ROWS_AT_ONCE):
        block = (sets_UK[start : start + _ROWS_AT_ONCE] @ sets_UK.T).tocoo()
        row, column = block.row + start, block.col
        for name in DISTANCES:
            like = similarity(name, block.data, size_U[row], size_U[column])
            here_UB = times_UB[start : start + _ROWS_AT_ONCE]
            if len(size_U) <= EXACT:
                matrix = sparse.csr_array((like, (block.row, column)), shape=block.shape)
                alike_B[name] += (here_UB * (matrix @ times_UB)).sum(0)
            else:
                alike_U = np.bincount(block.row, weights=like * times_UB[column, 0], minlength=block.shape[0])
                alike_B[name] += (2 * here_UB - here_UB[:, :1]).T @ alike_U
    empty_B = times_UB[size_U == 0].sum(0)
    found: dict[Distance, Floats] = {}
    for name in DISTANCES:
        like_Q = similarity(name, shared_Q, size_U[code_A[left]], size_U[code_A[right]])
        apart_N = np.bincount(votes.task_A[left], weights=2 * (1 - like_Q), minlength=tasks) / np.maximum(m_N - 1, 1)
        observed_B = ratio(apart_N @ draws.times_NB, n_B)
        expected_B = ratio(n_B**2 - alike_B[name] - empty_B**2, n_B * (n_B - 1))
        found[name] = 1 - ratio(observed_B, np.where(expected_B > 1e-12, expected_B, 0.0))
    return found


def shared(sets_UK: sparse.csr_array, left: Ints, right: Ints) -> Floats:
    """Labels that the sets of each pair share."""
    if not len(left):
        return np.zeros(0)
    return np.asarray(sets_UK[left].multiply(sets_UK[right]).sum(axis=1), dtype=np.float64)
