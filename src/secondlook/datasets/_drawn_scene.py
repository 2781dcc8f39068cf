"""The scene that a group of drawn clips shares: wall, table, floor, hand tone, sleeve and the things at hand."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from secondlook.datasets._drawn_plan import Array, Colour, Skin

TILE = 256
"""Side of a texture tile, in pixels."""
TILE_SPAN = 1.6
"""Side of a texture tile, in frame widths; it repeats beyond."""
_HAND_TONES = ((0.93, 0.75, 0.62), (0.86, 0.64, 0.50), (0.72, 0.50, 0.36), (0.55, 0.37, 0.26), (0.38, 0.26, 0.19))
_SHAPES = ("ball", "box", "bottle", "hexagon", "cross")
_PATTERNS = ("stripes", "checks", "halves", "rings", "dots")


@dataclass(frozen=True)
class Look:
    """A thing at hand: its shape, size and surface."""

    shape: str
    half: tuple[float, float]
    skin: Skin


@dataclass(frozen=True)
class Scene:
    """What the clips of one group have in common."""

    textures: Array
    """Pixels x 3: the tiles of wall, table and floor, one after the other, in 0..255."""
    horizon: float
    """y of the far edge of the table."""
    edge: float
    """x at which the table ends to one side, half way down."""
    edge_side: int
    """1: the table ends at the right; -1: at the left."""
    hand: Colour
    sleeve: Colour
    hand_scale: float
    thumb_side: int
    things: tuple[Look, ...]
    """Small things that a hand can move."""
    bin: Look
    block: Look
    cloth: Look
    photo: Look


def make_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene: dull wall and table, vivid things of hues far from each other and from skin."""
    wall_hue, table_hue = rng.uniform(0, 1), rng.choice((0.08, 0.11, 0.3, 0.55, 0.62)) + rng.uniform(-0.03, 0.03)
    wall = _tile(rng, _hsv(wall_hue, rng.uniform(0.05, 0.3), rng.uniform(0.55, 0.85)), rng.uniform(0.06, 0.13), (6, 6))
    table = _tile(
        rng, _hsv(table_hue, rng.uniform(0.15, 0.4), rng.uniform(0.4, 0.75)), rng.uniform(0.05, 0.11), (3, 24)
    )
    floor = _tile(rng, _hsv(rng.uniform(0, 1), 0.12, rng.uniform(0.2, 0.32)), 0.06, (10, 10))
    edge_side = int(rng.choice((-1, 1)))
    edge = 0.5 + edge_side * rng.uniform(0.29, 0.35)
    # Five hues apart from each other, away from those of skin (0.02 to 0.1).
    hues = rng.permutation(0.15 + np.arange(5) * 0.165 + rng.uniform(0, 0.15))
    things = tuple(_thing(rng, float(hue), shape) for hue, shape in zip(hues, rng.permutation(_SHAPES), strict=False))
    bin_colour, block_colour = _hsv(float(hues[3]), 0.35, 0.75), _hsv(float(hues[4]), 0.3, 0.8)
    return Scene(
        textures=np.concatenate([wall, table, floor]),
        horizon=float(rng.uniform(0.36, 0.46)),
        edge=float(edge),
        edge_side=edge_side,
        hand=_HAND_TONES[int(rng.integers(len(_HAND_TONES)))],
        sleeve=_hsv(rng.uniform(0, 1), rng.uniform(0.2, 0.7), rng.uniform(0.25, 0.8)),
        hand_scale=float(rng.uniform(1.25, 1.5)),
        thumb_side=int(rng.choice((-1, 1))),
        things=things[:3],
        bin=Look(
            "bin",
            (float(rng.uniform(0.16, 0.19)), float(rng.uniform(0.12, 0.15))),
            Skin(bin_colour, _dark(bin_colour, 0.72), "slats", float(rng.uniform(2, 4))),
        ),
        block=Look(
            "box",
            (float(rng.uniform(0.14, 0.18)), float(rng.uniform(0.10, 0.13))),
            Skin(block_colour, _dark(block_colour, 0.8), str(rng.choice(("checks", "dots"))), float(rng.uniform(2, 3))),
        ),
        cloth=Look(
            "cloth",
            (float(rng.uniform(0.165, 0.19)), float(rng.uniform(0.15, 0.17))),
            Skin(_hsv(float(hues[3]), 0.55, 0.85), _hsv(float(hues[4]), 0.5, 0.7), "checks", float(rng.uniform(2, 4))),
        ),
        photo=Look("card", (0.115, 0.135), Skin((0.95, 0.95, 0.93), (0.5, 0.7, 0.9), "photo")),
    )


def _thing(rng: np.random.Generator, hue: float, shape: str) -> Look:
    half = rng.uniform(0.100, 0.125)
    wide, high = {"box": (1.05, 0.85), "bottle": (0.72, 1.2), "card": (1.0, 1.0)}.get(shape, (1.0, 1.0))
    first = _hsv(hue, rng.uniform(0.7, 0.95), rng.uniform(0.75, 0.98))
    second = _hsv(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.1, 0.35), rng.uniform(0.9, 1.0))
    if rng.uniform() < 0.4:
        second = _dark(first, 0.4)
    skin = Skin(first, second, str(rng.choice(_PATTERNS)), float(rng.uniform(1.2, 2.0)))
    return Look(shape, (float(half * wide), float(half * high)), skin)


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(float(hue) % 1.0, float(saturation), float(value))


def _dark(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _tile(rng: np.random.Generator, colour: Colour, contrast: float, waves: tuple[int, int]) -> Array:
    """A texture that repeats without a seam: noise with about `waves` (across, down) bumps a tile, in three octaves."""
    across, down = np.meshgrid(np.fft.rfftfreq(TILE, 1 / TILE), np.fft.fftfreq(TILE, 1 / TILE))
    octaves = (1.0, 2.5, 6.0)
    size = sum(np.exp(-((across / (waves[0] * o)) ** 2 + (down / (waves[1] * o)) ** 2)) / o for o in octaves)
    size = np.where((across > 0) | (down != 0), size, 0.0)
    noise = np.fft.irfft2(size * np.exp(2j * np.pi * rng.uniform(size=across.shape)), (TILE, TILE))
    noise = noise / noise.std() * contrast
    tint = 1 + rng.uniform(-0.3, 0.3, 3)
    rgb = np.asarray(colour) * (1 + noise[..., None] * tint)
    return np.asarray(np.clip(rgb * 255, 0, 255).astype(np.float32).reshape(-1, 3))
