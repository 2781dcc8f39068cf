"""The tables of the source from data, in its layout: 4.3, 4.4, 4.5, 4.6, 5.1 and 5.2 of Patil 2022.

Columns are headed and ordered as printed (label-reassessment 3.3 to 3.8); what the source leaves out, counts beside
rates above all, stands in further columns to the right. Tables come out as CSV and Markdown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from secondlook.audit import Aligned, confused_classes, mistakes
from secondlook.evaluate.gain_table import gain_table
from secondlook.reassess import _tables

_SHOWN = 5


@dataclass(frozen=True)
class SourceTable:
    """One table, its cells as text."""

    number: str
    """As the source numbers it: `4.3`."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    printed: int = 0
    """So many columns from the left are the source's; the others are added. 0: all."""

    def markdown(self) -> str:
        """A heading, the table, and the notes as a list."""
        numeric = [all(_is_number(row[c]) for row in self.rows) for c in range(len(self.columns))]
        lines = [f"### Table {self.number}: {self.title}", ""]
        lines.append("| " + " | ".join(_escaped(c) for c in self.columns) + " |")
        lines.append("|" + "|".join(" ---: " if right else " --- " for right in numeric) + "|")
        lines += ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def csv(self) -> str:
        """Header and rows."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "number": self.number, "title": self.title, "columns": list(self.columns),
            "rows": [list(row) for row in self.rows], "notes": list(self.notes), "printed": self.printed,
        }  # fmt: skip


def build(
    scores: Mapping[str, Any], aligned: Aligned | None = None, answers: pa.Table | None = None, *, unjudged: str = ""
) -> list[SourceTable]:
    """Every table that there is data for, by number.

    Args:
        scores: of `scores.score`.
        aligned: the same models on the same videos, for Table 4.4.
        answers: as for `reassess.approval_rules.fit`, for Tables 4.5 and 4.6.
        unjudged: for Table 4.6, what becomes of answers without a verdict: "refuse", "approve", "reject". Empty: the
            table is left out while some answers have none.
    """
    found = [table_4_3(scores)]
    if aligned is not None:
        found.append(table_4_4(confused_classes(aligned, mistakes(aligned).top1_category)))
    if answers is not None and answers.num_rows:
        found.append(table_4_5(_tables.pilot_agreement(answers)))
        if unjudged:
            found += [_table_4_6_from(answers, unjudged)]
    elif scores.get("review") and scores["review"]["approvals"]:
        found.append(table_4_6_of_labels(scores["review"]["approvals"]))
    if scores.get("review"):
        found += [table_5_1(scores["review"]["co_occurrence"]), table_5_2(scores)]
    return found


def table_4_3(scores: Mapping[str, Any]) -> SourceTable:
    """Accuracy of each model before the second look, and how many videos it gets wrong."""
    rows = []
    top1, *others = scores["metrics"]
    last = others[-1] if others else top1
    for model in scores["models"]:
        first, second = model[top1]["original"], model[last]["original"]
        rows.append(
            (
                model["name"], _rate(first["rate"]), _rate(second["rate"]), str(first["n"] - first["count"]),
                str(first["count"]), str(second["count"]), str(first["n"]), _interval(first), _interval(second),
            )
        )  # fmt: skip
    a, b = _metric(top1), _metric(last)
    columns = (
        "Network",
        a,
        b,
        "# misclassified",
        f"{a} count",
        f"{b} count",
        "videos",
        f"{a} interval",
        f"{b} interval",
    )
    return SourceTable("4.3", "Accuracy of the networks", columns, tuple(rows), (), 4)


def table_4_4(classes: Sequence[Mapping[str, Any]], shown: int = _SHOWN) -> SourceTable:
    """The most and the least confused given labels of the Top-1 category, side by side.

    The source prints counts, which mostly say how large a class is; the share of the class stands beside, and the notes
    name the ends by share.

    Args:
        classes: of `audit.confused_classes`; classes of which no video is confused count, too.
        shown: rows.
    """
    most = sorted(classes, key=lambda c: (-c["count"], c["label"]))[:shown]
    least = sorted(classes, key=lambda c: (-c["count"], c["label"]))[len(classes) - len(most) :]
    rows = [
        (m["name"], str(m["count"]), f["name"], str(f["count"]), _rate(m["share"]), str(m["videos"]),
         _rate(f["share"]), str(f["videos"]))
        for m, f in zip(most, least, strict=True)
    ]  # fmt: skip
    notes = []
    if classes:
        by_share = sorted(classes, key=lambda c: (-c["share"], c["label"]))
        ends = [f"{c['name']} {_rate(c['share'])} ({c['count']} of {c['videos']})" for c in (by_share[0], by_share[-1])]
        notes = [f"By share of the class: most {ends[0]}, least {ends[1]}."]
    columns = (
        "Most confused", "Count", "Least confused", "Count", "most: of its class", "most: videos",
        "least: of its class", "least: videos",
    )  # fmt: skip
    return SourceTable("4.4", "Most and least confused classes, Top-1 category", columns, tuple(rows), tuple(notes), 4)


def table_4_5(counted: pa.Table) -> SourceTable:
    """Videos by how many of their annotators chose the given label, with a total.

    Args:
        counted: of `reassess._tables.pilot_agreement`.
    """
    several = {
        "multi_any": "several labels: some annotator", "multi_union": "together", "multi_each": "each annotator",
        "multi_common": "in common",
    }  # fmt: skip
    rows = counted.to_pylist()
    total = sum(row["videos"] for row in rows)
    most = max((row["chose_given"] for row in rows), default=0)
    cells = [
        (str(r["chose_given"]), str(r["videos"]), _of(r["videos"], total), *(str(r[name]) for name in several))
        for r in rows
    ]
    sums = {name: sum(r[name] for r in rows) for name in several}
    cells.append(("total", str(total), "100%" if total else "", *(str(sums[name]) for name in several)))
    notes = [
        f"Several labels were chosen for {sums[name]} videos, {_of(sums[name], total)} ({words})"
        for name, words in (
            ("multi_any", "some annotator chose more than one"),
            ("multi_union", "all annotators of a video together"),
            ("multi_each", "each annotator of a video"),
            ("multi_common", "they have more than one in common"),
        )
    ]
    columns = (f"annotators (of {most}) who chose the legacy label", "Count", "Percent", *several.values())
    return SourceTable("4.5", "Agreement of annotators with the legacy label", columns, tuple(cells), tuple(notes), 3)


def _table_4_6_from(answers: pa.Table, unjudged: str) -> SourceTable:
    any_rows, all_rows = (
        _tables.approvals_by_given(answers, mode, unjudged=unjudged).to_pylist()  # type: ignore[arg-type]
        for mode in ("any", "all")
    )
    strict = {(r["approved"], r["given_chosen"]): r["videos"] for r in all_rows}
    return table_4_6([(r["approved"], r["given_chosen"], r["videos"]) for r in any_rows], strict)


def table_4_6_of_labels(approvals: Sequence[Mapping[str, Any]]) -> SourceTable:
    """Table 4.6 from the labels table alone (`real.approvals`)."""
    rows, strict = [], {}
    for r in approvals:
        for chosen, key in ((True, "yes"), (False, "no")):
            if r["approved"] or not chosen:
                rows.append((r["approved"], chosen, r["any"][key]))
            strict[r["approved"], chosen] = r["all"][key]
    return table_4_6(rows, strict)


def table_4_6(rows: Sequence[tuple[int, bool, int]], strict: Mapping[tuple[int, bool], int]) -> SourceTable:
    """Videos by approved answers and by whether the given label is among their selections, with a total.

    The source does not say if one approved answer with the given label is enough; its column is read as "one at least",
    and the other reading stands beside.

    Args:
        rows: approved answers, given label chosen in one of them, videos.
        strict: the same with the given label chosen in all of them.
    """
    rows = [row for row in rows if row[0] or row[2]]  # the source has no row of videos without an approved answer
    total = sum(videos for _, _, videos in rows)
    cells = [
        (str(a), "Yes" if chosen else "No", str(n), _of(n, total), str(strict.get((a, chosen), 0)))
        for a, chosen, n in rows
    ]
    cells.append(("total", "", str(total), "100%" if total else "", str(sum(strict.values()))))
    yes = sum(n for _, chosen, n in rows if chosen)
    approvals = sum(a * n for a, _, n in rows)
    notes = [
        f"The legacy label was selected for {yes} videos ({_of(yes, total)}), not selected for {total - yes}; "
        f"{approvals} answers were approved."
    ]
    columns = ("# workers approved", "Legacy in selection", "Count", f"% of {total}", "Count, in every selection")
    return SourceTable("4.6", "Approvals and the legacy label", columns, tuple(cells), tuple(notes), 4)


def table_5_1(pairs: Sequence[Mapping[str, Any]], shown: int = _SHOWN) -> SourceTable:
    """The classes that co-occur most, by their share of the given class.

    Args:
        pairs: of `co_occurrence`, highest share first.
        shown: rows.
    """
    rows = tuple(
        (p["given_name"], str(p["videos"]), p["with_name"], str(p["count"]), _rate(p["share"]),
         "" if p["reverse_share"] is None else _rate(p["reverse_share"]),
         "" if p["same_group"] is None else ("yes" if p["same_group"] else "no"))
        for p in pairs[:shown]
    )  # fmt: skip
    columns = (
        "Legacy class", "Count", "Co-occurring class", "Count", "Percent", "Percent, the other way",
        "same coarse group",
    )  # fmt: skip
    return SourceTable("5.1", "Top co-occurring classes", columns, rows, (), 5)


def table_5_2(scores: Mapping[str, Any]) -> SourceTable:
    """Original against ReaL accuracy of each model, with counts and the interval of the gain."""
    rows = []
    for row in gain_table(scores):
        original, real, gain = row["original"], row["real"], row["gain"]
        if real is None:
            continue
        rows.append(
            (
                row["model"], _metric(row["metric"]), _rate(original["rate"]), _rate(real["rate"]),
                _points(gain["points"]), str(original["count"]), str(real["count"]), f"{gain['videos']:+d}",
                str(real["n"]), "" if gain["low"] is None else f"{_points(gain['low'])} to {_points(gain['high'])}",
            )
        )  # fmt: skip
    columns = (
        "Network", "Metric", "Original", "ReaL", "Gain", "Original count", "ReaL count", "Gain, videos", "videos",
        "Gain interval",
    )  # fmt: skip
    notes = (scores["review"]["statement"],) if scores.get("review") else ()
    return SourceTable("5.2", "Original and ReaL accuracy", columns, tuple(rows), notes, 5)


def write(tables: Sequence[SourceTable], folder: str | Path) -> list[Path]:
    """Writes `table-<number>.csv` and `.md` of each, and all in `tables.md`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"tables.md": "\n".join(table.markdown() for table in tables)}
    for table in tables:
        texts |= {f"table-{table.number}.csv": table.csv(), f"table-{table.number}.md": table.markdown()}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _metric(metric: str) -> str:
    return metric.replace("top", "Top-")


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2f}%"


def _of(part: int, whole: int) -> str:
    return _rate(part / whole) if whole else ""


def _points(points: float | None) -> str:
    return "" if points is None else f"{points:+.2f}"


def _interval(score: Mapping[str, Any]) -> str:
    return "" if score["low"] is None else f"{100 * score['low']:.2f} to {100 * score['high']:.2f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _is_number(cell: str) -> bool:
    return cell == "" or cell.lstrip("+-")[:1].isdigit()
