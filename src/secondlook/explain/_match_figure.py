"""Figure of cyclic consistency: which step of a clip each step finds at a temporal gate, errors marked.

`srtg-mtnet-classreg-visualisation`, section 2.3; after figure 4.2 of its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._thumbnails import Frames, middles, thumbnail
from secondlook.figure_files import BLUE, ORANGE, STYLE, save


def match_figure(heat: HeatMap, frames_THWC: Frames, path: str | Path, *, gate: str = "", at_most: int = 12) -> Path:
    """Draws the matches of one gate: from pooled activations to hidden states on the left, back on the right.

    With the criterion `index` a line leads from each step to the step of the other sequence that it finds; with `cycle`
    to the step of its own to which it comes back. A step that finds itself has a straight, thin line; an error a thick,
    dashed one in another colour.

    Args:
        heat: what `recursion_gates.explain` gave.
        frames_THWC: the sampled frames.
        path: .png, .svg or .pdf.
        gate: name of a gate in the notes; empty: the one that was shown.
        at_most: thumbnails in a row; there are lines for every step.

    Raises:
        BadValue: if the heat map tells of no gates, or the number of frames differs, or the format is unknown.
        UnknownName: if there is no such gate.
    """
    gates: Mapping[str, Any] = {note["name"]: note for note in heat.notes.get("gates", ())}
    if not gates:
        raise BadValue(heat.method, "tells of no gates", "Give what recursion_gates gave.")
    if len(frames_THWC) != len(heat.frame_index_T):
        raise BadValue(len(frames_THWC), f"this heat map is of {len(heat.frame_index_T)} frames")
    if gate and gate not in gates:
        raise UnknownName("temporal gate", gate, gates)
    note = gates[gate or heat.module]
    return save(draw(note, frames_THWC, heat.frame_time_s_T.tolist(), at_most), path)


@mpl.rc_context(STYLE)
def draw(note: Mapping[str, Any], frames_THWC: Frames, times_s: Sequence[float], at_most: int = 12) -> Figure:
    """The figure, from a gate's note (`recursion_gates`)."""
    steps = len(note["found"])
    shown = min(steps, max(1, at_most))
    wide = max(3.8, 0.62 * shown)
    figure = Figure(figsize=(2 * wide + 1.6, 0.3 * wide + 2 * wide / shown * 0.75 + 1.5), layout="constrained")
    names = ("activations", "hidden states")
    for axes, found, (first, second) in zip(
        figure.subplots(1, 2), (note["found"], note["back"]), (names, names[::-1]), strict=True
    ):
        cycle = note["criterion"] == "cycle"
        _panel(axes, found, frames_THWC, times_s, shown, (first, f"{first},\nback again" if cycle else second))
        axes.set_title(f"{first} → {second}{' → ' + first if cycle else ''}", fontsize=10)
    errors = sum(i != t for found in (note["found"], note["back"]) for t, i in enumerate(found))
    state = "open" if note["open"] else "closed"
    figure.suptitle(f"{note['name'] or 'gate'}: {state}, {errors} of {2 * steps} steps do not find themselves")
    axes.plot([], [], color=BLUE, lw=1.4, label="finds itself")
    axes.plot([], [], color=ORANGE, lw=2.2, ls="--", label="temporal cyclic error")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _panel(
    axes: Axes,
    found: Sequence[int],
    frames_THWC: Frames,
    times_s: Sequence[float],
    shown: int,
    names: tuple[str, str],
) -> None:
    """Two rows of thumbnails, each of as many steps as there are to one of them, and a line for every step."""
    steps = len(found)
    cell = steps / shown
    height = 0.92 * cell * frames_THWC.shape[1] / frames_THWC.shape[2]
    top = height + 0.3 * steps
    axes.set_xlim(-0.5, steps - 0.5)
    axes.set_ylim(0, top + height)
    frame_of = middles(shown, len(frames_THWC))
    for place, frame in enumerate(frame_of):
        for bottom in (0.0, top):
            thumbnail(axes, frames_THWC[frame], -0.5 + (place + 0.04) * cell, bottom, 0.92 * cell, height)
    axes.set_aspect("equal")
    for step, match in enumerate(found):
        right = step == match
        axes.plot(
            [step, match],
            [top, height],
            color=BLUE if right else ORANGE,
            lw=1.4 if right else 2.2,
            ls="-" if right else "--",
            marker="o",
            ms=3,
            zorder=3 if right else 4,
        )
    axes.set_xticks([-0.5 + (i + 0.5) * cell for i in range(shown)], [f"{times_s[i]:.2f}" for i in frame_of], size=8)
    axes.set_yticks([top + height / 2, height / 2], names, fontsize=9)
    axes.set_xlabel("time (s)", fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
