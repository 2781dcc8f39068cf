"""A drawn clip before it is painted: what stands where in every frame. Played backwards, it is the twin of its pair.

Lengths are in frame widths, x to the right, y down, (0, 0) the top left corner of the frame while the camera rests.
Names end in their axes: T frames, 2 (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.datasets._drawn_truth import Facts

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

BACKGROUND, OBJECT, SECOND_OBJECT, HAND, CUE = range(5)
"""What a pixel of the masks says."""


@dataclass(frozen=True)
class Skin:
    """How the surface of a body is painted."""

    first: Colour
    second: Colour
    pattern: str
    """One of `_drawn_paint.PATTERNS`."""
    period: float = 1.0
    """Repeats of the pattern over half the body."""


@dataclass(frozen=True)
class Body:
    """An object, or a part of one (the opening of a bin is a body of its own, painted behind what falls in)."""

    shape: str
    """One of `_drawn_paint.SHAPES`."""
    half: tuple[float, float]
    """Half of the width and of the height."""
    skin: Skin
    mask: int
    at_T2: Array
    """Centre."""
    angle_T: Array
    """Turn, in radians; clockwise as seen."""
    stretch_T2: Array
    """Factors on width and height."""
    floor: float | None = None
    """y of the table under it; its shadow lies there."""


@dataclass(frozen=True)
class Hand:
    """A hand with its arm, which comes from beyond the border."""

    at_T2: Array
    """The point between the fingertips, where a held thing begins."""
    angle_T: Array
    """Where the fingers point, in radians; 0 right, pi / 2 down."""
    curl_T: Array
    """0: open, fingers spread; 1: closed."""


@dataclass(frozen=True)
class Arm:
    """The arm, palm and thumb of a hand, as a layer."""

    hand: Hand


@dataclass(frozen=True)
class Fingers:
    """The fingers of a hand, as a layer; a held thing is painted between arm and fingers."""

    hand: Hand


Layer = Body | Arm | Fingers


@dataclass(frozen=True)
class Plan:
    """A whole clip: layers from the farthest to the nearest, the camera, the light, what happens and when."""

    layers: tuple[Layer, ...]
    facts: Facts
    first: int
    """Index of the last frame before anything moves."""
    last: int
    """Index of the first frame at which everything has moved."""
    camera_T2: Array
    """Where the top left corner of the frame stands: turning and shaking."""
    light_T: Array
    """Factor on all brightness."""
    wall_T2: Array
    """Shift of the wall's texture: the background moves on its own."""

    @property
    def frames(self) -> int:
        """T."""
        return len(self.light_T)

    def played_backwards(self) -> Plan:
        """The same clip with time reversed: frame t is frame T - 1 - t, and the facts are those of its twin."""
        return Plan(
            tuple(_backwards(layer) for layer in self.layers),
            self.facts.turned_round(),
            self.frames - 1 - self.last,
            self.frames - 1 - self.first,
            self.camera_T2[::-1],
            self.light_T[::-1],
            self.wall_T2[::-1],
        )


def _backwards(layer: Layer) -> Layer:
    if isinstance(layer, Body):
        return replace(layer, at_T2=layer.at_T2[::-1], angle_T=layer.angle_T[::-1], stretch_T2=layer.stretch_T2[::-1])
    hand = layer.hand
    return replace(layer, hand=Hand(at_T2=hand.at_T2[::-1], angle_T=hand.angle_T[::-1], curl_T=hand.curl_T[::-1]))
