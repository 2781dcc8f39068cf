"""People's answers from anywhere: a CSV file with a row an answer, into the store.

Columns: `video_id`, `worker`, `labels` (names separated by `|`; empty: chose none); optional `rating` (yes or maybe,
one for all or one a label, separated by `|`), `verdict` (approved or rejected), `reviewer`, `no_match`, `review`,
`unsuitable` (1 or 0), `started_s`, `submitted_s`, `round`, `note`. Amazon Mechanical Turk's result columns
(`WorkerId`, `Input.video_id`, `Answer.selected`, `AssignmentStatus`) are known too.

A row that cannot be taken is named by row and column and written to a file of its own; all others are stored. Importing
a file again stores nothing twice, so a run that was cut short is simply repeated.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from secondlook.annotate.intake import RATINGS, Answer, Rating, Verdict
from secondlook.annotate.lookups import AT_ONCE, chunks
from secondlook.annotate.store import Store
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace

REQUIRED = ("video_id", "worker", "labels")
OPTIONAL = (
    "rating", "verdict", "reviewer", "no_match", "review", "unsuitable", "started_s", "submitted_s", "round", "note",
)  # fmt: skip
ALIASES = {
    "workerid": "worker",
    "input.video_id": "video_id",
    "answer.selected": "labels",
    "assignmentstatus": "verdict",
}
SEPARATOR = "|"
_VERDICTS = {"approved": True, "approve": True, "rejected": False, "reject": False, "": None, "submitted": None}
_FLAGS = {"1": True, "true": True, "yes": True, "x": True, "0": False, "false": False, "no": False, "": False}


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


def read_answers(
    store: Store, path: str | Path, rejected: str | Path | None = None, advance: Callable[[int], object] | None = None
) -> Imported:
    """Stores the answers of a CSV file.

    Args:
        store: where to.
        path: the file, UTF-8.
        rejected: where rows that cannot be taken are written, with the reason; by default beside the file, with
            `.rejected.csv` for its ending. They hold what the file holds, raw ids of workers included, so they do not
            go into the store's folder.
        advance: called with the number of rows done, for a progress bar.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not UTF-8, not CSV or lacks a column; nothing is stored then.
    """
    path = Path(path)
    result = Imported()
    header, result.ignored_columns, result.rows = _check(path)
    clash = next((name for name in store.labels.names if SEPARATOR in name), None)
    if clash is not None:
        raise BadValue(clash, f"a label that holds {SEPARATOR!r} cannot be told from two labels", "Rename this label.")
    task_ids = store.task_ids()
    refused: list[tuple[Problem, list[str]]] = []
    for numbered in chunks(enumerate(_rows(path), start=2), AT_ONCE):
        good: list[tuple[int, list[str], Answer, bool | None, dict[str, str]]] = []
        for number, cells in numbered:
            if not cells:  # an empty line
                continue
            try:
                given = _named(header, cells)
                good.append((number, cells, _answer(given, task_ids, store.labels), _verdict(given), given))
            except _BadCell as bad:
                refused.append((Problem(number, bad.column, bad.words), cells))
        verdicts = []
        receipts = store.offer([answer for _, _, answer, _, _ in good])
        for receipt, (number, cells, answer, approved, given) in zip(receipts, good, strict=True):
            if receipt.problem:
                words = f"{receipt.problem.rule}. {receipt.problem.cure}".strip()
                refused.append((Problem(number, receipt.problem.about, words), cells))
                continue
            result.stored += receipt.new
            result.already_there += not receipt.new
            result.blank += answer.blank
            if approved is not None:
                verdicts.append(Verdict(receipt.answer_id, approved, given.get("reviewer") or "import"))
            if receipt.new and given.get("note"):
                store.note(answer.task_id, answer.worker, given["note"], answer.submitted_s)
        result.verdicts += store.judge(verdicts)
        if advance:
            advance(len(numbered))
    refused.sort(key=lambda pair: pair[0].row)
    result.problems = [problem for problem, _ in refused]
    if refused:
        result.rejected_file = Path(rejected) if rejected else path.with_suffix(".rejected.csv")
        with result.rejected_file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*_header(path), "rejected_row", "rejected_why"])
            width = len(header)
            for problem, cells in refused:
                writer.writerow([*(cells + [""] * width)[: max(width, len(cells))], problem.row, str(problem)])
    return result


def read_video_ids(store: Store, path: str | Path) -> list[int]:
    """Task numbers of the videos that a CSV file lists in its column `video_id`.

    Raises:
        MissingFile: if there is no such file.
        UnknownName: if it has no such column.
        BadValue: if it lists a video that is not of this campaign.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Write it with `secondlook reassess --repost FILE`.")
    header = _header(path)
    if "video_id" not in header:
        raise UnknownName("column", "video_id", header)
    at, task_ids, found = header.index("video_id"), store.task_ids(), []
    for number, cells in enumerate(_rows(path), start=2):
        video_id = cells[at].strip() if len(cells) > at else ""
        if cells and video_id not in task_ids:
            raise BadValue(video_id, f"row {number}, column video_id: is not a video of this campaign")
        found += [task_ids[video_id]] if cells else []
    return found


def _check(path: Path) -> tuple[list[str], list[str], int]:
    """The known name of each column ("" for one that is ignored), the ignored columns, the number of rows."""
    if not path.is_file():
        raise MissingFile(path, "Give a CSV file with the columns video_id, worker, labels.")
    written = _header(path)
    header = []
    for text in written:
        name = text.strip().casefold()
        name = ALIASES.get(name, name)
        header.append(name if name in REQUIRED + OPTIONAL else "")
    for name in REQUIRED:
        if name not in header:
            raise UnknownName("column", name, written, f"{path.name} needs {', '.join(REQUIRED)}, separated by commas.")
    twice = {name for name in header if name and header.count(name) > 1}
    if twice:
        raise BadValue(sorted(twice)[0], f"this column stands twice in {path.name}", "Keep one.")
    return (
        header,
        [w for w, name in zip(written, header, strict=True) if not name],
        sum(1 for cells in _rows(path) if cells),
    )


def _header(path: Path) -> list[str]:
    first = next(_records(path), None)
    if first is None:
        raise BadValue(str(path), "is empty", f"The first line names the columns: {', '.join(REQUIRED)}.")
    return first


def _rows(path: Path) -> Iterator[list[str]]:
    records = _records(path)
    next(records, None)
    return records


def _records(path: Path) -> Iterator[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            yield from reader
        except UnicodeDecodeError as error:
            rule = f"is not UTF-8 text (after line {reader.line_num}: {error.reason})"
            raise BadValue(str(path), rule, "Save it as CSV UTF-8.") from None
        except csv.Error as error:
            raise BadValue(str(path), f"is not proper CSV (line {reader.line_num}: {error})", "Mend it.") from None


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise _BadCell(str(min(len(cells), len(header)) + 1), f"there are {len(cells)} cells, the header {len(header)}")
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name}


def _answer(given: dict[str, str], task_ids: dict[str, int], labels: LabelSpace) -> Answer:
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


def _choices(given: dict[str, str], labels: LabelSpace) -> dict[int, Rating]:
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


def _verdict(given: dict[str, str]) -> bool | None:
    text = given.get("verdict", "").casefold()
    if text not in _VERDICTS:
        raise _BadCell("verdict", f"{text!r} must be approved, rejected or empty")
    return _VERDICTS[text]


def _flag(given: dict[str, str], name: str) -> bool:
    text = given.get(name, "").casefold()
    if text not in _FLAGS:
        raise _BadCell(name, f"{text!r} must be 1 or 0")
    return _FLAGS[text]


def _number(given: dict[str, str], name: str) -> float | None:
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
