"""Drawn pairs of pictures whose true motion is known."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def texture(height: int, width: int, seed: int = 0, grain: float = 2.0) -> np.ndarray:
    """Smooth noise over the whole range of grey, as floating point."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    layers = [ndimage.gaussian_filter(noise, s * grain) for s in (1, 3, 9)]  # large shifts need large marks
    return np.clip(128 + 35 * sum(layer / layer.std() for layer in layers), 0, 255)


def shifted(u: float, v: float, height: int = 96, width: int = 128, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two 8-bit pictures of one scene: what is at (x, y) in the first is at (x + u, y + v) in the second."""
    room = int(np.ceil(max(abs(u), abs(v)))) + 8
    whole = texture(height + 2 * room, width + 2 * room, seed)
    down, across = np.mgrid[:height, :width]
    first = whole[room : room + height, room : room + width]
    second = ndimage.map_coordinates(whole, [down + room - v, across + room - u], order=3)
    return tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (first, second))  # type: ignore[return-value]


def two_layers(u: float = 4.0, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured square that moves by (u, 0) over a texture at rest, and the true flow of the first picture."""
    back, front = (texture(height, width, seed).copy() for seed in (1, 2))
    down, across = np.mgrid[:height, :width]
    inside = (np.abs(down - height / 2) < height / 4) & (np.abs(across - width / 2) < width / 4)
    step = int(u)
    moved_inside, moved_front = np.roll(inside, step, 1), np.roll(front, step, 1)
    first, second = np.where(inside, front, back), np.where(moved_inside, moved_front, back)
    flow_HW2 = np.zeros((height, width, 2))
    flow_HW2[inside, 0] = u
    return np.rint(first).astype(np.uint8), np.rint(second).astype(np.uint8), flow_HW2
