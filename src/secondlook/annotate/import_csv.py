"""People's answers from anywhere: a CSV file with a row an answer, into the store.

Columns: `video_id`, `worker`, `labels` (names separated by `|`; empty: chose none); optional `rating` (yes or maybe,
one for all or one a label, separated by `|`), `verdict` (approved or rejected), `reviewer`, `no_match`, `review`,
`unsuitable` (1 or 0), `started_s`, `submitted_s`, `round`, `note`. Amazon Mechanical Turk's result columns
(`WorkerId`, `Input.video_id`, `Answer.selected`, `AssignmentStatus`, `AssignmentId`) are known too.

A row that cannot be taken is named by row and column and written to a file of its own; all others are stored. Importing
a file again stores nothing twice, so a run that was cut short is simply repeated.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from secondlook.annotate.rows import OPTIONAL, REQUIRED, Imported, Row, take
from secondlook.annotate.store import Store
from secondlook.errors import BadValue, MissingFile, UnknownName

ALIASES = {
    "workerid": "worker",
    "input.video_id": "video_id",
    "answer.selected": "labels",
    "answer.no_match": "no_match",
    "answer.unsuitable": "unsuitable",
    "assignmentstatus": "verdict",
    "assignmentid": "assignment",
}


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
    platform = "mturk" if "assignment" in header else ""
    aside = Path(rejected) if rejected else path.with_suffix(".rejected.csv")
    return take(store, _numbered(path, header), _header(path), aside, result, platform=platform, advance=advance)


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


def _numbered(path: Path, header: list[str]) -> Iterator[Row]:
    for number, cells in enumerate(_rows(path), start=2):
        if not cells:  # an empty line
            continue
        if len(cells) != len(header):
            words = f"there are {len(cells)} cells, the header {len(header)}"
            yield Row(number, {}, cells, (str(min(len(cells), len(header)) + 1), words))
        else:
            given = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name}
            yield Row(number, given, cells)
