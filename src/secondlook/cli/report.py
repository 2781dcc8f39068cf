"""Write one HTML page from everything in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, finish, progress


def run(
    folder: Annotated[Path, typer.Argument(help="Folder in which the other verbs wrote their files.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Page to write [FOLDER/report.html].")] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
    clips: Annotated[int, typer.Option(min=0, help="Disputed clips to show.")] = 24,
    explanations: Annotated[int, typer.Option(min=0, help="Explanations to show.")] = 12,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the same tables and figures as this Markdown file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page: accuracy, disputed clips, explanations, confusion, curves, data.

    Takes what it finds in FOLDER and in the folders in it: tables, runs, scores, explanations. The page opens from disk
    without a network, on a phone too. With --markdown the tables are written as text, and the figures as SVG files in a
    folder beside it.

    Example: `secondlook report work -o work/report.html`
    """
    from secondlook.report import page

    path = output or folder / "report.html"
    with progress("putting in clips and pictures", None) as advance:
        sections = page.write(
            folder, path, title=title, most_clips=clips, most_explanations=explanations, advance=advance,
            text=markdown,
        )  # fmt: skip
    size = path.stat().st_size
    words = f"wrote {path} ({size / 1e6:.1f} MB): {', '.join(sections)}"
    result = {"report": str(path), "bytes": size, "sections": sections}
    if markdown is not None:
        result["markdown"], words = str(markdown), f"{words}\nwrote {markdown}"
    finish(result, words, as_json)
