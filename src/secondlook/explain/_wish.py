"""What is to be explained of a clip, and what came of it; a wish that no clip could fulfil is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import find_module
from secondlook.explain._methods import must_suit
from secondlook.explain._options import options_of
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video.heat_colours import LOOK, Look
from secondlook.video.hotspots import THRESHOLD, Threshold
from secondlook.video.transform import InputClip


@dataclass(frozen=True)
class Wish:
    """What is to be explained, how, and what is to be drawn. Plain values, so that it can be kept as JSON."""

    method: str = "grad_cam"
    """A file of this room."""
    label: str = "predicted"
    """`predicted`, `given`, a class name, or a class index."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to the method (Grad-CAM: `layer`, `weights`)."""
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further methods with their options: pictures of each, and all side by side."""
    layers: tuple[str, ...] = ()
    """Layers of a grid, from input to head; empty: no grid. One grid a pathway where they are of several."""
    pathways: tuple[str, ...] = ()
    """Pathways of a grid (`slow`, `fast`); empty: no grid."""
    classes: tuple[str, ...] = ()
    """Classes of a grid, written like `label`; empty: no grid."""
    columns: int = 8
    """Frames in the strip."""
    video: bool = True
    gif: bool = False
    pictures: bool = False
    """Every frame as a PNG of its own."""
    hotspots: bool = False
    """A sheet of hotspots, one frame large, relevance a frame; hotspots in the overlay video too."""
    threshold: Threshold = THRESHOLD
    look: Look = LOOK

    @property
    def methods(self) -> dict[str, Mapping[str, Any]]:
        """Every method with its options, the main one first."""
        return {self.method: self.options, **self.beside}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        lists = {name: list(getattr(self, name)) for name in ("layers", "pathways", "classes")}
        beside = {method: dict(options) for method, options in self.beside.items()}
        return asdict(self) | {"options": dict(self.options), "beside": beside} | lists


@dataclass(frozen=True)
class Explained:
    """One video explained."""

    heat: HeatMap
    logits_K: npt.NDArray[np.float32]
    frames_THWC: npt.NDArray[np.uint8]
    """The sampled frames, for pictures."""
    given: int
    """Given label, as a class of the network; `UNLABELLED` where there is none."""
    beside: Mapping[str, HeatMap] = field(default_factory=dict)
    """Further methods by name."""
    views: Mapping[str, Mapping[str, HeatMap]] = field(default_factory=dict)
    """Name of a grid (`layers`, `layers-slow`, `pathways`, `classes`, `methods`) -> heading of a column -> heat."""
    cuts: tuple[int, ...] = ()
    """Positions among the sampled frames at which a new shot begins."""
    threshold: Threshold = THRESHOLD
    """Of the hotspots that are counted."""
    clip: InputClip | None = None
    """What the network saw, for methods that draw pictures of their own."""
    left_out: tuple[str, ...] = ()
    """Columns that were asked for and are not there, with the reason."""

    @property
    def layers(self) -> dict[str, HeatMap]:
        """Heading of a column -> heat there, over every grid of layers."""
        return {
            heading: heat
            for name, view in self.views.items()
            if name.startswith("layers")
            for heading, heat in view.items()
        }


def check(loaded: LoadedModel, wish: Wish) -> None:
    """Refuses a wish that no video could fulfil, before any is read.

    Raises:
        UnknownName: for a method, option, layer, pathway or label that does not exist.
        BadValue: for a class index out of range, a method that does not fit the network, or a grid of layers or
            pathways of methods that have none.
    """
    known = {method: options_of(method) for method in wish.methods}
    for method, options in wish.methods.items():
        for name in options:
            if name not in known[method]:
                raise UnknownName(f"option of {method}", name, known[method])
        if layer := options.get("layer"):
            find_module(loaded.model, layer)
    for name in wish.layers:
        find_module(loaded.model, name)
    paths = pathways_of(loaded.card)
    for name in wish.pathways:
        if not paths:
            raise BadValue(loaded.card.name, "has no pathways", "Leave --pathways out.")
        if name not in paths:
            raise UnknownName("pathway", name, paths)
    for wanted, option, flag in ((wish.layers, "layer", "--layers"), (wish.pathways, "pathway", "--pathways")):
        if wanted and not any(option in options for options in known.values()):
            named = ", ".join(known)
            raise BadValue(named, f"reads no {option}s, so there is no {option} grid", f"Leave {flag} out.")
    for label in (wish.label, *wish.classes):
        if label not in ("given", "predicted"):
            label_index(label, loaded.labels)
    for method in wish.methods:
        must_suit(method, loaded.model, loaded.card)


def pathways_of(card: ModelCard) -> tuple[str, ...]:
    """Pathways of a network, in the order of its stages; none where it has one only."""
    return tuple(dict.fromkeys(point.pathway for point in card.explain.stages if point.pathway))


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


def label_of(wanted: str, labels: LabelSpace, given: int, predicted: int) -> int:
    """The class that a wish names, for one clip.

    Raises:
        BadValue: if the given label is wished for and there is none.
        UnknownName: if no class reads so.
    """
    if wanted == "predicted":
        return predicted
    if wanted == "given":
        if given == UNLABELLED:
            cure = "Explain a row of a videos table that has one, or name the class with --label NAME."
            raise BadValue("given", "this video has no given label", cure)
        return given
    return label_index(wanted, labels)
