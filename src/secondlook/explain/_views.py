"""Heat maps to be set beside each other: layers, pathways, classes, methods of one clip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import softmax  # type: ignore[import-untyped]
from torch import nn

from secondlook import catalog
from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.explain._options import options_of
from secondlook.explain._wish import Wish, label_of
from secondlook.predict.weights import LoadedModel
from secondlook.video.transform import InputClip

View = dict[str, HeatMap]
"""Heading of a column -> heat."""


def views(
    loaded: LoadedModel,
    clip: InputClip,
    label: int,
    wish: Wish,
    logits_K: np.ndarray[Any, np.dtype[np.float32]],
    given: int,
    made: dict[str, HeatMap],
    left_out: list[str],
) -> dict[str, View]:
    """Every grid that a wish asks for, by the name of its file.

    Args:
        loaded: a trained network.
        clip: what it gets.
        label: class that is explained (but in the grid of classes).
        wish: what is asked for, see `_wish.check`.
        logits_K: of the clip.
        given: its given label, or `UNLABELLED`.
        made: method -> heat map of `label`, as already made.
        left_out: gets a line for each layer that a method cannot read, while it can read others.

    Raises:
        BadValue: if a method can read none of the layers.
    """
    found: dict[str, View] = {}
    if len(made) > 1:
        found["methods"] = {f"{method}\n{_where(heat)}": heat for method, heat in made.items()}
    for method, options in wish.methods.items():
        one = _Method(loaded.model, loaded, clip, method, dict(options))
        end = "" if method == wish.method else f"-{method}"
        if wish.layers and one.has("layer"):
            found |= {
                f"layers{name}{end}": of_one_sign(v) for name, v in _layers(one, label, wish.layers, left_out).items()
            }
        if wish.pathways and one.has("pathway"):
            found[f"pathways{end}"] = of_one_sign(_pathways(one, label, wish.pathways))
        if wish.classes:
            found[f"classes{end}"] = of_one_sign(_classes(one, wish.classes, logits_K, given, made[method]))
    return found


class _Method:
    """One method on one clip."""

    def __init__(
        self, model: nn.Module, loaded: LoadedModel, clip: InputClip, method: str, options: dict[str, Any]
    ) -> None:
        self.model, self.loaded, self.clip, self.method, self.options = model, loaded, clip, method, options

    def has(self, option: str) -> bool:
        return option in options_of(self.method)

    def __call__(self, label: int, **options: Any) -> HeatMap:
        explain = catalog.find("explain", self.method).explain
        heat: HeatMap = explain(self.model, self.loaded.card, self.clip, label, **{**self.options, **options})
        return heat


def _layers(one: _Method, label: int, names: tuple[str, ...], left_out: list[str]) -> dict[str, View]:
    """A grid of layers, or one a pathway (figures V11, V12); what belongs to no pathway stands in each."""
    of = {point.module: point.pathway for point in one.loaded.card.explain.stages}
    heats: dict[str, HeatMap] = {}
    refused: list[BadValue] = []
    for name in names:
        try:
            heats[name] = one(label, layer=name)
        except BadValue as error:
            refused.append(error)
    if refused and not heats:
        raise refused[0]
    left_out += [f"{one.method}: {error}" for error in refused]
    paths = list(dict.fromkeys(of.get(name, "") for name in names if of.get(name)))
    if len(paths) < 2:
        return {"": {f"{name}\n{grid_words(heat)}": heat for name, heat in heats.items()}}
    return {
        f"-{path}": {
            f"{name}\n{grid_words(heat)}": heat for name, heat in heats.items() if of.get(name, "") in ("", path)
        }
        for path in paths
    }


def _pathways(one: _Method, label: int, names: tuple[str, ...]) -> View:
    """The last stage of each pathway (figure V9)."""
    heats = {name: one(label, layer="", pathway=name) for name in names}
    return {f"{name.capitalize()}\n{_where(heat)}": heat for name, heat in heats.items()}


def _classes(
    one: _Method,
    wanted: tuple[str, ...],
    logits_K: np.ndarray[Any, np.dtype[np.float32]],
    given: int,
    made: HeatMap,
) -> View:
    predicted = int(logits_K.argmax())
    confidence_K = softmax(logits_K.astype(np.float64))
    labels = one.loaded.labels
    found = {}
    for label in dict.fromkeys(label_of(text, labels, given, predicted) for text in wanted):
        heat = made if label == made.label else one(label)
        roles = [role for role, is_so in (("given", label == given), ("predicted", label == predicted)) if is_so]
        found[f"{labels.names[label]}\n{' · '.join([*roles, f'{confidence_K[label]:.0%}'])}"] = heat
    return found


def of_one_sign(view: View) -> View:
    """Where one map of a method has a sign, all have: else some columns would be red and blue, others not."""
    signed = any(heat.signed for heat in view.values())
    return {heading: replace(heat, signed=signed) for heading, heat in view.items()}


def grid_words(heat: HeatMap) -> str:
    """The network's own grid of a heat map: `12 × 4 × 4`; empty where a method notes none."""
    return " × ".join(str(n) for n in heat.notes.get("grid", ()))


def _where(heat: HeatMap) -> str:
    return " ".join(part for part in (heat.module or "input", grid_words(heat)) if part)
