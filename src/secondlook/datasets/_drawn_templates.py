"""Which action draws which label: one line a caption template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from secondlook.datasets import _drawn_events as events
from secondlook.datasets import _drawn_moves as moves
from secondlook.datasets._drawn_plan import Plan
from secondlook.datasets._drawn_scene import Scene
from secondlook.datasets._drawn_stage import Stage


@dataclass(frozen=True)
class Template:
    """How clips of a label are planned."""

    action: Callable[[Stage], Plan]
    backwards: bool = False
    """Plan the twin and play it backwards."""


TEMPLATES: Mapping[str, Template] = {
    "Moving something up": Template(partial(moves.carry, vertical=True)),
    "Moving something down": Template(partial(moves.carry, vertical=True), backwards=True),
    "Moving something from left to right": Template(partial(moves.carry, vertical=False)),
    "Moving something from right to left": Template(partial(moves.carry, vertical=False), backwards=True),
    "Moving something and something closer to each other": Template(moves.gather),
    "Moving something and something apart": Template(moves.gather, backwards=True),
    "Pushing something": Template(partial(events.push, kind="far")),
    "Pushing something so that it slightly moves": Template(partial(events.push, kind="slightly")),
    "Pushing something so that it falls off the table": Template(partial(events.push, kind="off")),
    "Pretending to push something": Template(partial(events.push, kind="pretended")),
    "Dropping something": Template(partial(events.drop, landing="")),
    "Dropping something onto something": Template(partial(events.drop, landing="onto")),
    "Dropping something into something": Template(partial(events.drop, landing="into")),
    "Dropping something behind something": Template(partial(events.drop, landing="behind")),
    "Throwing something": Template(partial(events.throw, up=False)),
    "Throwing something up and letting it fall": Template(partial(events.throw, up=True)),
    "Putting something onto something": Template(partial(moves.put, place="onto")),
    "Putting something next to something": Template(partial(moves.put, place="beside")),
    "Putting something in front of something": Template(partial(moves.put, place="front")),
    "Putting something into something": Template(partial(moves.put, place="into")),
    "Taking something out of something": Template(partial(moves.put, place="into"), backwards=True),
    "Covering something with something": Template(moves.cover),
    "Uncovering something": Template(moves.cover, backwards=True),
    "Rolling something slowly": Template(partial(events.roll, quick=False)),
    "Rolling something quickly": Template(partial(events.roll, quick=True)),
    "Rotating something slowly": Template(partial(events.rotate, quick=False)),
    "Rotating something quickly": Template(partial(events.rotate, quick=True)),
    "Squeezing something": Template(partial(moves.squeeze, pretended=False)),
    "Pretending to squeeze something": Template(partial(moves.squeeze, pretended=True)),
    "Showing something to the camera": Template(partial(moves.show, photo=False)),
    "Showing a photo of something to the camera": Template(partial(moves.show, photo=True)),
    "Turning the camera left while filming something": Template(moves.turn_camera, backwards=True),
    "Turning the camera right while filming something": Template(moves.turn_camera),
}


def plan(label: str, scene: Scene, rng: np.random.Generator, frames: int) -> Plan:
    """Plans a clip for which `label` holds.

    From generators in the same state, the two labels of a reversal pair get the same plan, one played backwards.
    """
    template = TEMPLATES[label]
    planned = template.action(Stage(scene, rng, frames))
    return planned.played_backwards() if template.backwards else planned
