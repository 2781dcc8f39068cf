"""A study's run as text and as one page: printed beside measured, differences, claims, charts."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from secondlook import __version__, report
from secondlook.study import charts
from secondlook.study._templates import HTML, MARKDOWN
from secondlook.study.charts import Chart, Point
from secondlook.study.compare import Line, Verdict, lines, per_class_difference, verdicts
from secondlook.study.describe import printed_cells, printed_table
from secondlook.study.measure import Estimate, Measured, Resampling
from secondlook.study.run import DONE
from secondlook.study.schema import Row, Study

_HEADINGS = {"top1": "top-1", "top3": "top-3", "top5": "top-5", "true_top1": "top-1, all labels that hold",
             "real_top1": "ReaL top-1"}  # fmt: skip
_MOST_CLASS_CHARTS = 8
Costs = Mapping[str, Mapping[str, Any]]
"""Row -> a line of the results table that says what it costs."""


def write(
    study: Study, frame: pd.DataFrame, parts: Mapping[str, Sequence[Measured]], folder: Path, *, tiny: bool
) -> list[Path]:
    """Writes `study.md`, `study.html`, and the charts as PNG and SVG under `charts/`.

    Args:
        study: the table.
        frame: the results table.
        parts: set -> splits, what was measured.
        folder: of the run.
        tiny: the rows ran at toy scale.

    Returns:
        The two pages and the charts.
    """
    pictures = folder / "charts"
    pictures.mkdir(parents=True, exist_ok=True)
    printed_chart = _printed_chart(study, pictures)
    sections = [_section(study, name, of_set, frame, pictures) for name, of_set in parts.items()]
    view = {
        "study": study, "tiny": tiny, "sections": sections, "printed": _printed(study), "failed": _failed(frame),
        "printed_chart": printed_chart, "version": __version__, "scale": _scale(study, tiny),
    }  # fmt: skip
    style = (Path(report.__file__).parent / "page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["svg"] = lambda chart: Markup(chart.svg)  # noqa: S704 (our own SVG; its texts are escaped)
    html = environment.from_string(HTML).render(view | {"style": Markup(style)})  # noqa: S704
    text = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    text.filters["bar"] = lambda cells: "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |"
    pages = [folder / "study.md", folder / "study.html"]
    pages[0].write_text(text.from_string(MARKDOWN).render(view), encoding="utf-8")
    pages[1].write_text(html, encoding="utf-8")
    drawn = [*([printed_chart] if printed_chart else []), *(c for s in sections for c in s["charts"])]
    return [*pages, *(pictures / f"{c.name}.{ending}" for c in drawn for ending in ("png", "svg"))]


def _scale(study: Study, tiny: bool) -> str:
    if not tiny:
        return "The measured numbers are of this run; see its settings below."
    if not study.printed_columns:
        return "Tiny networks on small sets; the source prints no numbers of these rows."
    return (
        "The measured numbers are of tiny networks on small sets: only their order and differences can be held against "
        f"the printed ones, which are of {study.dataset}."
    )


def _printed(study: Study) -> dict[str, Any]:
    columns, rows = printed_table(study)
    return {"columns": columns, "rows": rows}


def _failed(frame: pd.DataFrame) -> list[dict[str, str]]:
    left = frame[frame["status"] != DONE]
    times = Counter(zip(left["label"], left["status"], left["reason"], strict=True))
    return [{"row": r, "status": s, "reason": why, "count": str(n)} for (r, s, why), n in times.items()]


def _section(
    study: Study, name: str, parts: Sequence[Measured], frame: pd.DataFrame, pictures: Path
) -> dict[str, Any]:  # fmt: skip
    resampling = Resampling(parts)
    found, told = lines(study, parts, resampling), verdicts(study, name, parts, resampling)
    done = frame[(frame["set"] == name) & (frame["status"] == DONE)]
    costs: Costs = {str(row["row"]): row for row in reversed(done.to_dict("records"))}
    minutes = done.groupby("row")["minutes"].mean()
    baseline = study.row(study.baseline).title if study.baseline else ""
    printed = [f"printed {column}" for column in study.printed_columns.values()]
    head = ["", *printed, *_measured_head(study, found), "seeds", "set", "split", "views",
            "input", "pre-training", "GMAC a view", "params (M)", "minutes"]  # fmt: skip
    cells = [_cells(study, line, costs[line.row], float(minutes[line.row]), name) for line in found]
    drawn = _charts(study, name, parts, found, costs, pictures)
    first = parts[0]
    return {
        "name": name, "head": head, "rows": cells, "charts": drawn, "baseline": baseline,
        "splits": _splits(study, found) if len(parts) > 1 else None,
        "claims": [_claim(v, study) for v in told],
        "about": f"{sum(p.videos for p in parts)} test videos in {sum(len(set(p.group_N.tolist())) for p in parts)} "
        f"groups, {len(first.classes)} classes (chance {100 / len(first.classes):.1f} %), "
        f"{'splits ' + ', '.join(p.split for p in parts) if first.split else 'one split, made here'}",
        "left_out": sum(p.left_out for p in parts),
    }  # fmt: skip


def _measured_head(study: Study, found: Sequence[Line]) -> list[str]:
    metrics = list(found[0].accuracy) if found else study.metrics
    head = [f"{_HEADINGS[m]} here (%), 95 %" for m in metrics]
    compared = ["minus baseline, 95 %", "only row / only baseline right", "McNemar p"] if study.baseline else []
    return [*head, "over seeds, sd", *compared]


def _cells(study: Study, line: Line, cost: Mapping[str, Any], minutes: float, name: str) -> list[str]:
    row = study.row(line.row)
    printed = printed_cells(study, row)
    measured = [_with_interval(e) for e in line.accuracy.values()]
    deviation = line.accuracy[study.metrics[0]].seeds_sd
    spread = f"{deviation:.1f}" if np.isfinite(deviation) else "-"
    compared = []
    if study.baseline:
        p = "-" if line.p is None else f"{line.p:.2g} ({line.test})"
        difference = "-" if line.difference is None else _with_interval(line.difference, sign="+")
        compared = [difference, f"{line.only_row} / {line.only_baseline}" if line.p is not None else "-", p]
    about = [
        str(line.seeds), name, ", ".join(s for s in line.by_split if s != "all") or "own", str(cost["views"]),
        str(cost["input"]), str(cost["pre_training"]), _of(cost["macs"], 1e9), _of(cost["params"], 1e6),
        f"{minutes:.2f}",
    ]  # fmt: skip
    return [row.title, *printed, *measured, spread, *compared, *about]


def _of(value: Any, unit: float) -> str:
    return "-" if pd.isna(value) else f"{float(value) / unit:.4g}"


def _with_interval(e: Estimate, sign: str = "") -> str:
    return f"{e.value:{sign}.1f} [{e.low:{sign}.1f}, {e.high:{sign}.1f}]"


def _splits(study: Study, found: Sequence[Line]) -> dict[str, Any]:
    """Each split and their mean (top-1 and the second metric)."""
    names = list(found[0].by_split) if found else []
    shown = [m for m in study.metrics if m != "real_top1"]
    head = ["", *(f"{split}, {_HEADINGS[m]}" for split in names for m in shown)]
    head += [f"mean of splits, {_HEADINGS[m]}" for m in shown]
    rows = [
        [line.label, *(f"{line.by_split[s][m]:.2f}" for s in names for m in shown),
         *(f"{line.accuracy[m].value:.2f}" for m in shown)]
        for line in found
    ]  # fmt: skip
    return {"head": head, "rows": rows}


def _claim(told: Verdict, study: Study) -> list[str]:
    claim = told.claim
    rows = f"{study.row(claim.better).title} - {study.row(claim.than).title}" if claim.better and claim.than else ""
    value = _with_interval(told.difference, "+") if told.difference else told.why
    return [claim.name, claim.says, rows, value, told.verdict]


def _charts(
    study: Study, name: str, parts: Sequence[Measured], found: Sequence[Line], costs: Costs, folder: Path
) -> list[Chart]:
    metric = study.metrics[0]
    made = []
    rows = [(line.label, e.value, e.low, e.high) for line in found if (e := line.accuracy[metric])]
    if rows:
        label = study.row(study.baseline).title if study.baseline else ""
        caption = f"Top-1 on {name}: mean over seeds, 95 % intervals over videos and seeds"
        made.append(
            charts.draw(f"{name}-accuracy", caption, lambda: charts.intervals(rows, label, "top-1 (%)"), folder)
        )
    points = [p for line in found if (p := _point(study, line, costs[line.row])) is not None]
    if points:
        caption = f"Top-1 against operations on {name}: baselines grey, ours blue, pairs joined, area = parameters"
        drawn = partial(charts.against_cost, points, f"top-1 on {name} (%)")
        made.append(charts.draw(f"{name}-cost", caption, drawn, folder))
    others = [line for line in found if line.row != study.baseline and line.difference is not None]
    others = sorted(others, key=lambda line: -abs(line.difference.value if line.difference else 0))[:_MOST_CLASS_CHARTS]
    for line in others:
        names, points_K = per_class_difference(parts, line.row, study.baseline)
        baseline = study.row(study.baseline).title
        caption = f"Top-1 a class on {name}: {line.label} minus {baseline}"
        drawn = partial(charts.class_differences, names, points_K, line.label, baseline)
        made.append(charts.draw(f"{name}-classes-{line.row}", caption, drawn, folder))
    if runs := _curves(study, name, folder.parent):
        caption = f"Loss by epoch on {name}, first seed"
        made.append(charts.draw(f"{name}-loss", caption, lambda: charts.curves(runs), folder))
    return made


def _point(study: Study, line: Line, cost: Mapping[str, Any]) -> Point | None:
    if pd.isna(cost["macs"]):
        return None
    row, e = study.row(line.row), line.accuracy[study.metrics[0]]
    kind = "baseline" if line.row == study.baseline or any(r.pair == line.row for r in study.rows) else "ours"
    pair = study.row(row.pair or study.baseline).title if row.pair or (study.baseline and not _pairs(study)) else ""
    params = None if pd.isna(cost["params"]) else float(cost["params"]) / 1e6
    return Point(line.label, e.value, float(cost["macs"]) / 1e9, params, kind, pair, e.low, e.high)


def _pairs(study: Study) -> bool:
    return any(row.pair for row in study.rows)


def _printed_chart(study: Study, folder: Path) -> Chart | None:
    """The printed rows that have accuracy and operations, those of the literature too."""
    points = [p for row in study.rows if (p := _printed_point(study, row)) is not None]
    if len(points) < 2:
        return None
    caption = "As printed: top-1 against operations, baselines grey, ours blue, others' orange, area = parameters"
    return charts.draw("printed-cost", caption, lambda: charts.against_cost(points, "top-1, printed (%)"), folder)


def _printed_point(study: Study, row: Row) -> Point | None:
    top1, gmac, params = (row.printed.get(key) for key in ("top1", "gmac", "params_m"))
    if not isinstance(top1, float) or not isinstance(gmac, float):
        return None
    is_base = row.name == study.baseline or any(r.pair == row.name for r in study.rows)
    kind = "literature" if row.literature else "baseline" if is_base else "ours"
    pair = study.row(row.pair).title if row.pair else ""
    return Point(row.title, top1, gmac, params if isinstance(params, float) else None, kind, pair)


def _curves(study: Study, name: str, folder: Path) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Columns of `curves.csv` of each row's first run on a set."""
    found = {}
    for row in study.run_rows:
        for path in sorted((folder / name).glob(f"*/seed*/{row.name}/run/curves.csv"))[:1]:
            with path.open(encoding="utf-8", newline="") as file:
                values = list(csv.DictReader(file))
            if values:
                columns = ("epoch", "train_loss", "val_loss")
                found[row.title] = {
                    c: np.array([float(v.get(c) or "nan") for v in values]) for c in columns if c in values[0]
                }
    return found
