"""Answers as one long table (task, worker, label, verdict ...), and as index arrays that rules can count with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from secondlook.errors import BadValue
from secondlook.tables import UNLABELLED

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

COLUMNS = {
    "task": "video_id of the question",
    "worker": "pseudonym; null in the one row of a task that nobody has answered",
    "label": f"a chosen label's index; {UNLABELLED} in the one row of an answer that chose none",
    "verdict": "approved, rejected, or empty while nobody has judged the answer",
    "given_label": f"label under suspicion; {UNLABELLED} where there is none",
    "round": "1; 2 for an answer that came after the task was posted again",
    "rating": "yes or maybe",
    "no_match": "the worker said that no label fits",
    "review": "the worker asked for a second look",
    "unsuitable": "the worker said that the clip should not be shown to anyone",
    "options": "labels that the task showed, separated by spaces; on one row of the task or on all",
}
"""Columns of an answers table, a row a chosen label. Only the first three are required."""
VERDICTS = ("approved", "rejected", "")


@dataclass(frozen=True)
class Votes:
    """A answers to N tasks by W workers, with C choices, as index arrays; answers in order of (task, worker, round)."""

    tasks_N: npt.NDArray[np.object_]
    """video_ids in ascending order."""
    given_N: Ints
    workers_W: npt.NDArray[np.object_]
    task_A: Ints
    worker_A: Ints
    round_A: Ints
    approved_A: Bools
    rejected_A: Bools
    no_match_A: Bools
    review_A: Bools
    unsuitable_A: Bools
    answer_C: Ints
    label_C: Ints
    maybe_C: Bools
    task_O: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Task and label of each option that was shown, ascending; empty where the table does not say."""
    label_O: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def chosen_A(self) -> Ints:
        """Labels chosen in each answer."""
        return np.bincount(self.answer_C, minlength=len(self.task_A)).astype(np.int64)

    @property
    def blank_A(self) -> Bools:
        """Answers without a choice and without a flag that says why: `no_match` and `unsuitable` are statements."""
        return np.asarray((self.chosen_A == 0) & ~self.no_match_A & ~self.unsuitable_A, dtype=np.bool_)

    @property
    def judged_A(self) -> Bools:
        """Answers that have a verdict."""
        return self.approved_A | self.rejected_A


def count(answers: pa.Table | pd.DataFrame) -> Votes:
    """Index arrays of an answers table; a label that one answer names twice counts once.

    Raises:
        BadValue: if a column is missing or holds what it may not, naming the column.
    """
    frame = answers.to_pandas() if isinstance(answers, pa.Table) else answers
    for name in ("task", "worker", "label"):
        if name not in frame.columns:
            raise BadValue(name, "this column is missing from the answers", COLUMNS[name].capitalize() + ".")
    task, tasks_N = _codes(frame["task"], "task")
    worker, workers_W = _codes(frame["worker"], "worker")
    given_N = np.full(len(tasks_N), UNLABELLED, np.int64)
    given_N[task] = _integers(frame, "given_label", UNLABELLED)
    task_O, label_O = _options(frame, task)
    is_answer = worker >= 0
    frame, task, worker = frame[is_answer], task[is_answer], worker[is_answer]
    round_R = _integers(frame, "round", 1)

    key = (task * max(len(workers_W), 1) + worker) * (int(round_R.max(initial=0)) + 1) + round_R
    _, first, answer = np.unique(key, return_index=True, return_inverse=True)
    label = _integers(frame, "label", UNLABELLED)
    if (label < UNLABELLED).any():
        raise BadValue(int(label.min()), f"a label is an index, or {UNLABELLED} for an answer that chose none")
    chosen = label != UNLABELLED
    maybe = (_texts(frame, "rating", ("yes", "maybe", "")) == 1)[chosen]
    width = int(label.max(initial=0)) + 1
    pairs, where = np.unique(answer[chosen] * width + label[chosen], return_index=True)
    verdict_A = _texts(frame, "verdict", VERDICTS, default=2)[first]
    return Votes(
        tasks_N=tasks_N,
        given_N=given_N,
        workers_W=workers_W,
        task_A=task[first],
        worker_A=worker[first],
        round_A=round_R[first],
        approved_A=verdict_A == 0,
        rejected_A=verdict_A == 1,
        no_match_A=_flags(frame, "no_match")[first],
        review_A=_flags(frame, "review")[first],
        unsuitable_A=_flags(frame, "unsuitable")[first],
        answer_C=pairs // width,
        label_C=pairs % width,
        maybe_C=maybe[where],
        task_O=task_O,
        label_O=label_O,
    )


def _codes(column: Any, name: str) -> tuple[Ints, npt.NDArray[np.object_]]:
    """Index of each row's text among all texts in ascending order; -1 for a null."""
    codes, values = pd.factorize(column)
    if name == "task" and (codes < 0).any():
        raise BadValue(name, "this column of the answers holds a null", "Every row names its task.")
    texts = np.array([str(value) for value in values], dtype=object)
    order = np.argsort(texts)
    rank = np.append(np.argsort(order), -1)  # the last place answers for code -1
    return rank[codes].astype(np.int64), texts[order]


def _integers(frame: pd.DataFrame, name: str, default: int) -> Ints:
    if name not in frame.columns:
        return np.full(len(frame), default, np.int64)
    numbers = pd.to_numeric(frame[name], errors="coerce")
    values = numbers.fillna(default).to_numpy()
    if (numbers.isna() & frame[name].notna()).any() or not (values == values.astype(np.int64)).all():
        raise BadValue(name, "this column of the answers must hold whole numbers")
    return np.asarray(values, dtype=np.int64)


def _options(frame: pd.DataFrame, task_R: Ints) -> tuple[Ints, Ints]:
    """Task and label of each option that was shown, ascending."""
    if "options" not in frame.columns:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    code_R, texts = pd.factorize(frame["options"])
    pairs = np.unique(np.stack([task_R, code_R])[:, code_R >= 0], axis=1)
    try:
        shown = [np.array(str(text).split(), np.int64) for text in texts]
    except ValueError:
        raise BadValue("options", "must hold labels by index, separated by spaces", 'For example "3 0 17".') from None
    sizes = np.array([len(x) for x in shown], np.int64)
    flat = np.concatenate([np.zeros(0, np.int64), *shown])
    starts = np.cumsum(sizes) - sizes
    length = sizes[pairs[1]]
    at = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + np.repeat(starts[pairs[1]], length)
    width = int(flat.max(initial=0)) + 1
    if (flat < 0).any():
        raise BadValue(int(flat.min()), "an option is a label's index, 0 or more")
    key = np.unique(np.repeat(pairs[0], length) * width + flat[at])
    return key // width, key % width


def _flags(frame: pd.DataFrame, name: str) -> Bools:
    if name not in frame.columns:
        return np.zeros(len(frame), np.bool_)
    return np.asarray(frame[name].fillna(False).to_numpy(), dtype=np.bool_)


def _texts(frame: pd.DataFrame, name: str, allowed: tuple[str, ...], default: int = 0) -> Ints:
    """Index in `allowed` of each row's text."""
    if name not in frame.columns:
        return np.full(len(frame), default, np.int64)
    values = pd.Categorical(frame[name].astype(object).fillna(allowed[default]))
    unknown = [v for v in values.categories if v not in allowed]
    if unknown:
        raise BadValue(unknown[0], f"{name} must be one of {', '.join(repr(a) for a in allowed)}")
    index = np.array([allowed.index(v) for v in values.categories], np.int64)
    return np.asarray(index[values.codes], dtype=np.int64)


def fingerprint(answers: pa.Table) -> str:
    """SHA-256 of an answers table's content, in row order: the same answers give the same text."""
    frame = answers.to_pandas()
    digest = hashlib.sha256(",".join(frame.columns).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()
