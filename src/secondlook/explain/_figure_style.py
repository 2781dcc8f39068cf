"""How the figures of this room look, and how they are written: dark on white, colours for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondlook.errors import BadValue

Frames = npt.NDArray[np.uint8]
# Okabe and Ito's colours.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8b919b"
FORMATS = (".png", ".svg", ".pdf")
STYLE: Mapping[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "secondlook",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def write(figure: Figure, path: str | Path) -> Path:
    """Writes a figure in the format its file name says; the same figure gives the same file.

    Raises:
        BadValue: for a format that is not one of `FORMATS`.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise BadValue(path.name, f"a figure is a {', '.join(FORMATS)} file", f"For example {path.stem}.png.")
    path.parent.mkdir(parents=True, exist_ok=True)
    undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
    with mpl.rc_context(dict(STYLE)):
        figure.savefig(path, dpi=150, bbox_inches="tight", facecolor="white", metadata=undated)
    return path


def middles(steps: int, frames: int) -> list[int]:
    """The frame in the middle of each of so many equal parts of a clip."""
    return [(2 * step + 1) * frames // (2 * steps) for step in range(steps)]


def thumbnail(axes: Axes, frame_HWC: Frames, left: float, bottom: float, width: float, height: float) -> None:
    """A picture at a place of the axes, in their own coordinates; it does not change their limits."""
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(frame_HWC, extent=(left, left + width, bottom, bottom + height), aspect="auto", zorder=2)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def short(name: str, length: int = 34) -> str:
    """A name cut to so many letters."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"
