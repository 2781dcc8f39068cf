"""One video explained: its label is chosen, the heat map made, the pictures drawn and written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from secondlook import catalog
from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import find_module, logits_of
from secondlook.explain._over_time import over_time
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video import overlay
from secondlook.video.clip import Clip, Size
from secondlook.video.decode import decode
from secondlook.video.sample import Sampling
from secondlook.video.transform import InputClip, input_clip

Decode = Callable[..., Clip]
PICTURE_SIDE = 240
"""Frames for pictures are decoded again at most at this short side: what a network sees is too coarse to look at."""


@dataclass(frozen=True)
class Wish:
    """What is to be explained, how, and what is to be drawn. Plain values, so that it can be kept as JSON."""

    method: str = "grad_cam"
    """A file of this room."""
    label: str = "predicted"
    """`predicted`, `given`, a class name, or a class index."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to the method (Grad-CAM: `layer`, `weights`)."""
    layers: tuple[str, ...] = ()
    """Layers of a grid, from input to head; empty: no grid."""
    columns: int = 8
    """Frames in the strip."""
    video: bool = True
    gif: bool = False
    pictures: bool = False
    """Every frame as a PNG of its own."""
    look: overlay.Look = overlay.LOOK

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self) | {"options": dict(self.options), "layers": list(self.layers)}


@dataclass(frozen=True)
class Explained:
    """One video explained."""

    heat: HeatMap
    logits_K: npt.NDArray[np.float32]
    frames_THWC: npt.NDArray[np.uint8]
    """The sampled frames, for pictures."""
    given: int
    """Given label, as a class of the network; `UNLABELLED` where there is none."""
    layers: Mapping[str, HeatMap] = field(default_factory=dict)
    """Heading of a column -> heat there, for the layer grid."""


def check(loaded: LoadedModel, wish: Wish) -> None:
    """Refuses a wish that no video could fulfil, before any is read.

    Raises:
        UnknownName: for a method, option, layer or label that does not exist.
        BadValue: for a class index out of range.
    """
    explain = catalog.find("explain", wish.method).explain
    known = [p.name for p in inspect.signature(explain).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in wish.options:
        if name not in known:
            raise UnknownName(f"option of {wish.method}", name, known)
    layer = wish.options.get("layer")
    for name in (*([layer] if layer else []), *wish.layers):
        find_module(loaded.model, name)
    if wish.layers and "layer" not in known:
        raise BadValue(wish.method, "reads no layers, so there is no layer grid", "Leave --layers out.")
    if wish.label not in ("given", "predicted"):
        label_index(wish.label, loaded.labels)


def explain_video(
    loaded: LoadedModel, path: str | Path, wish: Wish, *, given: int = UNLABELLED, decode: Decode = decode
) -> Explained:
    """Explains the central clip of a video.

    Args:
        loaded: a trained network with its card and labels.
        path: a video file or a folder of frames.
        wish: what and how.
        given: the video's given label, as a class of the network.
        decode: `video.decode.decode`, or a guard's.

    Raises:
        BadValue: if the file gives no frames (the reason in words), or a given label is wished for and there is none.
        UnknownName: see `check`.
    """
    card, model = loaded.card, loaded.model
    clip = input_clip(path, card.clip, decode=decode)
    device = next(model.parameters(), torch.empty(0)).device
    with torch.no_grad():
        logits_K = logits_of(model, clip.x_CTHW.to(device)[None])[0].float().cpu().numpy()
    label = _choose(wish.label, loaded.labels, given, int(logits_K.argmax()))
    explain = catalog.find("explain", wish.method).explain
    heat: HeatMap = explain(model, card, clip, label, **wish.options)
    layers = {}
    for name in wish.layers:
        of_layer: HeatMap = explain(model, card, clip, label, **{**wish.options, "layer": name})
        layers[f"{name}  {_grid(of_layer)}"] = of_layer
    return Explained(heat, logits_K, _frames_to_look_at(path, clip, loaded, decode), given, layers)


def label_index(text: str, labels: LabelSpace) -> int:
    """A class index from a class name or a number; a name wins where a class is called by a number.

    Raises:
        UnknownName: if no class reads so.
        BadValue: if the number is no class index.
    """
    try:
        return labels.index_of(text)
    except UnknownName:
        if not text.isdecimal():
            raise
    if int(text) >= len(labels):
        raise BadValue(int(text), f"a class index must be from 0 to {len(labels) - 1}")
    return int(text)


def _choose(wanted: str, labels: LabelSpace, given: int, predicted: int) -> int:
    if wanted == "predicted":
        return predicted
    if wanted == "given":
        if given == UNLABELLED:
            cure = "Explain a row of a videos table that has one, or name the class with --label NAME."
            raise BadValue("given", "this video has no given label", cure)
        return given
    return label_index(wanted, labels)


def _frames_to_look_at(path: str | Path, clip: InputClip, loaded: LoadedModel, decode: Decode) -> npt.NDArray[np.uint8]:
    seen = clip.clip
    short_side = min(PICTURE_SIDE, seen.source_height, seen.source_width)
    if short_side <= min(seen.frames_THWC.shape[1:3]):
        return seen.frames_THWC
    sampling = Sampling.from_spec(loaded.card.clip)
    finer = decode(path, sampling, size=Size(short_side=short_side), frame_count=seen.frame_count)
    same = finer.usable and np.array_equal(finer.frame_index_T, seen.frame_index_T)
    return finer.frames_THWC if same else seen.frames_THWC


def top(logits_K: npt.NDArray[np.float32], labels: LabelSpace, at_most: int = 5) -> list[dict[str, Any]]:
    """The classes with the highest logits, best first: index, name, confidence (softmax)."""
    confidence_K = np.exp(logits_K.astype(np.float64) - logits_K.max())
    confidence_K /= confidence_K.sum()
    best = np.argsort(-logits_K, kind="stable")[:at_most]
    return [{"index": int(k), "name": labels.names[k], "confidence": float(confidence_K[k])} for k in best]


def caption(explained: Explained, loaded: LoadedModel, video: str, layer: bool = True) -> overlay.Caption:
    """Title and subtitle of a picture: what was explained, what was predicted, how; with the layer, unless told not."""
    heat, labels = explained.heat, loaded.labels
    ranked = top(explained.logits_K, labels, len(labels))
    best = ranked[0]
    own = next(entry["confidence"] for entry in ranked if entry["index"] == heat.label)
    if heat.label == best["index"]:
        title = f"{best['name']} · predicted, {best['confidence']:.0%}"
        title += " · also the given label" if explained.given == heat.label else ""
    else:
        which = " (given label)" if explained.given == heat.label else ""
        title = f"{labels.names[heat.label]}{which}, {own:.0%} · predicted: {best['name']}, {best['confidence']:.0%}"
    weights = {"channel": "one weight a channel", "channel_time": "one weight a channel and time step"}
    how = [heat.method, weights.get(str(heat.notes.get("weights")), "")]
    how += [heat.module, _grid(heat)] if layer else []
    return overlay.Caption(title, " · ".join(part for part in (video, loaded.card.name, *how) if part))


def _grid(heat: HeatMap) -> str:
    return " × ".join(str(n) for n in heat.notes.get("grid", ()))


def write(explained: Explained, loaded: LoadedModel, folder: Path, wish: Wish, video: str) -> dict[str, Path]:
    """Writes the heat map and the pictures of one video.

    Args:
        explained: what `explain_video` gave.
        loaded: the network that was explained.
        folder: where; it is made.
        wish: what is to be drawn.
        video: name of the video, for the caption.

    Returns:
        Kind (`heat`, `strip`, `video`, `gif`, `pictures`, `layers`) -> file or folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heat, frames_THWC, look = explained.heat, explained.frames_THWC, wish.look
    text = caption(explained, loaded, video)
    paths = {"strip": folder / "strip.png"}
    overlay.strip(frames_THWC, heat, text, columns=wish.columns, look=look).save(paths["strip"])
    if wish.video or wish.gif or wish.pictures:
        pictures_THWC = overlay.side_by_side(frames_THWC, heat, text, look=look)
        seconds = overlay.playing_time_s(heat)
        if wish.video:
            paths["video"] = overlay.write_video(folder / "overlay.mp4", pictures_THWC, seconds)
        if wish.gif:
            paths["gif"] = overlay.write_gif(folder / "overlay.gif", pictures_THWC, seconds)
        if wish.pictures:
            paths["pictures"] = overlay.write_pictures(folder / "frames", pictures_THWC)[0].parent
    if explained.layers:
        paths["layers"] = folder / "layers.png"
        text = caption(explained, loaded, video, layer=False)
        overlay.layer_grid(frames_THWC, explained.layers, text, look=look).save(paths["layers"])
    paths["heat"] = folder / "heat.npz"
    heat.save(paths["heat"])
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
    }
