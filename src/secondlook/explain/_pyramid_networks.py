"""What several networks make of one clip by their class feature pyramids: the tubes of their last levels.

`srtg-mtnet-classreg-visualisation`, figure 7.12; `_pyramid_pictures.networks_picture` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.explain._clips import frames_to_look_at
from secondlook.explain._drawn import top
from secondlook.explain._hooks import clip_logits
from secondlook.explain._methods import must_suit
from secondlook.explain._pyramid import Choice
from secondlook.explain._pyramid_files import METHOD, level_heats
from secondlook.explain._pyramid_pictures import Network
from secondlook.explain._wish import label_index
from secondlook.explain.class_feature_pyramids import find
from secondlook.predict.weights import LoadedModel
from secondlook.video.clip import Clip
from secondlook.video.decode import decode
from secondlook.video.transform import InputClip, input_clip


@dataclass(frozen=True)
class NetworkPyramid:
    """One network's part of the picture, and what there is to say about it."""

    network: Network
    facts: dict[str, Any]
    """JSON-ready: name, model, theta, label, predicted, and the layer of each level with its kernels."""


def network_pyramids(
    runs: Sequence[tuple[str, LoadedModel, Choice]],
    path: str | Path,
    label: str = "predicted",
    *,
    decode: Callable[..., Clip] = decode,
) -> tuple[str, list[NetworkPyramid]]:
    """The class that is explained, by name, and each network's pyramid for it.

    Args:
        runs: name, network, theta and depth.
        path: a video file or a folder of frames.
        label: a class, by name or by the first network's index; or `predicted`, what the first network predicts. The
            others are asked for the class of that name.
        decode: `video.decode.decode`, or a guard's.

    Raises:
        BadValue: if there is no network, one has no convolutions to step through, or the file gives no frames.
        UnknownName: if a network does not know the class.
    """
    if not runs:
        raise BadValue(0, "at least one network is needed")
    for _, loaded, _ in runs:
        must_suit(METHOD, loaded.model, loaded.card)
    first = runs[0][1]
    name = "" if label == "predicted" else first.labels.names[label_index(label, first.labels)]
    for _, loaded, _ in runs if name else ():
        loaded.labels.index_of(name)
    found = []
    for run, loaded, choice in runs:
        clip = input_clip(path, loaded.card.clip, decode=decode)
        logits_K = clip_logits(loaded.model, clip.x_CTHW)
        name = name or loaded.labels.names[int(logits_K.argmax())]
        frames_THWC = frames_to_look_at(path, clip, loaded, decode)
        found.append(_one(run, loaded, choice, clip, loaded.labels.index_of(name), logits_K, frames_THWC))
    return name, found


def _one(
    run: str,
    loaded: LoadedModel,
    choice: Choice,
    clip: InputClip,
    label: int,
    logits_K: npt.NDArray[np.float32],
    frames_THWC: npt.NDArray[np.uint8],
) -> NetworkPyramid:
    made = find(loaded.model, loaded.card, clip.x_CTHW, label, choice)
    heats = level_heats(made, clip, choice.depth)
    if not any(heat is not None for heat in heats):
        rule = f"the pyramid of {run} has no layer with places down to this depth"
        raise BadValue(choice.depth, rule, "Give a larger --depth.")
    best = top(logits_K, loaded.labels, 1)[0]
    name, note = f"{run}, θ = {choice.theta:g}", f"predicted {best['confidence']:.0%}: {best['name']}"
    layers = [made.pyramid.layer(heat.module) for heat in heats if heat is not None]
    facts = {
        "name": run,
        "model": loaded.card.name,
        "theta": choice.theta,
        "label": label,
        "predicted": best["name"],
        "confidence": best["confidence"],
        "levels": [
            {"level": layer.level, "layer": layer.name, "kernels": list(layer.kernels), "channels": layer.channels}
            for layer in layers
        ],
    }
    return NetworkPyramid(Network(name, frames_THWC, heats, note), facts)
