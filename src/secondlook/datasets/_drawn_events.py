"""Drawn actions in which a thing moves on its own or is pushed: pushing, dropping, throwing, rolling, rotating.

Each function plans one clip. None of them can be played backwards.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from secondlook.datasets._drawn_moves import opening
from secondlook.datasets._drawn_plan import SECOND_OBJECT, Arm, Array, Fingers, Plan
from secondlook.datasets._drawn_scene import Look
from secondlook.datasets._drawn_stage import Stage, ease, held
from secondlook.datasets._drawn_truth import SLIGHT_WAY, Facts, Landing

Push = Literal["far", "slightly", "off", "pretended"]


def push(stage: Stage, kind: Push) -> Plan:
    """A hand comes from one side and pushes a thing far, slightly, over the edge of the table, or not at all."""
    look, u, scene = stage.thing(), stage.act(), stage.scene
    side = scene.edge_side if kind == "off" else stage.side()
    touched = kind != "pretended" or stage.chance(0.35)
    floor, gap = stage.between(0.72, 0.84), 0.0
    edge = scene.edge + scene.edge_side * 0.12 * (floor - 0.7)
    if kind == "off":
        way = stage.between(0.22, 0.36)
        x = edge - side * way
    else:
        if kind == "pretended":
            way, gap = (stage.between(0.015, 0.03), 0.0) if touched else (0.0, stage.between(0.03, 0.06))
        else:
            way = stage.between(0.06, SLIGHT_WAY) if kind == "slightly" else stage.between(0.22, 0.4)
        low, high = (0.15, edge - 0.12) if scene.edge_side > 0 else (edge + 0.12, 0.85)
        room = (high - low - way) / 2
        x = (low + high) / 2 - side * way / 2 + stage.between(-room, room) * 0.6
    start_gap = stage.between(0.1, 0.2)
    pushed_T = way * ease(u, 0.22, 0.62 if kind in ("far", "off") else 0.5)
    fall_T = np.maximum(u - 0.55, 0) / 0.45 if kind == "off" else stage.still()
    x_T, y_T = x + side * (pushed_T + 0.22 * fall_T), floor - look.half[1] + 0.75 * fall_T**2
    angle = (0.0 if side > 0 else math.pi) + side * math.radians(stage.between(-24, 2))
    tip_x = x - side * (look.half[0] + gap) + side * (pushed_T - start_gap * (1 - ease(u, 0, 0.26)))
    back_T = stage.still() if kind == "off" else ease(u, 0.72, 1) * stage.between(0.1, 0.25)
    grip_T2 = np.stack([tip_x - side * (0.05 + back_T), stage.still(floor - look.half[1] * 0.95)], axis=1)
    body = stage.body(look, np.stack([x_T, y_T], axis=1), floor=floor, angle_T=side * 2.2 * fall_T)
    hand = stage.hand(grip_T2, angle, 0.35)
    right = 0.0 if kind == "pretended" else side * way
    facts = Facts(pushed=way, touched=touched, fell=kind == "off", right=right)
    return stage.plan((body, Arm(hand), Fingers(hand)), facts)


def drop(stage: Stage, landing: Landing) -> Plan:
    """A hand holds a thing high and lets go: it falls out of sight, onto, into or behind something."""
    look, u, scene = stage.thing(), stage.act(0.5, 0.85), stage.scene
    release, landed = stage.between(0.12, 0.22), stage.between(0.6, 0.75)
    level = stage.chance(0.35) and landing in ("into", "behind")
    x, high = stage.between(0.38, 0.62), stage.between(0.14, 0.22)
    floor = stage.between(0.86, 0.94)
    on_table = stage.chance(0.45) and landing == ""
    other = scene.bin if landing == "into" or level else scene.block
    low = {
        "": floor - look.half[1] if on_table else 1.35,
        "onto": floor - 2 * other.half[1] - look.half[1] + 0.015,
        "into": floor - look.half[1] - 0.02,
        "behind": floor - look.half[1] - 0.02,
    }[landing]
    falling_T = np.clip((u - release) / (landed - release), 0, 1)
    after_T = np.clip((u - landed) / (1 - landed), 0, 1)
    bounce = 0.06 if landing == "onto" or on_table else 0.0
    y_T = high + (low - high) * falling_T**2 - bounce * np.abs(np.sin(2 * np.pi * after_T)) * (1 - after_T)
    turn = stage.side() * stage.between(0, 0.9) * (landing != "onto")
    angle = stage.arm("top_left", "top_right", "left", "right")
    grip_T2 = stage.grip(stage.rest((x, high)), look, angle)
    hand = stage.hand(grip_T2, angle, 1 - ease(u, release - 0.1, release + 0.05), 0.5 * ease(u, 0.45, 1))
    at_T2 = np.stack([stage.still(x), y_T], axis=1)
    body = stage.body(look, at_T2, floor=floor if on_table else None, angle_T=turn * falling_T)
    facts = Facts(dropped=True, landed="onto" if on_table else landing, level_view=level)
    if not landing:
        return stage.plan(held(hand, body), facts)
    thing = stage.body(other, stage.rest((x + stage.between(-0.03, 0.03), floor - other.half[1])), SECOND_OBJECT, floor)
    if landing == "onto":
        return stage.plan((thing, *held(hand, body)), facts)
    if landing == "into" and not level:
        return stage.plan((opening(stage, thing), *held(hand, body), thing), facts)
    if not level:
        # What it falls behind is tall enough to hide it.
        half_height = max(thing.half[1], look.half[1] * 1.05)
        there_T2 = thing.at_T2 + np.array([0, thing.half[1] - half_height + 0.02], np.float32)
        thing = replace(thing, half=(thing.half[0], half_height), at_T2=there_T2, floor=floor + 0.02)
    return stage.plan((*held(hand, body), thing), facts)


def throw(stage: Stage, up: bool) -> Plan:
    """A hand swings a thing and lets go: up, so that it falls back; or away, out of sight."""
    return _throw_up(stage) if up else _throw_away(stage)


def _throw_up(stage: Stage) -> Plan:
    look, u = stage.thing(), stage.act(0.55, 0.85)
    release, lift = stage.between(0.2, 0.28), 0.1
    floor = stage.between(0.86, 0.94)
    swing_T, fly_T = ease(u, 0, release + 0.04), np.clip((u - release) / (1 - release), 0, 1)
    x, drift = stage.between(0.38, 0.62), stage.side() * stage.between(0.06, 0.16)
    start_y, apex, end = stage.between(0.66, 0.74), stage.between(0.1, 0.17), floor - look.half[1]
    from_y = start_y - lift
    # Up to the apex and down to the table: two parabolas that meet at the apex with no speed.
    peak = math.sqrt(from_y - apex) / (math.sqrt(from_y - apex) + math.sqrt(end - apex))
    up_T = apex + (from_y - apex) * ((fly_T - peak) / peak) ** 2
    down_T = apex + (end - apex) * ((fly_T - peak) / (1 - peak)) ** 2
    swing_y = start_y - lift * swing_T
    y_T = np.where(fly_T <= 0, swing_y, np.where(fly_T < peak, up_T, down_T))
    at_T2 = np.stack([x + drift * fly_T, y_T], axis=1)
    angle = stage.arm("bottom")
    grip_T2 = stage.grip(np.stack([stage.still(x), swing_y], axis=1), look, angle)
    hand = stage.hand(grip_T2, angle, 1 - ease(u, release - 0.06, release + 0.06), 0.7 * ease(u, release + 0.08, 0.7))
    body = stage.body(look, at_T2, floor=floor, angle_T=stage.side() * stage.between(0.5, 4) * fly_T)
    return stage.plan(held(hand, body), Facts(thrown="up"))


def _throw_away(stage: Stage) -> Plan:
    look, u, side = stage.thing(), stage.act(0.5, 0.85), stage.side()
    release, lift, swing = stage.between(0.26, 0.34), stage.between(0.06, 0.12), 0.16
    arc = stage.between(0.08, 0.18)
    swing_T, fly_T = ease(u, 0, release + 0.04), np.clip((u - release) / (0.9 - release), 0, 1)
    x, y = 0.5 - side * stage.between(0.14, 0.24), stage.between(0.5, 0.62)
    swing_T2 = np.stack([x + side * swing * swing_T, y - lift * swing_T], axis=1)
    flown_T2 = np.stack([x + side * (swing + 0.95 * fly_T), y - lift - arc * 4 * fly_T * (0.75 - fly_T)], axis=1)
    at_T2 = np.where((fly_T > 0)[:, None], flown_T2, swing_T2)
    angle = stage.arm("left" if side > 0 else "right", "bottom")
    grip_T2 = stage.grip(swing_T2, look, angle)
    hand = stage.hand(grip_T2, angle, 1 - ease(u, release - 0.06, release + 0.06), 0.4 * ease(u, 0.6, 1))
    body = stage.body(look, at_T2, angle_T=side * stage.between(1, 5) * fly_T)
    return stage.plan(held(hand, body), Facts(thrown="away"))


def roll(stage: Stage, quick: bool) -> Plan:
    """A ball rolls over the table: slowly through most of the clip, or quickly; pushed by a hand, or let go."""
    scene, radius = stage.scene, sum(stage.thing().half) / 2
    look = replace(_with_a_mark(stage.thing()), shape="ball", half=(radius, radius))
    way, side, pushed, floor = stage.between(0.38, 0.48), stage.side(), stage.chance(0.5), stage.between(0.72, 0.88)
    u = stage.act(0.22, 0.30) if quick else stage.act(0.66, 0.85)
    edge = scene.edge + scene.edge_side * 0.12 * (floor - 0.7)
    middle = (0.13 + edge - 0.06) / 2 if scene.edge_side > 0 else (edge + 0.06 + 0.87) / 2
    start_x = middle - side * way / 2
    rolled_T = way * (0.35 * u + 0.65 * (1 - (1 - u) ** 2))
    at_T2 = np.stack([start_x + side * rolled_T, stage.still(floor - radius)], axis=1)
    body = stage.body(look, at_T2, floor=floor, angle_T=side * rolled_T / radius)
    if pushed:
        angle = (0.0 if side > 0 else math.pi) + side * math.radians(stage.between(-24, 0))
        tip_T = start_x - side * (radius + 0.045) + side * np.minimum(rolled_T, 0.09)
        hand = stage.hand(np.stack([tip_T, stage.still(floor - radius)], axis=1), angle, 0.35)
    else:
        angle = stage.arm("top_left" if side > 0 else "top_right")
        grip_T2 = stage.grip(stage.rest((start_x, floor - radius)), look, angle, 0.8)
        hand = stage.hand(grip_T2, angle, 0.6 - 0.5 * ease(u, 0, 0.3), 0.25 * ease(u, 0, 0.6))
    facts = Facts(roll=way / stage.share, pushed=way if pushed else None)
    return stage.plan((body, Arm(hand), Fingers(hand)), facts)


def rotate(stage: Stage, quick: bool) -> Plan:
    """A hand turns a thing on the spot at an even speed, slowly or quickly."""
    look = _with_a_mark(stage.thing())
    side, pace = stage.side(), stage.between(0, 1)
    at_T2 = stage.rest((stage.between(0.42, 0.58), stage.between(0.45, 0.6)))
    u = stage.act(0.55, 0.85)
    turns_a_clip = 1.8 + 0.7 * pace if quick else 0.45 + 0.25 * pace
    turn_T: Array = side * 2 * np.pi * turns_a_clip * stage.share * u
    angle = stage.arm("left", "right", "bottom")
    hand_angle_T = (angle + 0.12 * np.sin(turn_T)).astype(np.float32)
    hand = stage.hand(stage.grip(at_T2, look, angle, 0.85), hand_angle_T, 0.7)
    return stage.plan(held(hand, stage.body(look, at_T2, angle_T=turn_T)), Facts(spin=turns_a_clip))


def _with_a_mark(look: Look) -> Look:
    """The thing with a surface on which a turn can be seen: without a symmetry of a quarter turn or less."""
    if look.skin.pattern in ("halves", "stripes"):
        return look
    return replace(look, skin=replace(look.skin, pattern="halves"))
