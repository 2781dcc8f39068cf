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
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page: accuracy, disputed clips, explanations, confusion, curves, data.

    Takes what it finds in FOLDER and in the folders in it: tables, runs, scores, explanations. The page opens from disk
    without a network, on a phone too.

    Example: `secondlook report work -o work/report.html`
    """
    from secondlook.report import page

    path = output or folder / "report.html"
    with progress("putting in clips and pictures", None) as advance:
        sections = page.write(
            folder, path, title=title, most_clips=clips, most_explanations=explanations, advance=advance
        )
    size = path.stat().st_size
    words = f"wrote {path} ({size / 1e6:.1f} MB): {', '.join(sections)}"
    finish({"report": str(path), "bytes": size, "sections": sections}, words, as_json)
