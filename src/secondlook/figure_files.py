"""How still figures look, and how they are written: dark on white, in colours that colour-blind eyes tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from secondlook.errors import BadValue

# Okabe and Ito's colours, told apart on white and on near-black alike; a grey for what is there for comparison.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a9199"
FORMATS = (".png", ".svg", ".pdf")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "secondlook",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure in the format its file name says; the same figure gives the same file.

    Raises:
        BadValue: for a format that is not one of `FORMATS`.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise BadValue(path.name, f"a figure is a {', '.join(FORMATS)} file", f"For example {path.stem}.png.")
    path.parent.mkdir(parents=True, exist_ok=True)
    undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
    with mpl.rc_context(STYLE):
        figure.savefig(path, dpi=150, bbox_inches="tight", facecolor="white", metadata=undated)
    return path


def short(name: str, length: int = 34) -> str:
    """A name cut to so many letters."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"
