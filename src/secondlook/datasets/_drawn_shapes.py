"""Outlines and surfaces of drawn things: signed distances and patterns, in the thing's own coordinates.

An outline takes `u` (right), `v` (down) from the centre and the half width and height, and gives the signed distance in
the same unit, negative inside. A pattern takes `u` and `v` over the half sizes and gives the share of the second
colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from secondlook.datasets._drawn_plan import Array, Skin

Outline = Callable[[Array, Array, float, float], Array]


def ball(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """An ellipse (the distance is exact for a circle)."""
    return np.asarray((np.hypot(u / half_width, v / half_height) - 1) * min(half_width, half_height))


def box(u: Array, v: Array, half_width: float, half_height: float, corner: float = 0.02) -> Array:
    """A rectangle with round corners."""
    across, down = np.abs(u) - (half_width - corner), np.abs(v) - (half_height - corner)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return outside + np.minimum(np.maximum(across, down), 0) - corner


def bottle(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """A wide body with a neck."""
    body = box(u, v - 0.25 * half_height, half_width, 0.75 * half_height)
    neck = box(u, v + 0.7 * half_height, 0.4 * half_width, 0.3 * half_height, 0.01)
    return np.minimum(body, neck)


def hexagon(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """Six equal sides."""
    across, down = np.abs(u) / half_width, np.abs(v) / half_height
    return (np.maximum(0.5 * across + 0.866 * down, across) - 1) * min(half_width, half_height)


def cross(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """Two bars."""
    upright = box(u, v, 0.48 * half_width, half_height)
    return np.minimum(upright, box(u, v, half_width, 0.48 * half_height))


def container(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """The front of a bin, wider at the top."""
    return np.asarray(np.maximum(np.abs(v) - half_height, np.abs(u) - half_width * (1 - 0.14 * (v / half_height + 1))))


def cloth(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """A piece of cloth with a wavy hem, narrower at the top."""
    hem = 0.012 * np.sin(u * (12 / half_width) * 0.5)
    return np.asarray(
        np.maximum(np.abs(v + hem) - half_height, np.abs(u) - half_width * (0.86 + 0.14 * v / half_height))
    )


def card(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """A flat card."""
    return box(u, v, half_width, half_height, 0.006)


def rod(u: Array, v: Array, start: tuple[float, float], end: tuple[Array, Array], radius: float) -> Array:
    """A straight rod with round ends: a finger. Its far end may move from frame to frame (T x 1 x 1)."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    from_u, from_v = u - start[0], v - start[1]
    share = np.clip((from_u * along_u + from_v * along_v) / (along_u**2 + along_v**2), 0, 1)
    return np.asarray(np.hypot(from_u - share * along_u, from_v - share * along_v) - radius)


SHAPES: Mapping[str, Outline] = {
    "ball": ball,
    "box": box,
    "bottle": bottle,
    "hexagon": hexagon,
    "cross": cross,
    "bin": container,
    "opening": ball,
    "cloth": cloth,
    "card": card,
}


def _wave(x: Array) -> Array:
    return np.asarray(np.clip(0.5 + 2.5 * np.sin(np.pi * x), 0, 1))


PATTERNS: Mapping[str, Callable[[Array, Array, float], Array]] = {
    "plain": lambda u, v, period: np.zeros_like(u),
    "stripes": lambda u, v, period: _wave(2 * period * u),
    "slats": lambda u, v, period: _wave(2 * period * v) * 0.7,
    "checks": lambda u, v, period: np.clip(0.5 + 5 * np.sin(np.pi * period * u) * np.sin(np.pi * period * v), 0, 1),
    "halves": lambda u, v, period: np.clip(0.5 + 8 * u, 0, 1),
    "rings": lambda u, v, period: np.clip(0.5 + 3 * np.sin(3 * np.pi * np.hypot(u - 0.35, v)), 0, 1),
    "dots": lambda u, v, period: np.clip(
        3 * (np.cos(2 * np.pi * period * u * 0.8) + np.cos(2 * np.pi * period * v * 0.8) - 0.5), 0, 1
    ),
}


def surface(skin: Skin, u: Array, v: Array) -> Array:
    """Colours `... x 3` in 0..255 of a surface; `u` and `v` are -1..1 over the body."""
    first, second = np.asarray(skin.first, np.float32) * 255, np.asarray(skin.second, np.float32) * 255
    if skin.pattern == "photo":
        return _photo(u, v, first, second)
    share = PATTERNS[skin.pattern](u, v, skin.period)
    colour: Array = first + share[..., None] * (second - first)
    return colour


def _photo(u: Array, v: Array, border: Array, sky: Array) -> Array:
    """A picture in a white frame: a thing with a leaf on a meadow under a sky, none of it in relief."""
    inside = (np.abs(u) < 0.82) & (np.abs(v + 0.06) < 0.74)
    picture = np.where((v < 0.25)[..., None], sky, np.array([105, 150, 70], np.float32))
    thing = np.hypot(u, v - 0.02) < 0.42
    picture = np.where(thing[..., None], np.array([205, 50, 60], np.float32), picture)
    leaf = np.hypot((u - 0.12) / 0.22, (v + 0.5) / 0.1) < 1
    picture = np.where(leaf[..., None], np.array([40, 110, 40], np.float32), picture)
    return np.where(inside[..., None], picture, border).astype(np.float32)
