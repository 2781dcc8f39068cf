"""Accuracy of one recogniser in the four test modes, as a table with a column each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from secondlook.audit import align
from secondlook.errors import BadValue
from secondlook.evaluate.accuracy import hits
from secondlook.evaluate.label_sets import LabelSets
from secondlook.predict.modes import MODES

TOP_K = 3


@dataclass(frozen=True)
class ModesTable:
    """Top-k and top-1 accuracy of each mode, in percent, on the same videos."""

    method: str
    n: int
    """Videos measured: those with a given label that every mode could predict."""
    top_k: int
    """3, or the number of classes where there are fewer."""
    percent: Mapping[str, tuple[float, float]]
    """Mode -> top-k and top-1."""

    def markdown(self) -> str:
        """A row as in the source: a column a mode, top-k / top-1."""
        cells = [f"{best:.2f} / {first:.2f}" for best, first in self.percent.values()]
        head = ["Method", *(MODES[mode] for mode in self.percent)]
        lines = [head, ["---"] * len(head), [self.method, *cells]]
        about = f"Top-{self.top_k} / top-1 accuracy, %, {self.n} videos.\n\n"
        return about + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """One row: method, n, and for each mode `<mode>_top<k>` and `<mode>_top1`."""
        names, values = ["method", "n"], [self.method, str(self.n)]
        for mode, (best, first) in self.percent.items():
            names += [f"{mode}_top{self.top_k}", f"{mode}_top1"]
            values += [f"{best:.4f}", f"{first:.4f}"]
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([names, values])
        return out.getvalue()

    def write(self, folder: str | Path) -> list[Path]:
        """Writes `modes.md` and `modes.csv`."""
        found = [Path(folder) / "modes.md", Path(folder) / "modes.csv"]
        for path, text in zip(found, (self.markdown(), self.csv()), strict=True):
            path.write_text(text, encoding="utf-8")
        return found


def modes_table(predictions: Mapping[str, pa.Table], method: str) -> ModesTable:
    """Measures the four modes of one recogniser.

    Videos that one of the modes could not predict, or without a given label, are left out of all.

    Args:
        predictions: a predictions table for each of `predict.modes.MODES`.
        method: what the row is called.

    Source: late-temporal-bert, tables C.1 and C.2.

    Raises:
        BadValue: if a mode is missing, or the tables do not fit together.
    """
    missing = [mode for mode in MODES if mode not in predictions]
    if missing:
        raise BadValue(", ".join(missing), "there are no predictions of this test mode",
                       "Make them with `secondlook predict --test-modes`.")  # fmt: skip
    aligned = align({mode: predictions[mode] for mode in MODES}, None, top_k=TOP_K)
    given = LabelSets.single(aligned.given_N, len(aligned.labels))
    percent = {
        ranking.name: (
            100 * float(hits(ranking.top_NK, given, aligned.top_k).mean()),
            100 * float(hits(ranking.top_NK, given, 1).mean()),
        )
        for ranking in aligned.rankings
    }
    return ModesTable(method, len(aligned.given_N), aligned.top_k, percent)
