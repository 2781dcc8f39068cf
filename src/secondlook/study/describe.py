"""A study in words: what it compares, what it needs, its printed table."""

from __future__ import annotations

from typing import Any

from secondlook.study.options import words
from secondlook.study.plan import settings
from secondlook.study.schema import Row, Study


def facts(study: Study) -> dict[str, Any]:
    """One line of `study list`, JSON-ready."""
    runnable = [row.name for row in study.run_rows if not settings(study, row, tiny=True)[2]]
    return {
        "study": study.name, "title": study.title, "document": study.source.document, "table": study.source.table,
        "rows": len(study.rows), "run_rows": len(study.run_rows), "tiny_rows": len(runnable), "needs": needs(study),
    }  # fmt: skip


def needs(study: Study) -> list[str]:
    """What the table at its own scale needs."""
    found = [*study.needs.datasets, *study.needs.weights]
    found += [m for m in study.needs.modalities if m != "rgb"]
    return [*found, *(["a GPU"] if study.needs.gpu else [])]


def printed_table(study: Study) -> tuple[list[str], list[list[str]]]:
    """Headings, and the cells of each row; another work's row is marked with `*`."""
    rows = [[row.title + (" *" if row.literature else ""), *printed_cells(study, row)] for row in study.rows]
    return ["", *study.printed_columns.values()], rows


def printed_cells(study: Study, row: Row) -> list[str]:
    """What was printed of a row, a cell a column; the numbers of a column have the same digits."""
    return [_cell(study, row, column) for column in study.printed_columns]


def _cell(study: Study, row: Row, column: str) -> str:
    value = row.printed.get(column)
    if not isinstance(value, float):
        return value or ""
    in_column = [r.printed.get(column) for r in study.rows]
    digits = max(_digits(v) for v in in_column if isinstance(v, float))
    return f"{value:.{digits}f}"


def _digits(value: float) -> int:
    text = repr(value)
    return 0 if value == int(value) else len(text.partition(".")[2])


def about(study: Study) -> list[str]:
    """What stands under the table, in sentences and lines."""
    source = f"{study.source.document}, table {study.source.table}"
    lines = [source + (f" (section {study.source.section} of the specification)" if study.source.section else "")]
    lines += [f"protocol: {study.protocol}"] if study.protocol else []
    lines.append(
        f"at its own scale: {study.dataset}, splits {', '.join(study.splits)}; needs {', '.join(needs(study))}"
    )
    if any(row.literature for row in study.rows):
        lines.append("* another work's published number: shown, never run")
    lines += [f"concluded: {text}" for text in study.hypotheses]
    lines += [f"erratum: {text}" for text in study.errata]
    lines += [f"note, {row.title}: {row.note}" for row in study.rows if row.note]
    lines.append("rows with --tiny:")
    for row in study.run_rows:
        train, predict, skip = settings(study, row, tiny=True)
        if skip:
            how = f"skipped: {skip}"
        elif row.fuse:
            how = f"mean of {' and '.join(row.fuse)}"
        elif row.uses:
            how = f"run of {row.uses}, predict {' '.join(words(predict))}"
        else:
            how = " ".join(["train", *words(train)])
        lines.append(f"  {row.name}: {how}")
    return lines
