"""Answers as rows of text, from any file: checked, stored in chunks; every row that cannot be taken is named and kept.

A row is a dictionary with `video_id` (or the video's pseudonym), `worker`, `labels` (names separated by `|`; empty:
chose none), and where there are any `rating`, `verdict`, `reviewer`, `no_match`, `review`, `unsuitable`, `started_s`,
`submitted_s`, `round`, `note`, and `assignment` (what a platform calls the answer).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondlook.annotate import outside
from secondlook.annotate.intake import RATINGS, Answer, Rating, Verdict
from secondlook.annotate.lookups import AT_ONCE, chunks
from secondlook.annotate.store import Store
from secondlook.annotate.workers import pseudonym
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace

REQUIRED = ("video_id", "worker", "labels")
OPTIONAL = (
    "rating", "verdict", "reviewer", "no_match", "review", "unsuitable", "started_s", "submitted_s", "round", "note",
    "assignment",
)  # fmt: skip
SEPARATOR = "|"
_VERDICTS = {"approved": True, "approve": True, "rejected": False, "reject": False, "": None, "submitted": None}
_FLAGS = {"1": True, "true": True, "yes": True, "x": True, "0": False, "false": False, "no": False, "": False}


@dataclass(frozen=True)
class Row:
    """One answer as a file gives it."""

    number: int
    """Where it stands in the file; a spreadsheet counts its header as row 1."""
    given: Mapping[str, str]
    cells: Sequence[str]
    """As the file holds it, to be written to the file of refused rows."""
    problem: tuple[str, str] | None = None
    """Column and words, if it could not even be read."""


@dataclass(frozen=True)
class Problem:
    """Why a row was not taken."""

    row: int
    """As a spreadsheet counts: the header is row 1."""
    column: str
    words: str

    def __str__(self) -> str:
        """A line for people."""
        return f"row {self.row}, column {self.column}: {self.words}"


@dataclass
class Imported:
    """What became of a file."""

    rows: int = 0
    stored: int = 0
    already_there: int = 0
    blank: int = 0
    """Rows without a choice and without a flag that says why."""
    verdicts: int = 0
    problems: list[Problem] = field(default_factory=list)
    ignored_columns: list[str] = field(default_factory=list)
    rejected_file: Path | None = None
    """Where the refused rows stand, if there are any."""


class _BadCell(Exception):  # noqa: N818 - never leaves this file
    def __init__(self, column: str, words: str) -> None:
        self.column, self.words = column, words
        super().__init__(words)


def take(
    store: Store,
    rows: Iterable[Row],
    header: Sequence[str],
    rejected: Path,
    result: Imported,
    *,
    platform: str = "",
    advance: Callable[[int], object] | None = None,
) -> Imported:
    """Stores the answers of `rows`, in chunks; refused ones are listed in `result` and written to `rejected`.

    Args:
        store: where to.
        rows: see the top of this file.
        header: names of `Row.cells`, for the file of refused rows.
        rejected: file to write if a row is refused. It holds what the file held, raw ids of workers included.
        result: filled in and given back.
        platform: where `assignment` is the name of an answer; that name is kept for decisions.
        advance: called with the number of rows done, for a progress bar.

    Raises:
        BadValue: if a label of the campaign holds the separator, so that two labels could not be told from one.
    """
    clash = next((name for name in store.labels.names if SEPARATOR in name), None)
    if clash is not None:
        raise BadValue(clash, f"a label that holds {SEPARATOR!r} cannot be told from two labels", "Rename this label.")
    task_ids = store.task_ids()
    key = store.key()
    task_ids |= {pseudonym(key, video_id, "v"): task_id for video_id, task_id in task_ids.items()}
    refused: list[tuple[Problem, Sequence[str]]] = []
    for chunk in chunks(rows, AT_ONCE):
        good: list[tuple[Row, Answer, bool | None]] = []
        for row in chunk:
            try:
                if row.problem:
                    raise _BadCell(*row.problem)
                good.append((row, _answer(row.given, task_ids, store.labels), _verdict(row.given)))
            except _BadCell as bad:
                refused.append((Problem(row.number, bad.column, bad.words), row.cells))
        verdicts, named = [], {}
        receipts = store.offer([answer for _, answer, _ in good])
        for receipt, (row, answer, approved) in zip(receipts, good, strict=True):
            if receipt.problem:
                words = f"{receipt.problem.rule}. {receipt.problem.cure}".strip()
                refused.append((Problem(row.number, receipt.problem.about, words), row.cells))
                continue
            result.stored += receipt.new
            result.already_there += not receipt.new
            result.blank += answer.blank
            if approved is not None:
                verdicts.append(Verdict(receipt.answer_id, approved, row.given.get("reviewer") or "import"))
            if receipt.new and row.given.get("note"):
                store.note(answer.task_id, answer.worker, row.given["note"], answer.submitted_s)
            if platform and row.given.get("assignment"):
                named[receipt.answer_id] = row.given["assignment"]
        result.verdicts += store.judge(verdicts)
        if named:
            outside.name_answers(store, platform, named)
        if advance:
            advance(len(chunk))
    refused.sort(key=lambda pair: pair[0].row)
    result.problems = [problem for problem, _ in refused]
    if refused:
        result.rejected_file = rejected
        with rejected.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*header, "rejected_row", "rejected_why"])
            width = len(header)
            for problem, cells in refused:
                padded = [*cells, *[""] * width][: max(width, len(cells))]
                writer.writerow([*padded, problem.row, str(problem)])
    return result


def _answer(given: Mapping[str, str], task_ids: dict[str, int], labels: LabelSpace) -> Answer:
    if given["video_id"] not in task_ids:
        raise _BadCell("video_id", f"{given['video_id']!r} is not a video of this campaign")
    number = _number(given, "round")
    return Answer(
        task_ids[given["video_id"]],
        given["worker"],
        _choices(given, labels),
        no_match=_flag(given, "no_match"),
        review=_flag(given, "review"),
        unsuitable=_flag(given, "unsuitable"),
        started_s=_number(given, "started_s"),
        submitted_s=_number(given, "submitted_s"),
        round=None if number is None else int(number),
    )


def _choices(given: Mapping[str, str], labels: LabelSpace) -> dict[int, Rating]:
    texts = [text.strip() for text in given["labels"].split(SEPARATOR) if text.strip()]
    ratings = [r.strip().casefold() for r in given.get("rating", "").split(SEPARATOR)]
    if len(ratings) == 1:
        ratings *= len(texts)
    if len(ratings) != len(texts):
        raise _BadCell("rating", f"there are {len(ratings)} ratings for {len(texts)} labels; give one for all or each")
    choices: dict[int, Rating] = {}
    for text, rating in zip(texts, ratings, strict=True):
        try:
            label = labels.index_of(text)
        except UnknownName as error:
            raise _BadCell("labels", str(error)) from None
        if label in choices:
            raise _BadCell("labels", f"{text!r} is named twice")
        known = next((r for r in RATINGS if r == (rating or "yes")), None)
        if known is None:
            raise _BadCell("rating", f"{rating!r} must be yes or maybe")
        choices[label] = known
    return choices


def _verdict(given: Mapping[str, str]) -> bool | None:
    text = given.get("verdict", "").casefold()
    if text not in _VERDICTS:
        raise _BadCell("verdict", f"{text!r} must be approved, rejected or empty")
    return _VERDICTS[text]


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "").casefold()
    if text not in _FLAGS:
        raise _BadCell(name, f"{text!r} must be 1 or 0")
    return _FLAGS[text]


def _number(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name == "round" and value != int(value)):
        raise _BadCell(name, f"{text!r} must be a {'whole ' if name == 'round' else ''}number")
    return value
