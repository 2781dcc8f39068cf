"""The report as Markdown: the page's tables as text, its still figures as SVG files in a folder beside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def write(view: Mapping[str, Any], path: str | Path) -> list[Path]:
    """Writes `<name>.md` and `<name>-figures/*.svg`; clips and pictures of explanations stay in the page.

    The folder of figures is made anew, so that none is left over from before.

    Args:
        view: what `page.write` fills its template with.
        path: Markdown file to write.

    Returns:
        The files, the Markdown first.
    """
    path = Path(path)
    folder = path.with_name(f"{path.stem}-figures")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    figures = _Figures(folder)
    text = "\n\n".join(block for block in _blocks(view, figures) if block) + "\n"
    path.write_text(text, encoding="utf-8")
    return [path, *figures.written]


class _Figures:
    """Writes each figure and gives the line that shows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []

    def show(self, svg: Any) -> str:
        text = str(svg)
        if not text:
            return ""
        found = re.search(r"<title>(.*?)</title>", text)
        title = found[1] if found else "figure"
        name = f"{len(self.written) + 1:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')[:60]}.svg"
        # Alone in a file there is no page to take colour and font from.
        text = text.replace("currentColor", "#1b1f24").replace("inherit", "sans-serif")
        text = text.replace("<svg ", '<svg style="background: white" ', 1)
        target = self.folder / name
        target.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}', encoding="utf-8")
        self.written.append(target)
        return f"![{title}]({self.folder.name}/{name})"


def _blocks(view: Mapping[str, Any], figures: _Figures) -> Iterator[str]:
    yield f"# {view['title']}"
    yield str(view["subtitle"])
    yield "\n".join(f"- {t['label']}: **{t['value']}** ({t['note']})" for t in view["tiles"])
    yield from _accuracy(view, figures)
    yield from _real(view["real"], figures)
    yield from _controls(view["controls"], figures)
    if view["audit"]:
        yield "## Whose mistake was it?"
        yield "\n\n".join(view["audit"]["sentences"])
        for name in ("rules", "set_sizes"):
            yield figures.show(view["plots"].get(name, ""))
    if view["confusions"]:
        yield "## What is taken for what"
        for confusion in view["confusions"]:
            yield f"### {confusion['model']}"
            yield figures.show(confusion["svg"])
            yield _table(
                ("given label", "most often taken for", "times", "of the class"),
                [(r["given"], r["predicted"], r["count"], r["share"]) for r in confusion["top"]],
            )
    if view["source_tables"]:
        yield "## The tables of the source"
        for table in view["source_tables"]["made"]:
            yield table.markdown().rstrip()
        yield "\n".join(f"- {text}" for text in view["source_tables"]["missing"])
    if view["plots"].get("curves"):
        yield "## Training"
        yield figures.show(view["plots"]["curves"])
        yield _table(
            ("run", "model", "input", "epochs", "best top-1"),
            [(r["name"], r["model"], r["input"], r["epochs"], r["best"]) for r in view["runs"]],
        )
    if view["data"]:
        yield "## Data"
        yield f"{view['data']['sentence']} Fingerprint: `{view['data']['fingerprint']}`"
        yield _table(
            ("split", "videos", "groups", "usable"),
            [(r["split"], r["videos"], r["groups"], r["usable"]) for r in view["data"]["splits"]],
        )
        yield figures.show(view["plots"].get("classes", ""))
    yield "## How this was made"
    yield "\n\n".join(f"{item['name']}:\n\n```json\n{item['text']}\n```" for item in view["provenance"])
    yield f"secondlook {view['version']}"


def _accuracy(view: Mapping[str, Any], figures: _Figures) -> Iterator[str]:
    rows = view["accuracy_rows"]
    if not rows:
        return
    yield "## Accuracy, before and after the second look"
    yield str(view["keep_note"])
    yield figures.show(view["plots"].get("dumbbell", ""))
    names = ["model", "metric", "videos", "original", "reassessed", "gain", *(["truth"] if view["has_truth"] else [])]
    yield _table(
        names,
        [
            (r["model"], r["metric"], r["n"], _cell(r["original"]), _cell(r["real"]), r["gain"],
             *([_cell(r["true"])] if view["has_truth"] else []))
            for r in rows
        ],
    )  # fmt: skip
    yield "\n\n".join(view["comparison"])


def _real(real: Mapping[str, Any], figures: _Figures) -> Iterator[str]:
    if not real:
        return
    yield "## What the second look changed"
    yield figures.show(real["figures"]["scatter"])
    for model in real["models"]:
        yield f"### {model['name']}, class by class"
        yield model["said"]
        for svg in model["figures"]:
            yield figures.show(svg)
        yield _table(
            ("class", "videos", "original", "ReaL", "gain, points", "interval", "mistakes resolved", "McNemar p"),
            [tuple(row.values()) for row in _ordered(model["rows"])],
        )
    if real["relations"]:
        yield "### Which labels people choose together"
        yield real["groups"]
        yield figures.show(real["figures"].get("co_occurrence", ""))
        yield _table(
            ("added label is", "meaning", "labels", "share", "within group", "across", "most often"),
            [tuple(row.values()) for row in real["relations"]],
        )
        yield "\n".join(f"- {text}" for text in real["parents"])
    yield "\n".join(f"- {text}" for text in real["likeness"])
    if real["figures"].get("approvals"):
        yield "### Who answered"
        yield figures.show(real["figures"]["approvals"])


def _ordered(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    wanted = ("name", "videos", "original", "real", "points", "interval", "resolved", "p")
    return [{name: row[name] for name in wanted} for row in rows]


def _controls(controls: Mapping[str, Any], figures: _Figures) -> Iterator[str]:
    if not controls:
        return
    yield "## Is it more than chance?"
    yield "\n".join(f"- {text}" for text in controls["said"])
    yield figures.show(controls["figure"])
    yield _table(
        ("model", "metric", "rule", "original", "estimated", "interval", "looked at"),
        [tuple(row.values()) for row in controls["population"]],
    )
    yield _table(
        (
            "model",
            "proposed options",
            "gain, points",
            "mistakes",
            "looked at",
            "among the options",
            "hold",
            "of offered",
        ),
        [tuple(row.values()) for row in controls["held_out"]],
    )
    yield _table(
        ("rule", "labels a video", "dropped", "given label gone", *controls["rule_columns"]),
        [(r["rule"], r["size"], r["dropped"], r["lost"], *map(_cell, r["cells"])) for r in controls["rules"]],
    )


def _cell(cell: Mapping[str, str] | None) -> str:
    return "" if not cell else f"{cell['text']} ({cell['detail']})" if cell["detail"] else cell["text"]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)
