"""What the models look at: strips, overlays and measures of the explanations, as the report's page shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from markupsafe import Markup

from secondlook import tables
from secondlook.report import _viewer, media

MEASURES = {
    "on_target": "heat on hand and object",
    "pointing_frame": "hottest point on them",
    "iou_best": "overlap with them (IoU)",
    "in_action": "heat during the action",
    "on_cue": "heat on the planted cue",
}
"""Measures of `explain/_ground_truth.py` that the table shows, and their headings."""
BASELINES = {"uniform": "even", "centre": "centre"}


def section(
    sets: Sequence[Mapping[str, Any]],
    most: int,
    step: Callable[[int], None],
    clip_path: Callable[[Mapping[str, Any]], Path | None] = lambda _: None,
) -> dict[str, Any]:
    """The section of all explanation sets (one a model and method); empty where there are none.

    Args:
        sets: contents of each `explanations.json`, with `base`.
        most: pictures shown, in turn from each set, so that models stand side by side on the same clips.
        step: called with 1 after each picture.
        clip_path: the file of an entry's video, or None; with it there is a viewer.
    """
    seen = _viewer.viewer(sets, clip_path, most, step)
    usable = [[{**e, "base": s["base"]} for e in s["explanations"] if e["status"] in tables.USABLE] for s in sets]
    in_turn = [e for e in chain.from_iterable(zip_longest(*usable)) if e is not None]
    shown = []
    for entry in in_turn[:most]:
        base, paths = Path(entry["base"]), entry["paths"]
        overlay = media.clip(base / paths["video"])[0] if "video" in paths and not seen else ""
        shown.append(
            {
                "model": entry.get("run") or entry["model"],
                "method": _method(entry),
                "label": entry["label_name"],
                "video_id": entry["video_id"],
                "strip": Markup(media.picture(base / paths["strip"])),  # noqa: S704
                "overlay": Markup(overlay),  # noqa: S704
            }
        )
        step(1)
    if not shown:
        return {}
    columns = [m for m in MEASURES if any(m in s.get("averages", {}) for s in sets)]
    return {
        "shown": shown,
        "viewer": seen,
        "columns": [MEASURES[m] for m in columns],
        "measures": _measured(sets, usable, columns) if columns else [],
    }


def _measured(
    sets: Sequence[Mapping[str, Any]], usable: Sequence[Sequence[Mapping[str, Any]]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    baselines: list[dict[str, Any]] = []
    for one, entries in zip(sets, usable, strict=True):
        if not entries:
            continue
        averages = one.get("averages", {})
        clips = max((int(a["clips"]) for a in averages.values()), default=0)
        name = f"{entries[0].get('run') or entries[0]['model']}, {_method(entries[0])}"
        rows.append(
            {"name": name, "clips": clips, "cells": [_cell(averages.get(m)) for m in columns], "baseline": False}
        )
        for key, baseline in BASELINES.items():
            cells = [_cell(averages.get(f"{m}_{key}"), interval=False) for m in columns]
            row = {"name": baseline, "clips": clips, "cells": cells, "baseline": True}
            if row not in baselines:  # on the same clips they are the same for every model and method
                baselines.append(row)
    return rows + baselines


def _method(entry: Mapping[str, Any]) -> str:
    weights = {"channel": "one weight a channel", "channel_time": "one weight a channel and time"}.get(
        entry["weights"], ""
    )
    return str(entry["method"]).replace("_", " ") + (f" ({weights})" if weights else "")


def _cell(average: Mapping[str, float] | None, interval: bool = True) -> dict[str, str]:
    if average is None:
        return {"text": "", "detail": ""}
    detail = f"{average['low']:.2f} to {average['high']:.2f}" if interval else ""
    return {"text": f"{average['mean']:.2f}", "detail": detail}
