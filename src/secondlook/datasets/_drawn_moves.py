"""Drawn actions of a hand that carries things: moving, bringing together, putting, covering, showing, squeezing.

Each function plans one clip. Where an action has a twin played backwards, it is planned in one direction only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from secondlook.datasets._drawn_plan import OBJECT, SECOND_OBJECT, Arm, Array, Body, Fingers, Layer, Plan, Skin
from secondlook.datasets._drawn_scene import Look
from secondlook.datasets._drawn_stage import Point, Stage, between, ease, held
from secondlook.datasets._drawn_truth import Facts


def carry(stage: Stage, vertical: bool) -> Plan:
    """A hand carries a thing up (or to the right); on a slant, both directions hold."""
    look, u = stage.thing(), stage.act()
    slanted, side, from_table = stage.chance(0.3), stage.side(), vertical and stage.chance(0.35)
    length = stage.between(0.45, 0.52) if slanted else stage.between(0.28, 0.48)
    tilt = math.radians(stage.between(38, 45) if slanted else stage.between(0, 12))
    way = (side * math.sin(tilt), -math.cos(tilt)) if vertical else (math.cos(tilt), side * math.sin(tilt))
    right, down = way[0] * length, way[1] * length
    floor = stage.between(0.8, 0.92)
    if vertical:
        y = floor - look.half[1] if from_table else stage.between(0.64, 0.72)
    else:
        y = stage.between(0.48, 0.6) - down / 2
    start = (stage.between(0.46, 0.54) - right / 2, y)
    angle = stage.arm("left", "right", "bottom")
    moves_T = ease(u, 0.3, 1) if from_table else ease(u)
    at_T2 = between(start, (start[0] + right, start[1] + down), moves_T)
    away_T = 0.75 * (1 - ease(u, 0, 0.28)) if from_table else stage.still()
    curl_T = 0.2 + 0.8 * ease(u, 0.18, 0.3) if from_table else stage.still(1.0)
    hand = stage.hand(stage.grip(at_T2, look, angle), angle, curl_T, away_T)
    facts = Facts(held=True, right=right, rise=-down, put_onto=-1 if from_table else 0)
    return stage.plan(held(hand, stage.body(look, at_T2, floor=floor)), facts)


def gather(stage: Stage) -> Plan:
    """Two things come closer: both, or one of them."""
    left, right, u = stage.thing(0), stage.thing(1), stage.act()
    middle, floor = stage.between(0.46, 0.54), stage.between(0.72, 0.86)
    far = stage.between(0.27, 0.32)
    near = (left.half[0] + right.half[0]) / 2 + stage.between(0.005, 0.02)
    movers = (True, True) if stage.chance(0.5) else ((True, False) if stage.chance(0.5) else (False, True))
    way = (far - near) * (1 if all(movers) else 2)
    at = (stage.rest((middle - far, floor - left.half[1])), stage.rest((middle + far, floor + 0.02 - right.half[1])))
    layers: list[Layer] = []
    for number, (look, mask, sign) in enumerate(((left, OBJECT, 1), (right, SECOND_OBJECT, -1))):
        moved_T2 = at[number] + np.array([sign * way, 0], np.float32) * (ease(u) * movers[number])[:, None]
        body = stage.body(look, moved_T2, mask, floor + 0.02 * number)
        angle = stage.arm("left" if number == 0 else "right", "left" if number == 0 else "right", "bottom")
        if movers[number]:
            layers += held(stage.hand(stage.grip(moved_T2, look, angle), angle), body)
        else:
            layers.insert(0, body)
    right_way = 0.0 if all(movers) else (way if movers[0] else -way)
    return stage.plan(tuple(layers), Facts(held=True, right=right_way, closer=2 * (far - near)))


Place = Literal["into", "onto", "beside", "front"]


def put(stage: Stage, place: Place) -> Plan:
    """A hand brings a thing to another one, lets go and draws back."""
    look, u = stage.thing(0), stage.act(0.55, 0.85)
    other = {"into": stage.scene.bin, "onto": stage.scene.block}.get(place)
    if other is None:
        other = (stage.thing(1), stage.scene.block, stage.scene.bin)[int(stage.rng.integers(3))]
    floor = stage.between(0.84, 0.92) if place in ("into", "onto") else stage.between(0.66, 0.76)
    there: Point = (stage.between(0.42, 0.58), floor - other.half[1])
    top = floor - 2 * other.half[1]
    beside, nearer, side = None, None, stage.side()
    if place == "into":
        goal = (there[0] + stage.between(-0.02, 0.02), top + look.half[1] * stage.between(0.3, 0.9))
        angle = stage.arm("top_left", "top_right")
    elif place == "onto":
        goal = (there[0] + stage.between(-0.04, 0.04), top - look.half[1] + 0.015)
        angle = stage.arm("left", "right", "top_left", "top_right")
    else:
        beside, nearer = _spot(stage, place, side)
        goal = (there[0] + beside * (look.half[0] + other.half[0]), floor + nearer - look.half[1])
        angle = stage.arm("right" if side > 0 else "left", "bottom")
    start = _start(stage, goal, side)
    rise, right = goal[1] - start[1], goal[0] - start[0]
    at_T2 = np.stack([start[0] + right * ease(u, 0, 0.5), start[1] + rise * ease(u, 0.1, 0.62)], axis=1)
    hand = stage.hand(stage.grip(at_T2, look, angle), angle, 1 - 0.9 * ease(u, 0.62, 0.75), 0.8 * ease(u, 0.7, 1))
    facts = Facts(
        held=True, right=right, rise=-rise, put_into=int(place == "into"), put_onto=int(place == "onto"),
        beside=beside, nearer=nearer,
    )  # fmt: skip
    shadow = floor + nearer if nearer is not None else None
    moving = held(hand, stage.body(look, at_T2, floor=shadow))
    thing = stage.body(other, stage.rest(there), SECOND_OBJECT, floor)
    if place == "into":
        return stage.plan((opening(stage, thing), *moving, thing), facts)
    return stage.plan((thing, *moving), facts)


def _spot(stage: Stage, place: Place, side: int) -> tuple[float, float]:
    """Where beside and how much nearer: clear of the other label, or where both labels hold."""
    if stage.chance(0.5):
        return side * stage.between(0.63, 0.78), stage.between(0.06, 0.1)
    if place == "beside":
        return side * stage.between(1.05, 1.15), stage.between(-0.01, 0.03)
    return side * stage.between(0.0, 0.3), stage.between(0.13, 0.17)


def _start(stage: Stage, goal: Point, side: int) -> Point:
    """Where a thing that will be put down is held at first: high above, far to a side, or not far."""
    kind = stage.between(0, 1)
    if kind < 0.4:
        return goal[0] + stage.between(-0.06, 0.06), max(0.1, goal[1] - stage.between(0.32, 0.42))
    if kind < 0.6:
        return float(np.clip(goal[0] + side * stage.between(0.33, 0.4), 0.08, 0.92)), goal[1] - stage.between(0.2, 0.24)
    return goal[0] + side * stage.between(0.12, 0.18), goal[1] - stage.between(0.17, 0.23)


def opening(stage: Stage, thing: Body) -> Body:
    """The dark inside of a bin, seen over its rim; painted behind what falls in."""
    dark = Skin((0.16, 0.14, 0.13), (0.16, 0.14, 0.13), "plain")
    look = Look("opening", (thing.half[0] * 0.99, 0.042), dark)
    return stage.body(look, thing.at_T2 - np.array([0, thing.half[1]], np.float32), SECOND_OBJECT)


def cover(stage: Stage) -> Plan:
    """A hand brings a cloth over a thing, or sets it down on its top so that it half covers it."""
    look, cloth, u = stage.thing(0), stage.scene.cloth, stage.act(0.5, 0.85)
    floor, side, on_top = stage.between(0.8, 0.9), stage.side(), stage.chance(0.35)
    there: Point = (stage.between(0.42, 0.58), floor - look.half[1])
    goal = (there[0] + stage.between(-0.01, 0.01), floor - cloth.half[1] - (0.5 * look.half[1] if on_top else -0.01))
    start = _start(stage, goal, side)
    share_T = ease(u, 0, 0.68)
    angle = stage.arm("top_left", "top_right", "right" if side > 0 else "left")
    at_T2 = between(start, goal, share_T)
    sway_T = 0.12 * np.sin(u * 7) * (1 - ease(u, 0.4, 0.68)) * ease(u, 0, 0.1)
    hand = stage.hand(
        stage.grip(at_T2, cloth, angle, 0.75), angle, 1 - 0.9 * ease(u, 0.66, 0.78), 0.8 * ease(u, 0.74, 1)
    )
    facts = Facts(held=True, right=goal[0] - start[0], rise=start[1] - goal[1], covers=1, put_onto=int(on_top))
    thing = stage.body(look, stage.rest(there), OBJECT, floor)
    covering = stage.body(cloth, at_T2, SECOND_OBJECT, angle_T=sway_T)
    return stage.plan((thing, *held(hand, covering)), facts)


def show(stage: Stage, photo: bool) -> Plan:
    """A hand brings a thing, or a photo of one, up and close to the camera and turns it a little."""
    look, u = stage.scene.photo if photo else stage.thing(), stage.act()
    far_up = stage.chance(0.35)
    rise = stage.between(0.27, 0.33) if far_up else stage.between(0.08, 0.2)
    goal = (stage.between(0.44, 0.56), stage.between(0.42, 0.48))
    start = (goal[0] + stage.between(-0.12, 0.12), goal[1] + rise)
    angle = stage.arm("left", "right", "bottom", "bottom")
    share_T = ease(u, 0, 0.65)
    growth_T = 0.9 + (stage.between(0.45, 0.6)) * share_T
    at_T2 = between(start, goal, share_T)
    turn_T = stage.side() * 0.2 * np.sin(2 * np.pi * ease(u, 0.6, 1))
    grip_T2 = at_T2 + (stage.grip(stage.rest((0, 0)), look, angle, 0.7)) * growth_T[:, None]
    body = stage.body(look, at_T2, angle_T=turn_T, stretch_T2=np.stack([growth_T, growth_T], axis=1))
    facts = Facts(held=True, right=goal[0] - start[0], rise=rise, shown="photo" if photo else "object")
    return stage.plan(held(stage.hand(grip_T2, angle), body), facts)


def squeeze(stage: Stage, pretended: bool) -> Plan:
    """One hand, or two, closes on a thing that gives way; or only seems to. Near the boundary both hold."""
    look, u = stage.thing(), stage.act()
    look = replace(look, half=(look.half[0] * 1.25, look.half[1] * 1.25))
    slight, two = stage.chance(0.35), stage.chance(0.5)
    firm, little = stage.between(0.25, 0.4), stage.between(0.04, 0.09)
    loss = little if slight else (0.0 if pretended else firm)
    touched = slight or not pretended
    pulses = 1 + int(stage.rng.integers(3))
    press_T = (np.sin(np.pi * pulses * u) ** 2).astype(np.float32)
    at = (stage.between(0.42, 0.58), stage.between(0.5, 0.62))
    at_T2 = stage.rest(at)
    stretch_T2 = np.stack([1 - loss * press_T, 1 + 0.7 * loss * press_T], axis=1)
    gap = 0.0 if touched else stage.between(0.035, 0.06)
    body = stage.body(look, at_T2, stretch_T2=stretch_T2, floor=at[1] + look.half[1])
    layers: tuple[Layer, ...] = (body,)
    for side in (-1, 1) if two else (stage.side(),):
        angle = stage.arm("left" if side < 0 else "right")
        depth = 0.8 if two else 0.45
        # A pretending hand closes on air before the thing.
        closing_T = press_T * (0.03 if pretended and not touched else 0.0) + look.half[0] * loss * press_T
        grip_T2 = stage.grip(at_T2, look, angle, depth) + np.array([side * (gap + (0.1 if gap else 0)), 0], np.float32)
        grip_T2 = grip_T2 - np.array([side, 0], np.float32) * closing_T[:, None]
        hand = stage.hand(grip_T2, angle, 0.25 + 0.75 * press_T)
        layers = (Arm(hand), *layers, Fingers(hand))
    return stage.plan(layers, Facts(squeezed=loss, touched=touched))


def turn_camera(stage: Stage) -> Plan:
    """The camera turns to the right over things that stand still."""
    u, floor = stage.act(), stage.between(0.72, 0.86)
    way = stage.between(0.35, 0.6)
    camera_T2 = np.stack([way * (ease(u) - 0.5), stage.still(stage.between(-0.04, 0.04))], axis=1)
    looks: tuple[Look, ...] = (stage.thing(0), stage.thing(1))[: 1 + int(stage.chance(0.5))]
    x = stage.between(0.35, 0.65)
    layers: list[Layer] = []
    for number, look in enumerate(looks):
        place = x if number == 0 else x + (0.3 if x < 0.5 else -0.3)
        layers.append(stage.body(look, stage.rest((place, floor - look.half[1])), OBJECT + number, floor))
    if stage.chance(0.3):
        angle = stage.arm("left", "right", "bottom")
        first: Array = stage.rest((x, floor - looks[0].half[1]))
        hand = stage.hand(stage.grip(first, looks[0], angle, 1.2), angle, 0.5)
        layers += [Arm(hand), Fingers(hand)]
    return stage.plan(tuple(layers), Facts(turned_right=way), camera_T2)
