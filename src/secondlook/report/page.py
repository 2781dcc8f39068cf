"""One self-contained HTML page from everything in a folder: no network, light and dark, readable on a phone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup

from secondlook import __version__, tables
from secondlook.labels import LabelSpace
from secondlook.report import _controls_section as controlled
from secondlook.report import _explanations_section as explained
from secondlook.report import _foci_section as shared
from secondlook.report import _labels_section as reviewed
from secondlook.report import _language_section as worded
from secondlook.report import _real_section as second
from secondlook.report import _recovery_section as recovered
from secondlook.report import _source_tables_section as of_source
from secondlook.report import _trust_section as trusted
from secondlook.report import markdown, media, plots
from secondlook.report._scores_section import accuracy_rows, accuracy_tiles, comparison, dumbbell_rows, top_confusions
from secondlook.report.collect import Findings, gather

_HERE = Path(__file__).parent
SHOWN_FAILED = 50
"""Rows of the table of videos that could not be used."""


def write(
    folder: str | Path,
    path: str | Path,
    *,
    title: str = "",
    most_clips: int = 24,
    most_explanations: int = 12,
    advance: Callable[[int], None] | None = None,
    text: str | Path | None = None,
) -> list[str]:
    """Writes the page.

    Args:
        folder: where the other verbs wrote; see `collect.gather`.
        path: HTML file to write.
        title: heading; the dataset's name when empty.
        most_clips: clips shown under "whose mistake was it", in turn from each verdict.
        most_explanations: explanations shown, in turn from each model.
        advance: called with 1 after each clip or picture that was put in.
        text: Markdown file to write as well, with the same tables and still figures (`markdown.write`).

    Returns:
        Names of the sections that the page holds.

    Raises:
        MissingFile: if there is no such folder.
        BadValue: if nothing in it can be reported on.
    """
    found = gather(folder)
    step = advance or (lambda _: None)
    space = _label_space(found)
    view: dict[str, Any] = {"plots": {}, "tiles": [], "provenance": _provenance(found), "version": __version__}
    view |= _accuracy(found, view["plots"])
    view["confusions"] = _confusions(found)
    view["audit"] = _audit(found, space, most_clips, step, view["plots"])
    view["explanations"] = explained.section(
        found.explanations, most_explanations, step, lambda entry: reviewed.media_path(entry, found)
    )
    view["real"] = second.section(found.scores, found.workers)
    view["controls"] = controlled.section(found.scores)
    view["recovery"] = recovered.section(found.recovery)
    view["language"] = worded.section(found.label_vectors)
    view["source_tables"] = of_source.section(found)
    view["trust"] = trusted.section(found.explanation_scores)
    view["foci"] = shared.section(found.foci, step)
    view["runs"] = _runs(found, view["plots"])
    view["data"] = _data(found, space, view["plots"])
    view["tiles"] += accuracy_tiles(found.scores)
    view["tiles"] += view["audit"].get("tiles", []) if view["audit"] else []
    view["title"] = title or f"A second look at {_dataset(found)}"
    view["subtitle"] = view["data"]["sentence"] if view["data"] else ""
    view["sections"] = [
        (anchor, name)
        for anchor, name, there in (
            ("accuracy", "Accuracy", view["accuracy_rows"]),
            ("real", "Second look", view["real"]),
            ("controls", "Controls", view["controls"]),
            ("recovery", "Rules compared", view["recovery"]),
            ("labels", "Whose mistake", view["audit"]),
            ("explanations", "What models look at", view["explanations"]),
            ("trust", "Which picture to trust", view["trust"]),
            ("foci", "Shared foci", view["foci"]),
            ("confusion", "Confusion", view["confusions"]),
            ("language", "Labels in words", view["language"]),
            ("source-tables", "Tables of the source", view["source_tables"]),
            ("training", "Training", view["plots"].get("curves")),
            ("data", "Data", view["data"]),
            ("made", "How this was made", True),
        )
        if there
    ]
    script = "".join((_HERE / name).read_text(encoding="utf-8") for name in ("page.js", "viewer.js", "language_map.js"))
    view["script"], view["style"] = Markup(script), Markup((_HERE / "page.css").read_text(encoding="utf-8"))  # noqa: S704
    view["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template("page.html").render({"plots": {}} | view | _safe_plots(view)), "utf-8")
    if text is not None:
        markdown.write(view, text)
    return [anchor for anchor, _ in view["sections"]]


def _safe_plots(view: Mapping[str, Any]) -> dict[str, Any]:
    """Our own SVG goes in as it is; its texts were escaped by the plotting library."""
    wanted = ("dumbbell", "rules", "set_sizes", "curves", "classes")
    made = {name: Markup(view["plots"].get(name, "")) for name in wanted}  # noqa: S704
    return {"plots": made}


def _dataset(found: Findings) -> str:
    about = tables.made(found.videos) if found.videos is not None else {}
    return str(about.get("dataset") or found.folder.resolve().name)


def _label_space(found: Findings) -> LabelSpace:
    for table in (found.videos, *found.predictions.values()):
        if table is not None and "label_space" in tables.made(table):
            return tables.label_space(table)
    return LabelSpace(())


def _accuracy(found: Findings, drawn: dict[str, str]) -> dict[str, Any]:
    rows = accuracy_rows(found.scores)
    if rows:
        drawn["dumbbell"] = plots.original_to_reassessed(dumbbell_rows(found.scores))
    review = found.scores.get("review")
    return {
        "accuracy_rows": rows,
        "has_truth": any(row["true"] for row in rows),
        "keep_note": review["statement"] if review else "",
        "comparison": comparison(found.scores),
    }


def _confusions(found: Findings) -> list[dict[str, Any]]:
    names = found.scores.get("labels", {}).get("names", [])
    sections = []
    for model in found.scores.get("models", []):
        counts_KK = np.asarray(model["confusion"]["counts"], dtype=np.int64)
        svg = plots.confusion(counts_KK, names, f"Confusion of {model['name']}")
        sections.append({"model": model["name"], "svg": Markup(svg), "top": top_confusions(counts_KK, names)})  # noqa: S704
    return sections


def _audit(
    found: Findings, space: LabelSpace, most: int, step: Callable[[int], None], drawn: dict[str, str]
) -> dict[str, Any]:
    entries = reviewed.mistakes(found)
    if not entries:
        return {}
    asked = [e for e in entries if e["reassessed"] is not None]
    if asked:
        rules = reviewed.counts(asked, lambda e: e["rule"])
        sizes = reviewed.counts(asked, lambda e: len(e["reassessed"]))
        drawn["rules"] = plots.bars([str(r) for r, _ in rules], [n for _, n in rules], "videos", "Videos by rule")
        drawn["set_sizes"] = plots.bars(
            [f"{size} labels" if size != 1 else "1 label" for size, _ in sizes],
            [n for _, n in sizes],
            "videos",
            "Set sizes",
        )
    shown = []
    for entry in reviewed.shown(entries, most):
        path = reviewed.media_path(entry, found)
        uri, reason = media.clip(path) if path is not None else ("", "the clip is not at hand")
        predictions = [
            {"model": model, "label": space.names[label], "confidence": f"{confidence:.0%}"}
            for model, (label, confidence) in entry["predictions"].items()
        ]
        reassessed = entry["reassessed"]
        shown.append(
            {
                **entry,
                "media": Markup(uri),  # noqa: S704
                "media_reason": reason,
                "given": space.names[entry["given"]],
                "predictions": predictions,
                "reassessed": None if reassessed is None else [space.names[i] for i in reassessed],
                "true": [space.names[i] for i in entry["true"]],
            }
        )
        step(1)
    verdicts = reviewed.counts(entries, lambda e: e["verdict"])
    return {
        "sentences": reviewed.sentences(entries, list(found.predictions)),
        "examples": shown,
        "verdicts": [v for v, _ in reviewed.counts(shown, lambda e: e["verdict"])],
        "tiles": [
            {"label": verdict, "value": count, "note": f"of {len(entries)} disputed videos"}
            for verdict, count in verdicts
        ],
    }


def _runs(found: Findings, drawn: dict[str, str]) -> list[dict[str, Any]]:
    with_curves = {name: run.curves for name, run in found.runs.items() if run.curves}
    if with_curves:
        drawn["curves"] = plots.curves(with_curves)
    rows = []
    for name, run in found.runs.items():
        clip = run.card["clip"]
        best = [values for key in ("val_top1", "train_top1") if (values := run.curves.get(key)) is not None]
        best = [v for v in best if np.isfinite(v).any()]
        size = f"{clip['frames']} frames, {clip['height']}x{clip['width']}, {clip['modality'].replace('_', ' and ')}"
        epochs = len(next(iter(run.curves.values()))) if run.curves else 0
        rows.append(
            {
                "name": name,
                "model": run.card["name"],
                "input": size,
                "epochs": epochs,
                "best": f"{np.nanmax(best[0]):.1%}" if best else "",
            }
        )
    return rows


def _data(found: Findings, space: LabelSpace, drawn: dict[str, str]) -> dict[str, Any]:
    if found.videos is None:
        return {}
    columns = found.videos.select(["video_id", "split", "group", "status", "reason", "label"]).to_pydict()
    usable = [s in tables.USABLE for s in columns["status"]]
    splits = []
    for split in sorted(
        set(columns["split"]), key=lambda s: (("train", "val", "test", "").index(s) if s in "train val test" else 9, s)
    ):
        at = [i for i, s in enumerate(columns["split"]) if s == split]
        groups = len({columns["group"][i] for i in at})
        splits.append(
            {"split": split or "none", "videos": len(at), "groups": groups, "usable": sum(usable[i] for i in at)}
        )
    counts = pc.value_counts(found.videos["label"]).to_pylist()
    by_class = sorted(((c["counts"], c["values"]) for c in counts if c["values"] >= 0), reverse=True)
    if 1 < len(by_class) <= 60:
        names = [space.names[label] for _, label in by_class]
        drawn["classes"] = plots.bars(names, [n for n, _ in by_class], "videos", "Videos by given label")
    failed = [i for i, ok in enumerate(usable) if not ok]
    about = tables.made(found.videos)
    return {
        "sentence": f"{len(usable)} videos, {len(space)} classes, {len(set(columns['group']))} groups"
        + (f", {len(failed)} that could not be used." if failed else ", all usable."),
        "fingerprint": str(about.get("fingerprint", "not recorded")),
        "splits": splits,
        "failed": [{k: columns[k][i] for k in ("video_id", "status", "reason")} for i in failed[:SHOWN_FAILED]],
        "failed_more": max(len(failed) - SHOWN_FAILED, 0),
    }


def _provenance(found: Findings) -> list[dict[str, str]]:
    """How each table, run and score came to be, as JSON text; label spaces and cards are left out for brevity."""
    parts: list[tuple[str, Mapping[str, Any]]] = []
    for kind in ("videos", "candidates", "labels"):
        table = getattr(found, kind)
        if table is not None:
            parts.append((kind, tables.made(table)))
    parts += [(f"predictions {name}", tables.made(table)) for name, table in found.predictions.items()]
    parts += [(f"run {name}", run.settings) for name, run in found.runs.items()]
    if found.scores.get("made"):
        parts.append(("scores", found.scores["made"]))
    return [{"name": name, "text": json.dumps(_brief(about), indent=2, sort_keys=True)} for name, about in parts]


def _brief(about: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in about.items() if k not in ("label_space", "card")}
