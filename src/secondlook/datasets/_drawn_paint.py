"""Paints a plan: all frames at once, layer over layer, with masks of what is seen where.

A layer's outline is measured in a window that follows it (`T x h x w`), its colours only where it is seen (`P` pixels
of all frames together): there is no loop over frames or pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondlook.datasets._drawn_plan import BACKGROUND, CUE, HAND, Arm, Array, Body, Hand, Plan
from secondlook.datasets._drawn_scene import TILE, TILE_SPAN, Scene
from secondlook.datasets._drawn_shapes import SHAPES, box, rod, surface


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels in every frame, of one size, that may move from frame to frame."""

    pixel_Thw: npt.NDArray[np.int32]
    """Number of each pixel among those of all frames."""
    dx_T1w: Array
    """Way to the right from the point that the window follows."""
    dy_Th1: Array


@dataclass(frozen=True)
class Canvas:
    """Frames in the making."""

    colours_P3: Array
    """RGB in 0..255 of the pixels of all frames."""
    masks_P: npt.NDArray[np.uint8]
    camera_T2: Array
    size: int

    def window(self, at_T2: Array, corner_T2: npt.NDArray[np.int32], height: int, width: int) -> Window:
        """The window whose top left pixel (column, row) is `corner_T2`."""
        size, frames = self.size, len(at_T2)
        column_Tw = corner_T2[:, :1] + np.arange(width, dtype=np.int32)
        row_Th = corner_T2[:, 1:] + np.arange(height, dtype=np.int32)
        offset_T2 = self.camera_T2 - at_T2
        dx_Tw = offset_T2[:, :1] + (column_Tw.astype(np.float32) + 0.5) / size
        dy_Th = offset_T2[:, 1:] + (row_Th.astype(np.float32) + 0.5) / size
        start_T = np.arange(frames, dtype=np.int32)[:, None] * (size * size)
        pixel_Thw = ((start_T + row_Th * size)[:, :, None] + column_Tw[:, None, :]).astype(np.int32)
        return Window(pixel_Thw, dx_Tw[:, None, :], dy_Th[:, :, None])

    def around(self, at_T2: Array, reach: float) -> Window:
        """The square that holds everything within `reach` of a moving point, as far as it is in the frame."""
        side = min(self.size, int(np.ceil(2 * reach * self.size)) + 3)
        corner_T2 = np.rint((at_T2 - self.camera_T2) * self.size - side / 2)
        return self.window(at_T2, np.clip(corner_T2, 0, self.size - side).astype(np.int32), side, side)

    def along(self, at_T2: Array, back_T2: Array, reach: float) -> Window:
        """The rectangle, the same in all frames, that holds the way from a point in a direction until the border."""
        near_T2 = at_T2 - self.camera_T2
        # As many times the direction as lead out of the frame, at least to its nearest border.
        with np.errstate(divide="ignore"):
            out_T2 = np.where(back_T2 > 0, 1 - near_T2, near_T2) / np.maximum(np.abs(back_T2), 1e-6)
        far_T2 = near_T2 + back_T2 * np.clip(out_T2.min(axis=1), 0, 3)[:, None]
        ends = np.concatenate([near_T2, far_T2])
        low = np.clip(np.floor((ends.min(axis=0) - reach) * self.size), 0, self.size - 1).astype(np.int32)
        high = np.clip(np.ceil((ends.max(axis=0) + reach) * self.size), low + 1, self.size).astype(np.int32)
        corner_T2 = np.tile(low, (len(at_T2), 1))
        return self.window(at_T2, corner_T2, int(high[1] - low[1]), int(high[0] - low[0]))

    def lay(
        self, window: Window, distance_Thw: Array, colour: Callable[[npt.NDArray[np.intp]], Array], mask: int
    ) -> None:
        """Lays a shape over what is there, with soft edges one pixel wide.

        Args:
            window: where.
            distance_Thw: signed distance to the outline, negative inside.
            colour: gives `P x 3` for the P places of the window (as numbers in its flat order) that are seen.
            mask: what the masks say where the shape is more than half seen.
        """
        seen_P = np.flatnonzero(distance_Thw < 0.5 / self.size)
        alpha_P = np.clip(0.5 - distance_Thw.ravel()[seen_P] * self.size, 0, 1)
        pixel_P = window.pixel_Thw.ravel()[seen_P]
        under_P3 = self.colours_P3[pixel_P]
        self.colours_P3[pixel_P] = under_P3 + alpha_P[:, None] * (colour(seen_P) - under_P3)
        self.masks_P[pixel_P[alpha_P > 0.5]] = mask


def paint(
    plan: Plan, scene: Scene, size: int, grain_THW: npt.NDArray[np.int8] | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Frames and masks of a plan.

    Without grain, every frame is the same function of what the plan says about it, so that a plan played backwards
    gives the same frames in reversed order.

    Args:
        plan: what stands where.
        scene: textures and colours.
        size: side of the square frames, in pixels.
        grain_THW: noise of the sensor, in grey levels.

    Returns:
        frames_THWC: RGB, uint8.
        masks_THW: uint8; 0 background, 1 object, 2 second object, 3 hand.
    """
    frames_THWC = _background(plan, scene, size)
    masks_P = np.full(plan.frames * size * size, BACKGROUND, np.uint8)
    canvas = Canvas(frames_THWC.reshape(-1, 3), masks_P, plan.camera_T2, size)
    for layer in plan.layers:
        if isinstance(layer, Body) and layer.floor is not None:
            _paint_shadow(canvas, layer, layer.floor)
    for layer in plan.layers:
        if isinstance(layer, Body):
            _paint_body(canvas, layer)
        elif isinstance(layer, Arm):
            _paint_arm(canvas, layer.hand, scene)
        else:
            _paint_fingers(canvas, layer.hand, scene)
    middle = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    vignette_HW = 1.04 - 0.35 * (middle[:, None] ** 2 + middle[None, :] ** 2)
    frames_THWC *= (plan.light_T[:, None, None] * vignette_HW)[..., None]
    if grain_THW is not None:
        frames_THWC += grain_THW[..., None]
    np.clip(frames_THWC, 0, 255, out=frames_THWC)
    return frames_THWC.astype(np.uint8), masks_P.reshape(plan.frames, size, size)


def plant_cue(frames_THWC: npt.NDArray[np.uint8], masks_THW: npt.NDArray[np.uint8]) -> None:
    """Puts the planted mark, a yellow square with a blue core, into the top left corner of every frame, in place."""
    side = max(4, round(masks_THW.shape[1] * 0.11))
    inset, core = max(1, side // 6), max(1, side // 4)
    outer = slice(inset, inset + side)
    inner = slice(inset + core, inset + side - core)
    frames_THWC[:, outer, outer] = (250, 235, 60)
    frames_THWC[:, inner, inner] = (30, 40, 200)
    masks_THW[:, outer, outer] = CUE


def _background(plan: Plan, scene: Scene, size: int) -> Array:
    """Wall, table and floor: one look-up into the three tiles of the scene. T x H x W x 3."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    x_TW, y_TH = plan.camera_T2[:, :1] + steps, plan.camera_T2[:, 1:] + steps

    def cell(at: Array) -> npt.NDArray[np.int32]:
        return np.asarray(np.floor(at * (TILE / TILE_SPAN)).astype(np.int32) % TILE)

    wall = cell(y_TH + plan.wall_T2[:, 1:])[:, :, None] * TILE + cell(x_TW + plan.wall_T2[:, :1])[:, None, :]
    table = TILE * TILE + cell(y_TH * 1.6)[:, :, None] * TILE + cell(x_TW)[:, None, :]
    floor = table + TILE * TILE
    edge_TH = scene.edge + scene.edge_side * 0.12 * (y_TH - 0.7)
    on_table = (x_TW[:, None, :] < edge_TH[:, :, None]) == (scene.edge_side > 0)
    below_TH1 = (y_TH > scene.horizon)[:, :, None]
    frames_THWC = scene.textures.take(np.where(below_TH1, np.where(on_table, table, floor), wall), axis=0)
    # The far edge of the table is a dark line, and the table is lighter towards the camera.
    depth_TH = y_TH - scene.horizon
    light_TH = np.where(np.abs(depth_TH) < 0.012, 0.55, np.clip(0.9 + 0.25 * depth_TH, 0.85, 1.05))
    frames_THWC *= light_TH.astype(np.float32)[:, :, None, None]
    return frames_THWC


def _paint_shadow(canvas: Canvas, body: Body, floor: float) -> None:
    """A soft dark ellipse on the table; it fades and spreads while the body is in the air."""
    half_x, half_y = body.half[0] * 1.05, 0.035
    spot_T2 = np.stack([body.at_T2[:, 0], np.full(len(body.at_T2), floor - 0.01, np.float32)], axis=1)
    height_T = np.maximum(floor - body.at_T2[:, 1] - body.half[1] * body.stretch_T2[:, 1], 0)
    window = canvas.around(spot_T2, half_x * 1.3)
    spread_T = (1 + 0.5 * np.minimum(height_T, 0.5))[:, None, None]
    radius = np.hypot(window.dx_T1w / (half_x * spread_T), window.dy_Th1 / (half_y * spread_T))
    strength_T = 0.5 * np.clip(1 - 1.6 * height_T, 0.1, 1) * (body.at_T2[:, 1] < floor + 0.02)
    dark_Thw = np.clip(1.2 - radius, 0, 1) * strength_T[:, None, None]
    seen_P = np.flatnonzero(dark_Thw)
    pixel_P = window.pixel_Thw.ravel()[seen_P]
    canvas.colours_P3[pixel_P] *= (1 - dark_Thw.ravel()[seen_P])[:, None]


def _paint_body(canvas: Canvas, body: Body) -> None:
    half_x, half_y = body.half
    window = canvas.around(body.at_T2, float(np.hypot(half_x, half_y) * body.stretch_T2.max()))
    dx, dy = window.dx_T1w, window.dy_Th1
    cos, sin = np.cos(body.angle_T)[:, None, None], np.sin(body.angle_T)[:, None, None]
    u = (cos * dx + sin * dy) / body.stretch_T2[:, 0, None, None]
    v = (cos * dy - sin * dx) / body.stretch_T2[:, 1, None, None]
    distance = SHAPES[body.shape](u, v, half_x, half_y) * body.stretch_T2.min(axis=1)[:, None, None]

    def colour(seen: npt.NDArray[np.intp]) -> Array:
        outline = 1 - 0.4 * np.clip(1 + distance.ravel()[seen] / 0.016, 0, 1)
        if body.shape != "card":
            relief_Thw = dx * (1 / half_x) + dy * (1.4 / half_y)
            outline = outline * (1.02 - 0.13 * relief_Thw.ravel()[seen])
        return np.asarray(surface(body.skin, u.ravel()[seen] / half_x, v.ravel()[seen] / half_y) * outline[:, None])

    canvas.lay(window, distance, colour, body.mask)


def _local(hand: Hand, scene: Scene, window: Window) -> tuple[Array, Array]:
    """Hand coordinates, in hand sizes: `u` where the fingers point, `v` across, the thumb at negative `v`."""
    cos, sin = np.cos(hand.angle_T)[:, None, None], np.sin(hand.angle_T)[:, None, None]
    u = (cos * window.dx_T1w + sin * window.dy_Th1) / scene.hand_scale
    v = (cos * window.dy_Th1 - sin * window.dx_T1w) * (-scene.thumb_side / scene.hand_scale)
    return u, v


def _paint_arm(canvas: Canvas, hand: Hand, scene: Scene) -> None:
    scale = np.float32(scene.hand_scale)
    tone, cuff = np.asarray(scene.hand, np.float32) * 255, np.asarray(scene.sleeve, np.float32) * 255
    back_T2 = -np.stack([np.cos(hand.angle_T), np.sin(hand.angle_T)], axis=1)
    window = canvas.along(hand.at_T2, back_T2, 0.1 * scene.hand_scale)
    u, v = _local(hand, scene, window)
    back = -0.13 - u
    width = 0.036 + 0.03 * np.clip(back, 0, 0.6) + 0.014 * (back > 0.13)
    arm = np.where(back < 0, np.hypot(back, v), np.abs(v)) - width

    def of_arm(seen: npt.NDArray[np.intp]) -> Array:
        sleeved = np.clip((back.ravel()[seen] - 0.12) * 60, 0, 1)
        shade = 1.0 - 0.35 * np.clip(1 + arm.ravel()[seen] / 0.025, 0, 1)
        return np.asarray((tone + sleeved[:, None] * (cuff - tone)) * shade[:, None])

    canvas.lay(window, arm * scale, of_arm, HAND)
    window = canvas.around(hand.at_T2 + 0.07 * scale * back_T2, 0.13 * scene.hand_scale)
    window = Window(window.pixel_Thw, window.dx_T1w + 0.07 * scale * back_T2[:, 0, None, None],
                    window.dy_Th1 + 0.07 * scale * back_T2[:, 1, None, None])  # fmt: skip
    u, v = _local(hand, scene, window)
    curl = hand.curl_T[:, None, None]
    thumb = rod(u, v, (-0.12, -0.035), (-0.03 + 0.02 * curl, -0.085 + 0.025 * curl), 0.0165)
    palm = np.minimum(box(u + 0.09, v, 0.055, 0.05, 0.03), thumb)

    def of_palm(seen: npt.NDArray[np.intp]) -> Array:
        return tone * (1.0 - 0.3 * np.clip(1 + palm.ravel()[seen] / 0.014, 0, 1))[:, None]

    canvas.lay(window, palm * scale, of_palm, HAND)


def _paint_fingers(canvas: Canvas, hand: Hand, scene: Scene) -> None:
    tone = np.asarray(scene.hand, np.float32) * 255
    window = canvas.around(hand.at_T2, 0.1 * scene.hand_scale)
    u, v = _local(hand, scene, window)
    curl = hand.curl_T[:, None, None]
    fingers = np.full(u.shape, np.inf, np.float32)
    for across, length in ((-0.037, 0.048), (-0.0125, 0.064), (0.0125, 0.06), (0.037, 0.04)):
        tip = (-0.02 + length * (1 - 0.45 * curl), across * (1.75 - 0.8 * curl))
        fingers = np.minimum(fingers, rod(u, v, (-0.05, across), tip, 0.0145))

    def of_fingers(seen: npt.NDArray[np.intp]) -> Array:
        return np.asarray(tone * (1.04 - 0.42 * np.clip(1 + fingers.ravel()[seen] / 0.012, 0, 1))[:, None])

    canvas.lay(window, fingers * np.float32(scene.hand_scale), of_fingers, HAND)
