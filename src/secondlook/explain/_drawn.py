"""What was explained, drawn and written: pictures, films, heat maps, and what there is to say about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax  # type: ignore[import-untyped]

from secondlook import catalog
from secondlook.cards import HeatMap
from secondlook.explain._over_time import over_time
from secondlook.explain._views import grid_words
from secondlook.explain._wish import Explained, Wish
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video import heat_films, overlay
from secondlook.video.grid import Caption, Panel, film, grid
from secondlook.video.heat_colours import speaks_about_time_alone
from secondlook.video.hotspots import Threshold, hotspots
from secondlook.video.relevance_bars import relevance_a_frame, relevance_a_shot, relevance_chart


def top(logits_K: npt.NDArray[np.float32], labels: LabelSpace, at_most: int = 5) -> list[dict[str, Any]]:
    """The classes with the highest logits, best first: index, name, confidence (softmax)."""
    confidence_K = softmax(logits_K.astype(np.float64))
    best = np.argsort(-logits_K, kind="stable")[:at_most]
    return [{"index": int(k), "name": labels.names[k], "confidence": float(confidence_K[k])} for k in best]


def caption(
    explained: Explained, loaded: LoadedModel, video: str, layer: bool = True, heat: HeatMap | None = None
) -> Caption:
    """Title and subtitle of a picture: what was explained, what was predicted, how.

    Args:
        explained: one video explained.
        loaded: by which network.
        video: its name.
        layer: say which layer, too.
        heat: of a further method; None: the main one's.
    """
    heat, labels = heat or explained.heat, loaded.labels
    weights = {"channel": "one weight a channel", "channel_time": "one weight a channel and time step"}
    how = [heat.method, weights.get(str(heat.notes.get("weights")), "")]
    how += [heat.module, grid_words(heat)] if layer else []
    subtitle = " · ".join(part for part in (video, loaded.card.name, *how) if part)
    return Caption(_title(explained, labels, heat.label), subtitle)


def _title(explained: Explained, labels: LabelSpace, label: int) -> str:
    ranked = top(explained.logits_K, labels, len(labels))
    best = ranked[0]
    own = next(entry["confidence"] for entry in ranked if entry["index"] == label)
    if label == best["index"]:
        title = f"{best['name']} · predicted, {best['confidence']:.0%}"
        return title + (" · also the given label" if explained.given == label else "")
    which = " (given label)" if explained.given == label else ""
    return f"{labels.names[label]}{which}, {own:.0%} · predicted: {best['name']}, {best['confidence']:.0%}"


def _predicted(explained: Explained, labels: LabelSpace) -> str:
    """For grids of several classes."""
    best = top(explained.logits_K, labels, 1)[0]
    given = f" · given: {labels.names[explained.given]}" if explained.given != UNLABELLED else ""
    return f"predicted: {best['name']}, {best['confidence']:.0%}{given}"


def write(
    explained: Explained, loaded: LoadedModel, folder: Path, wish: Wish, video: str, *, extras: bool = True
) -> dict[str, Path]:
    """Writes the heat maps and the pictures of one video.

    Args:
        explained: what `explain_video` gave.
        loaded: the network that was explained.
        folder: where; it is made.
        wish: what is to be drawn.
        video: name of the video, for the caption.
        extras: also what a method draws of its own (its function `draw`).

    Returns:
        Kind -> file or folder: `strip`, `video`, `gif`, `pictures`, `relevance`, `hotspots`, `frame`, `heat`, each of a
        further method with its name behind (`strip-lrp`), as are the pictures of its own; a grid's own name (`layers`,
        `pathways`, `classes`, `methods`) and behind it `-video`, `-gif`, and `-heat`, a folder of one heat map a
        column.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for method, heat in {wish.method: explained.heat, **explained.beside}.items():
        end = "" if method == wish.method else f"-{method}"
        text = caption(explained, loaded, video, heat=heat)
        made = _pictures(explained, heat, folder, wish, text, end)
        if extras:
            bare = caption(explained, loaded, video, layer=False, heat=heat)
            made |= _of_its_own(method, explained, heat, loaded, folder, wish.methods[method], bare)
        paths |= {f"{kind}{end}": path for kind, path in made.items()}
    for name, view in explained.views.items():
        text = caption(explained, loaded, video, layer=False, heat=next(iter(view.values())))
        if name.startswith("classes"):
            text = Caption(_predicted(explained, loaded.labels), text.subtitle)
        elif name == "methods":
            text = Caption(text.title, f"{video} · {loaded.card.name}")
        paths |= write_grid([Panel(explained.frames_THWC, view)], text, folder, name, wish, heats=name != "methods")
    return paths


def _pictures(
    explained: Explained, heat: HeatMap, folder: Path, wish: Wish, text: Caption, end: str
) -> dict[str, Path]:
    """The pictures and the heat map of one method."""
    frames_THWC, look = explained.frames_THWC, wish.look
    paths = {"strip": folder / f"strip{end}.png"}
    overlay.strip(frames_THWC, heat, text, columns=wish.columns, look=look).save(paths["strip"])
    spots: Threshold | None = None
    if wish.hotspots:
        spots = wish.threshold
        paths["relevance"] = folder / f"relevance{end}.png"
        chart = relevance_chart(frames_THWC, heat, text, cuts=explained.cuts, look=look, threshold=spots)
        chart.save(paths["relevance"])
        if not speaks_about_time_alone(heat):
            paths |= {kind: folder / f"{kind}{end}.png" for kind in ("frame", "hotspots")}
            overlay.frame_picture(frames_THWC, heat, text, look=look, threshold=spots).save(paths["frame"])
            overlay.hotspot_sheet(frames_THWC, heat, text, threshold=spots).save(paths["hotspots"])
    if wish.video or wish.gif or wish.pictures:
        pictures_THWC = overlay.side_by_side(frames_THWC, heat, text, look=look, threshold=spots)
        seconds = heat_films.playing_time_s(heat)
        if wish.video:
            paths["video"] = heat_films.write_video(folder / f"overlay{end}.mp4", pictures_THWC, seconds)
        if wish.gif:
            paths["gif"] = heat_films.write_gif(folder / f"overlay{end}.gif", pictures_THWC, seconds, look)
        if wish.pictures:
            paths["pictures"] = heat_films.write_pictures(folder / f"frames{end}", pictures_THWC)[0].parent
    paths["heat"] = folder / f"heat{end}.npz"
    heat.save(paths["heat"])
    return paths


def _of_its_own(
    method: str,
    explained: Explained,
    heat: HeatMap,
    loaded: LoadedModel,
    folder: Path,
    options: Mapping[str, Any],
    text: Caption,
) -> dict[str, Path]:
    """Pictures that only this method draws, if it does."""
    draw = getattr(catalog.find("explain", method), "draw", None)
    if draw is None or explained.clip is None:
        return {}
    made: dict[str, Path] = draw(
        folder, loaded.model, loaded.card, explained.clip, heat, explained.frames_THWC, options, text
    )
    return made


def write_grid(
    panels: Sequence[Panel], text: Caption, folder: Path, name: str, wish: Wish, *, heats: bool = True
) -> dict[str, Path]:
    """A grid as a picture, as a film where films are wished for, and its heat maps.

    Args:
        panels: what it holds.
        text: title and subtitle.
        folder: where.
        name: of its files.
        wish: what is to be drawn.
        heats: write the heat maps into a folder called `name`, numbered in the order of the columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.png"}
    grid(panels, text, look=wish.look).save(paths[name])
    if wish.video or wish.gif:
        columns = sum(len(panel.heats) + 1 for panel in panels)
        pictures_THWC = film(panels, text, width=min(240, max(112, 1500 // columns)), look=wish.look)
        seconds = max(heat_films.playing_time_s(panel.heat) for panel in panels)
        if wish.video:
            paths[f"{name}-video"] = heat_films.write_video(folder / f"{name}.mp4", pictures_THWC, seconds)
        if wish.gif:
            paths[f"{name}-gif"] = heat_films.write_gif(folder / f"{name}.gif", pictures_THWC, seconds, wish.look)
    if heats:
        paths[f"{name}-heat"] = folder / name
        (folder / name).mkdir(exist_ok=True)
        every = [(heading, heat) for panel in panels for heading, heat in panel.heats.items()]
        for number, (heading, heat) in enumerate(every, 1):
            plain = re.sub(r"[^\w.-]+", "_", heading.split("\n")[0])[:60]
            heat.save(folder / name / f"{number:02d}-{plain}.npz")
    return paths


def entry(explained: Explained, loaded: LoadedModel) -> dict[str, Any]:
    """What there is to say about one explanation, JSON-ready: labels, predictions, numbers over time."""
    heat, names = explained.heat, loaded.labels.names
    quantities = over_time(heat)
    return {
        "model": loaded.card.name,
        "method": heat.method,
        "module": heat.module,
        "weights": heat.notes.get("weights", ""),
        "label": heat.label,
        "label_name": names[heat.label],
        "given": explained.given,
        "given_name": names[explained.given] if explained.given != UNLABELLED else "",
        "predicted": top(explained.logits_K, loaded.labels),
        "frame_time_s": [round(float(s), 4) for s in heat.frame_time_s_T],
        "heat_share": [round(float(v), 5) for v in quantities.amount_T],
        "heat_area": [round(float(v), 5) for v in quantities.area_T],
        "peak_s": round(float(heat.frame_time_s_T[quantities.peak]), 4),
        "no_heat": not bool(heat.heat_THW.any()),
        "left_out": list(explained.left_out),
        **relevance(explained),
    }


def relevance(explained: Explained) -> dict[str, Any]:
    """Relevance and hotspots of each frame, and relevance of each shot, JSON-ready (`layerwise-relevance`, section 4).

    Shares are of the clip's whole |R|; hotspots are counted in positions of the video's frame.
    """
    heat = explained.heat
    for_T, against_T = relevance_a_frame(heat)
    hot_THW = hotspots(heat.heat_THW, explained.threshold)
    found: dict[str, Any] = {
        "relevance_for": [round(float(v), 5) for v in for_T],
        "relevance_against": [round(float(v), 5) for v in against_T],
        "hotspots": [int(n) for n in hot_THW.sum(axis=(1, 2))],
    }
    shots = relevance_a_shot(heat, explained.cuts)
    found["shots"] = [
        {
            "start_s": round(float(heat.frame_time_s_T[shot.first]), 4),
            "frames": shot.end - shot.first,
            "relevance_for": round(shot.speaks_for, 5),
            "relevance_against": round(shot.speaks_against, 5),
        }
        for shot in shots
    ]
    return found
