"""`make docs`: the parts of README and docs that are written from the code, between `<!-- name -->` markers.

`python tests/house/generated.py --write` writes them; the test fails when a page is behind the code.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from secondlook import catalog, tables

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "secondlook"
ROOMS = (
    "video", "datasets", "layers", "heads", "models", "checkpoints", "language", "predict", "bulk", "train", "explain",
    "audit", "annotate", "reassess", "evaluate", "report", "study", "cli",
)  # fmt: skip


def first_line(path: Path) -> str:
    """First line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0]


def file_map() -> str:
    """The source files in the order in which data walks through them, one line a file."""
    lines = ["```text", "src/secondlook/"]
    lines += [f"  {p.name:<24} {first_line(p)}" for p in sorted(SOURCE.glob("[a-z]*.py"))]
    for room in ROOMS:
        lines.append(f"  {room + '/':<24} {first_line(SOURCE / room / '__init__.py')}")
        files = [p for p in sorted((SOURCE / room).glob("*.py")) if p.name != "__init__.py"]
        lines += [f"    {p.name:<22} {first_line(p)}" for p in files]
    lines += [
        "tests/                     one folder a room, plus house/ (the contracts) and end_to_end/",
        "benchmarks/                what is measured, never in the test run",
        "docs/                      quickstart, data flow, how-to, decisions, log of experiments",
        "```",
    ]
    return "\n".join(lines)


def table_columns() -> str:
    """Every table that passes between rooms, with its columns."""
    parts = []
    for schema in tables.SCHEMAS.values():
        parts.append(
            f"### `{schema.name}`\n\n{schema.doc.capitalize()}. Key: {', '.join(f'`{k}`' for k in schema.key)}.\n"
        )
        parts.append("| column | type | unit | meaning |\n|---|---|---|---|")
        for c in schema.columns:
            parts.append(f"| `{c.name}`{' (optional)' if c.optional else ''} | {c.type} | {c.unit} | {c.doc} |")
        parts.append("")
    parts.append("### Statuses\n\n| status | meaning |\n|---|---|")
    parts += [f"| `{name}` | {meaning} |" for name, meaning in tables.STATUSES.items()]
    return "\n".join(parts)


def plug_ins() -> str:
    """Every plug-in of every room with the first line of its docstring."""
    parts = []
    for room in catalog.PLUGIN_ROOMS:
        parts.append(f"**{room}**\n")
        parts += [f"* `{name}`: {line}" for name, line in catalog.describe(room).items()]
        parts.append("")
    return "\n".join(parts).rstrip()


def zoo(part: str, afresh: bool = False) -> str:
    """A table of `docs/zoo.md`; read late, because it needs torch."""
    made: str = getattr(importlib.import_module("tests.house.zoo"), part)(afresh)
    return made


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"file map": file_map},
    "docs/data-flow.md": {"tables": table_columns},
    "docs/plug-ins.md": {"plug-ins": plug_ins},
    "docs/zoo.md": {part: partial(zoo, part) for part in ("variants", "figures", "unreached")},
}
AFRESH: dict[str, dict[str, Callable[[], str]]] = {
    "docs/zoo.md": {part: partial(zoo, part, afresh=True) for part in ("variants", "figures", "unreached")},
}
"""Parts that `make docs` makes more thoroughly than the test of the page."""


def renewed(page: str, afresh: bool = False) -> str:
    """The text of a page with every generated part as the code would have it now."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, make in (GENERATED[page] | (AFRESH.get(page, {}) if afresh else {})).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page} has no part between <!-- {name} --> and <!-- end of {name} -->")
        content = make()
        text = pattern.sub(lambda m, content=content: m[1] + content + m[2], text)
    return text


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for page in GENERATED:
        new = renewed(page, afresh=True)
        if "--write" in sys.argv:
            (ROOT / page).write_text(new, encoding="utf-8")
            print(f"wrote the generated parts of {page}")
