"""What every drawn action builds its plan with: the interval of the action, bodies, hands, camera shake, light."""

from __future__ import annotations

import numpy as np

from secondlook.datasets._drawn_plan import OBJECT, Arm, Array, Body, Fingers, Hand, Layer, Plan
from secondlook.datasets._drawn_scene import Look, Scene
from secondlook.datasets._drawn_truth import Facts

Point = tuple[float, float]


def ease(u: Array, start: float = 0.0, end: float = 1.0) -> Array:
    """From 0 at `start` to 1 at `end`, slow at both ends: 3 x^2 - 2 x^3."""
    x = np.clip((u - start) / (end - start), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def between(start: Point, end: Point, share_T: Array) -> Array:
    """The straight way from one point to another, T x 2."""
    return np.asarray(start, np.float32) + share_T[:, None] * (
        np.asarray(end, np.float32) - np.asarray(start, np.float32)
    )


def toward(angle: float) -> Array:
    """The unit vector of an angle."""
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


class Stage:
    """One clip in the making. Its random numbers come from one generator in a fixed order."""

    def __init__(self, scene: Scene, rng: np.random.Generator, frames: int) -> None:
        self.scene, self.rng, self.frames = scene, rng, frames
        self.first, self.last = 0, frames - 1
        self._looks = [scene.things[int(i)] for i in rng.permutation(len(scene.things))]

    def between(self, low: float, high: float) -> float:
        """A uniform random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return bool(self.rng.uniform() < share)

    def side(self) -> int:
        """-1 or 1."""
        return 1 if self.chance(0.5) else -1

    def thing(self, number: int = 0) -> Look:
        """The first, second or third small thing of this clip."""
        return self._looks[number]

    def act(self, shortest: float = 0.45, longest: float = 0.82) -> Array:
        """Chooses the interval of the action, as a share of the clip; gives the time in it, 0..1, for every frame.

        Nothing but camera, light and background moves before it (time 0) and after it (time 1), which is at least one
        frame each. The share varies widely within a class: how long a motion takes says nothing about its class.
        """
        share, place = self.between(shortest, longest), self.between(0, 1)
        length = int(np.clip(round(share * self.frames), 3, self.frames - 3))
        self.first = 1 + int(place * (self.frames - 2 - length))
        self.last = self.first + length
        index_T = np.arange(self.frames, dtype=np.float32)
        return np.asarray(np.clip((index_T - self.first) / np.float32(length), 0, 1))

    @property
    def share(self) -> float:
        """Length of the action as a share of the clip."""
        return (self.last - self.first) / self.frames

    def still(self, value: float = 0.0) -> Array:
        """A constant over all frames."""
        return np.full(self.frames, value, np.float32)

    def rest(self, point: Point) -> Array:
        """A point that does not move."""
        return np.tile(np.asarray(point, np.float32), (self.frames, 1))

    def body(
        self,
        look: Look,
        at_T2: Array,
        mask: int = OBJECT,
        floor: float | None = None,
        angle_T: Array | None = None,
        stretch_T2: Array | None = None,
    ) -> Body:
        """A thing on its way."""
        angle_T = self.still() if angle_T is None else angle_T.astype(np.float32)
        stretch_T2 = np.ones((self.frames, 2), np.float32) if stretch_T2 is None else stretch_T2.astype(np.float32)
        return Body(look.shape, look.half, look.skin, mask, at_T2.astype(np.float32), angle_T, stretch_T2, floor)

    def arm(self, *borders: str) -> float:
        """An angle at which a hand reaches in from one of the borders: left, right, bottom, top_left, top_right."""
        border = borders[int(self.rng.integers(len(borders)))]
        degrees = {"left": -12.0, "right": 192.0, "bottom": -90.0, "top_left": 52.0, "top_right": 128.0}[border]
        return float(np.deg2rad(degrees + self.between(-16, 16)))

    def grip(self, at_T2: Array, look: Look, angle: float, depth: float = 0.55) -> Array:
        """Where the fingertips are while they hold a thing: `depth` of its half size before its centre."""
        along = toward(angle)
        reach = float(np.abs(along[0]) * look.half[0] + np.abs(along[1]) * look.half[1])
        return np.asarray(at_T2 - along * (reach * depth), np.float32)

    def hand(
        self, at_T2: Array, angle: float | Array, curl_T: Array | float = 1.0, away_T: Array | None = None
    ) -> Hand:
        """A hand; `away_T` draws it back along its arm, 1 is out of sight."""
        angle_T = angle.astype(np.float32) if isinstance(angle, np.ndarray) else self.still(angle)
        curl = curl_T.astype(np.float32) if isinstance(curl_T, np.ndarray) else self.still(curl_T)
        if away_T is not None:
            back_T2 = np.stack([np.cos(angle_T), np.sin(angle_T)], axis=1)
            at_T2 = at_T2 - back_T2 * away_T[:, None]
        return Hand(at_T2.astype(np.float32), angle_T, curl)

    def wander(self, size: float, knots: int) -> Array:
        """A smooth random track around 0."""
        values = self.rng.normal(0, size, knots)
        places = np.linspace(0, self.frames - 1, knots)
        return np.interp(np.arange(self.frames), places, values).astype(np.float32)

    def plan(self, layers: tuple[Layer, ...], facts: Facts, camera_T2: Array | None = None) -> Plan:
        """The finished plan, with camera shake (1 to 3 pixels of 112), drifting light and a wall that moves."""
        shake = self.between(0.3, 1.0) / 112
        knots = max(4, self.frames // 2)
        shake_T2 = np.stack([self.wander(shake, knots), self.wander(shake, knots)], axis=1)
        light_T = (
            1 + self.wander(self.between(0.01, 0.06), 5) + np.linspace(-1, 1, self.frames) * self.between(-0.1, 0.1)
        )
        if self.chance(0.15):
            light_T = light_T + np.where(np.arange(self.frames) < self.between(0.2, 0.8) * self.frames, 0.0, -0.14)
        light_T = light_T * self.between(0.85, 1.08)
        drift_2 = self.rng.normal(0, 0.07, 2)
        wall_T2 = np.linspace(-1, 1, self.frames)[:, None] * drift_2
        wall_T2 = wall_T2 + np.stack([self.wander(0.012, 6), self.wander(0.006, 6)], axis=1)
        return Plan(
            layers,
            facts,
            self.first,
            self.last,
            (shake_T2 if camera_T2 is None else shake_T2 + camera_T2).astype(np.float32),
            light_T.astype(np.float32),
            wall_T2.astype(np.float32),
        )


def held(hand: Hand, *bodies: Body) -> tuple[Layer, ...]:
    """Layers of a hand that holds bodies: arm and palm behind them, fingers before them."""
    return (Arm(hand), *bodies, Fingers(hand))
