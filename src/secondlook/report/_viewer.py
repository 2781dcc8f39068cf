"""Data of the page's viewer: clips, and every heat map there is of each, small enough to mail.

A heat map goes into the page as one grey picture, its frames below one another, at most `TALLEST` rows a frame:
0 to 255 for heat from 0 to 1, or 128 + 127 v for signed heat v from -1 to 1.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from secondlook import tables
from secondlook.cards import HeatMap
from secondlook.errors import SecondlookError
from secondlook.report import media
from secondlook.video.relevance_bars import relevance_a_frame

TALLEST = 36
"""Rows of heat a frame: as fine as the heat maps are, far coarser than the video."""
COLOURS = ("inferno", "RdBu_r")
"""Of heat, and of signed heat (blue against, red for); both can be told apart with any colour vision."""


def viewer(
    sets: Sequence[Mapping[str, Any]],
    clip_path: Callable[[Mapping[str, Any]], Path | None],
    most: int,
    step: Callable[[int], None],
) -> dict[str, Any]:
    """What the viewer shows: `clips`, each with its film and its `maps`, and the colours; empty without any.

    Args:
        sets: contents of each `explanations.json`, with `base`.
        clip_path: the file of an entry's video, or None.
        most: clips shown, in turn from each set.
        step: called with 1 after each clip.
    """
    by_video: dict[str, list[Mapping[str, Any]]] = {}
    usable = [[{**e, "base": s["base"]} for e in s["explanations"] if e["status"] in tables.USABLE] for s in sets]
    for entry in (e for e in chain.from_iterable(zip_longest(*usable)) if e is not None):
        if "heat" in entry["paths"]:
            by_video.setdefault(entry["video_id"], []).append(entry)
    clips: list[dict[str, Any]] = []
    for video_id, entries in by_video.items():
        if len(clips) == most:
            break
        path = clip_path({"path": "", **entries[0]})
        film = media.clip(path, short_side=200)[0] if path is not None and path.is_file() else ""
        maps = list(_maps(entries)) if film else []
        if not maps:
            continue
        given = next((e["given_name"] for e in entries if e.get("given_name")), "")
        clips.append({"id": video_id, "given": given, "film": film, "maps": maps})
        step(1)
    return {"clips": clips, "colours": {name: _colours(name) for name in COLOURS}} if clips else {}


def _maps(entries: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Every heat map that stands in the entries' files: of methods, layers, pathways, classes."""
    seen: set[tuple[str, ...]] = set()
    for entry in entries:
        names = {entry["label"]: entry["label_name"], entry.get("given"): entry.get("given_name")}
        names |= {best["index"]: best["name"] for best in entry.get("predicted", ())}
        for path in _heat_files(entry):
            try:
                heat = HeatMap.load(path)
            except (SecondlookError, OSError, KeyError, ValueError):
                continue
            name = {
                "model": str(entry.get("run") or entry["model"]),
                "method": _method(heat),
                "layer": heat.module or "input",
                "class": str(names.get(heat.label) or f"class {heat.label}"),
            }
            if tuple(name.values()) not in seen:
                seen.add(tuple(name.values()))
                yield {**name, "predicted": _best(entry), **packed(heat)}


def _heat_files(entry: Mapping[str, Any]) -> Iterable[Path]:
    """Files of heat: `heat`, `heat-METHOD`, and what lies in the folders of grids (`layers-heat`)."""
    for kind, relative in entry["paths"].items():
        path = Path(entry["base"]) / relative
        if kind.startswith("heat"):
            yield path
        elif kind.endswith("-heat"):
            yield from sorted(path.glob("*.npz"))


def _best(entry: Mapping[str, Any]) -> str:
    best = next(iter(entry.get("predicted", ())), None)
    return f"{best['name']}, {best['confidence']:.0%}" if best else ""


def _method(heat: HeatMap) -> str:
    each_step = " (a weight a time step)" if heat.notes.get("weights") == "channel_time" else ""
    return heat.method.replace("_", " ") + each_step


def packed(heat: HeatMap) -> dict[str, Any]:
    """One heat map as the page holds it.

    Returns:
        `picture` (data URI), `rows`, `times_s` of the frames, `signed`, `temporal`, and `bars`: the positive and the
        negative heat of each frame as shares of the frame with the most.
    """
    frames, height, width = heat.heat_THW.shape
    rows = min(TALLEST, height)
    columns = max(1, round(width * rows / height))
    small = [
        np.asarray(Image.fromarray(h).resize((columns, rows), Image.Resampling.BOX)) for h in heat.heat_THW.astype("f4")
    ]
    stacked = np.stack(small)
    full = float(np.abs(stacked).max(initial=0.0)) or 1.0
    level = stacked / full
    pixels = np.rint(128 + 127 * level if heat.signed else 255 * np.maximum(level, 0)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.reshape(frames * rows, columns)).save(buffer, "PNG", optimize=True)
    return {
        "picture": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "rows": rows,
        "times_s": [round(float(t), 3) for t in heat.frame_time_s_T],
        "signed": heat.signed,
        "temporal": bool(heat.notes.get("temporal", False)),
        "bars": _bars(heat),
    }


def _bars(heat: HeatMap) -> list[list[float]]:
    for_T, against_T = relevance_a_frame(heat)
    most = max(float(for_T.max(initial=0.0)), float(-against_T.min(initial=0.0))) or 1.0
    return [[round(float(p) / most, 3), round(float(n) / most, 3)] for p, n in zip(for_T, against_T, strict=True)]


def _colours(name: str) -> str:
    """256 colours of a colour map as hexadecimal text, six characters each."""
    rgb_N3 = np.rint(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    return str(rgb_N3.tobytes().hex())
