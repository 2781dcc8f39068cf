"""Tables and counts for people: ruled in a terminal, plain columns when piped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 240


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> None:
    """Prints a table to stdout.

    Args:
        title: printed above it.
        columns: headings.
        rows: one value a column.
        left: so many columns stand to the left; the others are numbers and stand to the right.
    """
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else _PIPED_WIDTH)
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, padding=(0, 1))
    for place, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if place < left else "right")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    console.print(Text(title, style="bold"))
    console.print(table)
    console.print()


def percent(rate: float | None, digits: int = 2) -> str:
    """A share as a percentage; a dash where there is none."""
    return "-" if rate is None else f"{100 * rate:.{digits}f} %"


def left_out_words(left_out: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each reason for which videos were left out."""
    return [
        f"left out: {x['count']} {x['status']} ({', '.join(x['examples'][:3])}{', ...' if x['count'] > 3 else ''})"
        for x in left_out
    ]
