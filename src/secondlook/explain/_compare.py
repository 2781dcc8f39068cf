"""Two networks on one clip, and two classes that are taken for each other on a clip of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from scipy.special import softmax  # type: ignore[import-untyped]

from secondlook import tables
from secondlook.errors import BadValue, SecondlookError
from secondlook.explain._clips import Decode, explain_video
from secondlook.explain._drawn import top
from secondlook.explain._hooks import clip_logits
from secondlook.explain._options import options_of
from secondlook.explain._wish import Explained, Wish, check, label_index
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video.grid import Panel
from secondlook.video.listed_path import leaves_root
from secondlook.video.transform import input_clip


def by_another(wish: Wish, label_name: str, loaded: LoadedModel, other: LoadedModel) -> Wish:
    """The same wish for another network: the class by its name, and no layer, for layers are called otherwise there.

    Raises:
        UnknownName: if the other network does not know the class, or a method or option is not there.
        BadValue: if the method does not fit the other network.
    """
    label = str(label_index(label_name, other.labels)) if label_name.isdecimal() else label_name
    if other.card.name == loaded.card.name:
        options = wish.methods
    else:
        options = {m: {k: v for k, v in o.items() if k not in ("layer", "pathway")} for m, o in wish.methods.items()}
    beside = {method: own for method, own in options.items() if method != wish.method}
    made = replace(wish, label=label, options=options[wish.method], beside=beside, layers=(), pathways=(), classes=())
    check(other, made)
    return made


def model_panels(runs: Sequence[tuple[str, LoadedModel, Explained]]) -> list[Panel]:
    """A panel a network: its own sampled frames, and each method there.

    Args:
        runs: name of the run, the network, what it gave.
    """
    panels = []
    for name, loaded, explained in runs:
        best = top(explained.logits_K, loaded.labels, 1)[0]
        confidence = float(softmax(explained.logits_K)[explained.heat.label])
        heats = {explained.heat.method: explained.heat, **explained.beside}
        under = {
            f"{method}\n{loaded.labels.names[heat.label]}, {confidence:.0%}": heat for method, heat in heats.items()
        }
        title = f"{name} · {loaded.card.name} · predicted: {best['name']}, {best['confidence']:.0%}"
        panels.append(Panel(explained.frames_THWC, under, title))
    return panels


def pair_panel(explained: Explained, loaded: LoadedModel, video: str) -> Panel:
    """A clip with the two classes of a pair (`Wish.classes`)."""
    best = top(explained.logits_K, loaded.labels, 1)[0]
    given = f" · given: {loaded.labels.names[explained.given]}" if explained.given != UNLABELLED else ""
    title = f"{video}{given} · predicted: {best['name']}, {best['confidence']:.0%}"
    return Panel(explained.frames_THWC, explained.views["classes"], title)


def most_confused(
    loaded: LoadedModel, videos: pa.Table, pair: tuple[str, str], root: Path, decode: Decode, at_most: int = 8
) -> list[Mapping[str, Any]]:
    """A row of each class of a pair: of those looked at, that whose logit of the other class is highest above its own.

    Args:
        loaded: the network.
        videos: rows to choose from.
        pair: two class names.
        root: folder of the videos.
        decode: see `explain_video`.
        at_most: rows of each class that are looked at, evenly spread.

    Raises:
        UnknownName: if the table or the network does not know a class.
        BadValue: if the classes are one, or no row of a class can be used.
    """
    own_K = _two(pair, loaded)
    space = tables.label_space(videos)
    chosen = []
    for place, name in enumerate(pair):
        wanted = space.index_of(loaded.labels.names[own_K[place]])
        rows = [r for r in videos.to_pylist() if r["label"] == wanted and r["status"] in tables.USABLE]
        if len(rows) > at_most:
            rows = [rows[n * len(rows) // at_most] for n in range(at_most)]
        found: list[tuple[float, int]] = []
        for number, row in enumerate(rows):
            if leaves_root(row["path"]):
                continue
            try:
                clip = input_clip(root / row["path"], loaded.card.clip, decode=decode)
                logits_K = clip_logits(loaded.model, clip.x_CTHW)
            except SecondlookError:
                continue  # the next one may be read
            found.append((float(logits_K[own_K[1 - place]] - logits_K[own_K[place]]), -number))
        if not found:
            raise BadValue(name, "none of the chosen videos of this class can be read", "Give --split all.")
        chosen.append(rows[-max(found)[1]])
    return chosen


def explain_pair(
    loaded: LoadedModel, path: Path, wish: Wish, pair: tuple[str, str], given: int, decode: Decode
) -> Explained:
    """A clip explained for both classes of a pair, and nothing else.

    Raises:
        UnknownName: if the network does not know a class.
        BadValue: if the classes are one, or see `explain_video`.
    """
    _two(pair, loaded)
    both = replace(wish, label=pair[0], classes=pair, beside={}, layers=(), pathways=())
    check(loaded, both)
    return explain_video(loaded, path, both, given=given, decode=decode)


def _two(pair: tuple[str, str], loaded: LoadedModel) -> tuple[int, int]:
    one, other = (label_index(name, loaded.labels) for name in pair)
    if one == other:
        raise BadValue(pair[0], "a pair needs two classes", "For example --pair 'Rolling left' 'Rolling right'.")
    return one, other


def listed_methods(loaded: LoadedModel) -> dict[str, dict[str, Any]]:
    """Every method with its first line, whether it fits this network, why not, and its options."""
    from secondlook import catalog
    from secondlook.explain._methods import unsuitable

    found = {}
    for method, first_line in catalog.describe("explain").items():
        reason = unsuitable(method, loaded.model, loaded.card)
        options = [] if reason else [option.words() for option in options_of(method).values()]
        found[method] = {"about": first_line, "fits": not reason, "reason": reason, "options": options}
    return found
