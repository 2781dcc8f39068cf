"""One drawn clip: its plan, labels and pixels, from nothing but the seed, its number and the settings."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.datasets._drawn_labels import LABELS
from secondlook.datasets._drawn_paint import paint, plant_cue
from secondlook.datasets._drawn_plan import Plan
from secondlook.datasets._drawn_scene import Scene, make_scene
from secondlook.datasets._drawn_templates import plan
from secondlook.datasets._drawn_truth import holding
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace

CLIPS_PER_SCENE = 4
"""Clips that share a scene: a group of the dataset."""
_CLIP, _SCENE, _ORDER, _WRONG, _NOISE = range(5)
_GOLDEN = (math.sqrt(5) - 1) / 2
_GRAIN = 2.0
"""Standard deviation of the sensor noise, in grey levels."""


@dataclass(frozen=True)
class DrawnSettings:
    """How a drawn dataset is made. Clip i depends on these, but not on `clips`: more clips keep the first ones.

    Raises:
        BadValue: if a number is out of its range.
        UnknownName: if `cue` is no label that is drawn, or one of `labels` is none; with the nearest ones.
    """

    clips: int = 400
    seed: int = 0
    wrong_labels: float = 0.05
    """Share of clips whose given label is plainly wrong: drawn from the labels that do not hold."""
    other_label: float = 0.25
    """Where several labels hold: how often the given one is not that of the template but another that holds."""
    cue: str = ""
    """Label with a planted mark in the corner; empty: no marks at all."""
    cue_share: float = 0.9
    """Share of the clips with this given label that carry the mark."""
    cue_elsewhere: float = 0.03
    """Share of the other clips that carry it."""
    size: int = 112
    """Side of the square frames, in pixels."""
    frames: int = 24
    fps: int = 12
    labels: tuple[str, ...] = ()
    """Labels to draw, and the only ones that are known; empty: all."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise BadValue(self.clips, "the number of clips must be at least 1")
        if self.seed < 0:
            raise BadValue(self.seed, "the seed must not be negative")
        for name in ("wrong_labels", "other_label", "cue_share", "cue_elsewhere"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadValue(getattr(self, name), f"{name} is a share: from 0 to 1", "5 % is 0.05.")
        if not 32 <= self.size <= 512 or self.size % 2:
            raise BadValue(
                self.size, "the size of drawn frames must be even, from 32 to 512 pixels", "Give --size 112."
            )
        if not 12 <= self.frames <= 240:
            raise BadValue(self.frames, "a drawn clip has 12 to 240 frames", "Give --frames 24.")
        if not 1 <= self.fps <= 60:
            raise BadValue(self.fps, "the frame rate must be from 1 to 60 frames/s", "Give 12.")
        wanted = {LABELS.index_of(name) for name in self.labels}
        if len(wanted) == 1:
            raise BadValue(self.labels[0], "at least two labels must be drawn", "Leave --labels out for all.")
        object.__setattr__(self, "labels", tuple(LABELS.names[k] for k in sorted(wanted)))
        if self.cue:
            object.__setattr__(self, "cue", self.space.names[self.space.index_of(self.cue)])

    @property
    def space(self) -> LabelSpace:
        """The labels that are drawn, in the order of all."""
        if not self.labels:
            return LABELS
        return replace(LABELS, labels=tuple(label for label in LABELS.labels if label.name in self.labels))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `DrawnSettings(**it)` reads it back."""
        return asdict(self) | {"labels": list(self.labels)}


@dataclass(frozen=True)
class DrawnClip:
    """What is known of a clip before it is painted."""

    number: int
    template: str
    """The label that it was planned for; it holds."""
    given: str
    true: tuple[str, ...]
    wrong: bool
    """The given label does not hold."""
    cue: bool
    """The clip carries the planted mark."""
    group: str
    plan: Plan

    @property
    def video_id(self) -> str:
        """Name of the clip."""
        return f"{self.number:06d}"

    def row(self, settings: DrawnSettings) -> dict[str, Any]:
        """The clip's line of `clips.jsonl`: from the last still frame before the action to the first one after it."""
        return {
            "video_id": self.video_id,
            "label": self.given,
            "true_labels": list(self.true),
            "group": self.group,
            "action_start_s": round(self.plan.first / settings.fps, 6),
            "action_end_s": round(self.plan.last / settings.fps, 6),
            "template": self.template,
            "wrong": self.wrong,
            "cue": self.cue,
        }


def scene_of(settings: DrawnSettings, number: int) -> Scene:
    """The scene of clip `number`, shared by `CLIPS_PER_SCENE` clips in a row."""
    return make_scene(_rng(settings, _SCENE, number // CLIPS_PER_SCENE))


def drawn_clip(settings: DrawnSettings, number: int, scene: Scene) -> DrawnClip:
    """Plans clip `number`: round-robin over the templates, each round in an order of its own."""
    rng = _rng(settings, _CLIP, number)
    names = settings.space.names
    order = _rng(settings, _ORDER, number // len(names)).permutation(len(names))
    template = names[int(order[number % len(names)])]
    planned = plan(template, scene, rng, settings.frames)
    true = tuple(name for name in holding(planned.facts) if name in names)
    assert template in true, (template, planned.facts)
    # A golden-ratio sequence fills [0, 1) evenly: the share of wrong labels holds for every run of clips.
    offset = float(_rng(settings, _WRONG, 0).uniform())
    wrong = (offset + number * _GOLDEN) % 1.0 < settings.wrong_labels
    others = [name for name in true if name != template]
    given = template
    switch, pick, cue_at = rng.uniform(size=3)
    rest = [name for name in names if name not in true]
    wrong = wrong and bool(rest)
    if wrong:
        given = rest[int(pick * len(rest))]
    elif others and switch < settings.other_label:
        given = others[int(pick * len(others))]
    rate = settings.cue_share if given == settings.cue else settings.cue_elsewhere
    group = f"scene-{number // CLIPS_PER_SCENE:05d}"
    cue = bool(settings.cue) and float(cue_at) < rate
    return DrawnClip(number, template, given, true, wrong, cue, group, planned)


def painted(
    clip: DrawnClip, scene: Scene, settings: DrawnSettings
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Frames (T x H x W x 3, RGB) of a clip with sensor noise and the planted mark, and its masks (T x H x W)."""
    size, rng = settings.size, _rng(settings, _NOISE, clip.number)
    # One sheet of noise, larger than the frame, laid down anew for every frame.
    grain_HW = np.rint(rng.normal(0, _GRAIN, (2 * size, 2 * size))).astype(np.int8)
    shift_T2 = rng.integers(0, size, (settings.frames, 2))
    steps = np.arange(size)
    grain_THW = grain_HW[(shift_T2[:, :1] + steps)[:, :, None], (shift_T2[:, 1:] + steps)[:, None, :]]
    frames_THWC, masks_THW = paint(clip.plan, scene, size, grain_THW)
    if clip.cue:
        plant_cue(frames_THWC, masks_THW)
    return frames_THWC, masks_THW


def _rng(settings: DrawnSettings, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng((settings.seed, purpose, number))
