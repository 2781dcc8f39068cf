"""Figure of a frame selection: the score P of each frame as bars, kept frames marked, the frames below.

`srtg-mtnet-classreg-visualisation`, section 2.7; after figure 5.4 of its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._thumbnails import Frames, middles
from secondlook.figure_files import BLUE, GREY, STYLE, save


def score_figure(heat: HeatMap, frames_THWC: Frames, path: str | Path, *, layer: str = "") -> Path:
    """Draws the scores of one selecting layer.

    Args:
        heat: what `selected_frames.explain` gave.
        frames_THWC: the sampled frames.
        path: .png, .svg or .pdf.
        layer: name of a layer in the notes; empty: the one that was shown.

    Raises:
        BadValue: if the heat map tells of no selection, or the number of frames differs, or the format is unknown.
        UnknownName: if there is no such layer.
    """
    notes: Mapping[str, Any] = {note["name"]: note for note in heat.notes.get("selections", ())}
    if not notes:
        raise BadValue(heat.method, "tells of no selected frames", "Give what selected_frames gave.")
    if len(frames_THWC) != len(heat.frame_index_T):
        raise BadValue(len(frames_THWC), f"this heat map is of {len(heat.frame_index_T)} frames")
    if layer and layer not in notes:
        raise UnknownName("module that selects frames", layer, notes)
    return save(draw(notes[layer or heat.module], frames_THWC, heat.frame_time_s_T.tolist()), path)


@mpl.rc_context(STYLE)
def draw(note: Mapping[str, Any], frames_THWC: Frames, times_s: Sequence[float]) -> Figure:
    """The figure, from a layer's note (`selected_frames`). P is drawn from the lowest up: differences are small."""
    scores = np.array([np.nan if p is None else p for p in note["scores"]], np.float64)
    steps, kept = len(scores), set(note["index"])
    frame_of = middles(steps, len(frames_THWC))
    figure = Figure(figsize=(max(5.0, 0.85 * steps + 0.8), 3.6), layout="constrained")
    grid = figure.add_gridspec(2, steps, height_ratios=(2.6, 1))
    axes = figure.add_subplot(grid[0, :])
    low, high = (np.nanmin(scores), np.nanmax(scores)) if np.isfinite(scores).any() else (0.0, 1.0)
    room = max(high - low, 1e-3)
    floor = low - 0.25 * room
    for t, score in enumerate(scores):
        if np.isfinite(score):
            axes.bar(
                t,
                score - floor,
                bottom=floor,
                width=0.7,
                color=BLUE if t in kept else "white",
                edgecolor=BLUE if t in kept else GREY,
                hatch="" if t in kept else "//",
            )
        else:
            axes.text(t, floor, "no score", rotation=90, ha="center", va="bottom", fontsize=8, color=GREY)
    axes.set_ylim(floor, high + 0.12 * room)
    axes.set_xlim(-0.5, steps - 0.5)
    axes.set_xticks(range(steps), [f"{times_s[i]:.2f} s" for i in frame_of], fontsize=8)
    axes.set_ylabel("P, likeness to\nboth neighbours")
    which = "lowest" if note["keep"] == "lowest" else "largest"
    axes.set_title(f"{note['name']}: the {len(kept)} of {steps} frames of {which} P are kept", fontsize=10)
    axes.bar([0], [0], bottom=floor, color=BLUE, label="kept")
    axes.bar([0], [0], bottom=floor, color="white", edgecolor=GREY, hatch="//", label="left out")
    for t in range(steps):
        below = figure.add_subplot(grid[1, t])
        below.imshow(frames_THWC[frame_of[t]], alpha=1.0 if t in kept else 0.35)
        below.set_xticks([])
        below.set_yticks([])
        for spine in below.spines.values():
            spine.set(visible=t in kept, color=BLUE, linewidth=3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure
