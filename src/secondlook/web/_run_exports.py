"""CSV files for spreadsheets, sent line by line: no cell is one that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from secondlook.annotate.export_csv import write_answers, write_decisions, write_questions
from secondlook.annotate.store import Store

EXPORTS: Mapping[str, Callable[[Store, Path], object]] = {
    "answers": write_answers,
    "decisions": write_decisions,
    "questions": write_questions,
}
"""File name -> what writes it; the verbs `secondlook annotate export, decisions, questions` write the same rows."""
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_AT_ONCE = 500


def safe_cell(text: str) -> str:
    """The text with a `'` before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_STARTS) else text


def safe_lines(store: Store, name: str) -> Iterator[str]:
    """The lines of an export, some hundred at once; its file lies in a private place until they are sent."""
    with tempfile.TemporaryDirectory(prefix="secondlook-") as folder:
        path = Path(folder) / "export.csv"
        EXPORTS[name](store, path)
        yield from safe_rows(path)


def safe_rows(path: Path) -> Iterator[str]:
    """The lines of a CSV file with safe cells, some hundred at once."""
    with path.open(newline="", encoding="utf-8") as file:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        for number, row in enumerate(csv.reader(file), start=1):
            writer.writerow([safe_cell(cell) for cell in row])
            if number % _AT_ONCE == 0:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()
