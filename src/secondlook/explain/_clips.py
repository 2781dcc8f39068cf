"""One video explained: its label is chosen, the heat maps made; `_drawn` draws and writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondlook import catalog
from secondlook.cards import HeatMap
from secondlook.explain._bias import scene_cuts
from secondlook.explain._drawn import caption, entry, top, write, write_grid
from secondlook.explain._hooks import clip_logits
from secondlook.explain._views import views
from secondlook.explain._wish import Explained, Wish, check, label_index, label_of
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video.clip import Clip, Size
from secondlook.video.decode import decode
from secondlook.video.sample import Sampling
from secondlook.video.transform import InputClip, input_clip

__all__ = [
    "Explained",
    "Wish",
    "caption",
    "check",
    "entry",
    "explain_video",
    "frames_to_look_at",
    "label_index",
    "top",
    "write",
    "write_grid",
]

Decode = Callable[..., Clip]
PICTURE_SIDE = 240
"""Frames for pictures are decoded again at most at this short side: what a network sees is too coarse to look at."""


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
    logits_K = clip_logits(model, clip.x_CTHW)
    label = label_of(wish.label, loaded.labels, given, int(logits_K.argmax()))
    made: dict[str, HeatMap] = {}
    for method, options in wish.methods.items():
        made[method] = catalog.find("explain", method).explain(model, card, clip, label, **options)
    beside = {method: heat for method, heat in made.items() if method != wish.method}
    left_out: list[str] = []
    found = views(loaded, clip, label, wish, logits_K, given, made, left_out)
    frames_THWC = frames_to_look_at(path, clip, loaded, decode)
    cuts = tuple(scene_cuts(frames_THWC.transpose(0, 3, 1, 2)))
    return Explained(
        made[wish.method], logits_K, frames_THWC, given, beside, found, cuts, wish.threshold, clip, tuple(left_out)
    )


def frames_to_look_at(path: str | Path, clip: InputClip, loaded: LoadedModel, decode: Decode) -> npt.NDArray[np.uint8]:
    """The frames of a clip once more, at a size to look at; those the network saw where that cannot be."""
    seen = clip.clip
    short_side = min(PICTURE_SIDE, seen.source_height, seen.source_width)
    if short_side <= min(seen.frames_THWC.shape[1:3]):
        return seen.frames_THWC
    sampling = Sampling.from_spec(loaded.card.clip)
    finer = decode(path, sampling, size=Size(short_side=short_side), frame_count=seen.frame_count)
    same = finer.usable and np.array_equal(finer.frame_index_T, seen.frame_index_T)
    return finer.frames_THWC if same else seen.frames_THWC
