"""Sets drawn for tiny studies: few labels that need the order of frames, or speeds that vary, or labels in doubt.

Each is a folder that `datasets.drawn` reads: clips of a hand that moves things, in scenes (the groups) that hold every
label once, so that no still background tells a label.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.datasets._drawn_labels import LABELS, REVERSAL_PAIRS
from secondlook.datasets._drawn_paint import paint
from secondlook.datasets._drawn_scene import make_scene
from secondlook.datasets._drawn_templates import plan
from secondlook.datasets._drawn_truth import holding
from secondlook.errors import UnknownName
from secondlook.labels import LabelSpace
from secondlook.video.encode import write_video
from secondlook.whole_files import whole

ORDER = tuple(name for pair in REVERSAL_PAIRS[:3] for name in pair)
DOUBTFUL = (
    "Moving something up", "Moving something down", "Moving something from left to right",
    "Moving something from right to left", "Pushing something", "Pushing something so that it slightly moves",
    "Pushing something so that it falls off the table", "Pretending to push something",
)  # fmt: skip
_SCENE, _CLIP, _GIVEN, _NOISE = range(4)
_GRAIN = 2.0


@dataclass(frozen=True)
class Toy:
    """How a set is drawn."""

    labels: tuple[str, ...]
    scenes: int
    frames: int = 24
    size: int = 56
    fps: int = 12
    shortest: int = 0
    """The motion of a clip takes this many frames to all of them, drawn anew for each; 0: as drawn clips have it."""
    wrong: float = 0.0
    """Share of clips whose given label is plainly wrong."""
    other: float = 0.0
    """Where several labels hold: how often the given one is another than the one that was planned."""
    seed: int = 0


TOYS = {
    "drawn": Toy(ORDER, scenes=60),
    "drawn-speed": Toy(ORDER, scenes=60, frames=32, shortest=12),
    "drawn-labels": Toy(DOUBTFUL, scenes=50, wrong=0.1, other=0.35),
}
"""`drawn`: three pairs of labels that differ in the order of time only. `drawn-speed`: the same, but a motion takes
between 12 and 32 of 32 frames, so that one class is seen at many speeds, and the clip rests before and after it.
`drawn-labels`: eight labels of which several may hold, and given labels that are another one, or wrong."""


def draw_toy(
    root: Path, name: str, *, scenes: int = 0, advance: Callable[[int], object] | None = None
) -> dict[str, Any]:
    """Draws a set into a folder; what is there already is kept.

    Args:
        root: folder.
        name: one of `TOYS`.
        scenes: in the place of its own number; 0 leaves it.
        advance: called with the number of clips that were finished.

    Returns:
        The settings, JSON-ready.

    Raises:
        UnknownName: if there is no such set.
    """
    if name not in TOYS:
        raise UnknownName("drawn set", name, TOYS)
    toy = replace(TOYS[name], scenes=scenes or TOYS[name].scenes)
    settings = {
        **asdict(toy),
        "labels": list(toy.labels),
        "clips": toy.scenes * len(toy.labels),
        "wrong_labels": toy.wrong,
    }
    space = LabelSpace(tuple(LABELS.labels[LABELS.index_of(n)] for n in toy.labels), name, directional=True)
    about, listed = root / "drawn.json", root / "clips.jsonl"
    facts = json.dumps({"settings": settings, "label_space": space.to_dict()}, indent=1) + "\n"
    if about.is_file() and listed.is_file() and about.read_text(encoding="utf-8") == facts:
        return settings
    root.mkdir(parents=True, exist_ok=True)
    again = not about.is_file() or about.read_text(encoding="utf-8") != facts
    about.write_text(facts, encoding="utf-8")
    lines = []
    for scene in range(toy.scenes):
        lines += [json.dumps(clip) for clip in _draw_scene(root, toy, scene, again)]
        if advance is not None:
            advance(len(toy.labels))
    with whole(listed) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return settings


def _draw_scene(root: Path, toy: Toy, number: int, again: bool) -> list[dict[str, Any]]:
    scene = make_scene(_rng(toy, _SCENE, number))
    rows = []
    for place, label in enumerate(toy.labels):
        video_id = f"{number:03d}-{place:02d}"
        rng = _rng(toy, _CLIP, number, place)
        length = int(rng.integers(toy.shortest, toy.frames + 1)) if toy.shortest else toy.frames
        first = int(rng.integers(0, toy.frames - length + 1))
        planned = plan(label, scene, rng, length)
        true = [name for name in holding(planned.facts) if name in toy.labels]
        video = root / "videos" / f"{video_id}.mp4"
        if again or not video.is_file():
            frames_THWC = paint(planned, scene, toy.size)[0]
            frames_THWC = frames_THWC[np.clip(np.arange(toy.frames) - first, 0, length - 1)]
            write_video(video, _grainy(frames_THWC, _rng(toy, _NOISE, number, place)), toy.fps, crf=23, gop=12)
        rows.append({
            "video_id": video_id, "label": _given(toy, label, true, _rng(toy, _GIVEN, number, place)),
            "true_labels": true, "group": f"scene-{number:05d}", "template": label,
            "action_start_s": (first + planned.first) / toy.fps, "action_end_s": (first + planned.last) / toy.fps,
        })  # fmt: skip
    return rows


def _given(toy: Toy, label: str, true: list[str], rng: np.random.Generator) -> str:
    wrong, other, pick = rng.uniform(size=3)
    rest, others = [n for n in toy.labels if n not in true], [n for n in true if n != label]
    if wrong < toy.wrong and rest:
        return rest[int(pick * len(rest))]
    return others[int(pick * len(others))] if others and other < toy.other else label


def _grainy(frames_THWC: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    noise_THWC = rng.normal(0, _GRAIN, (*frames_THWC.shape[:3], 1))
    return np.clip(np.rint(frames_THWC + noise_THWC), 0, 255).astype(np.uint8)


def _rng(toy: Toy, *purpose: int) -> np.random.Generator:
    return np.random.default_rng((toy.seed, *purpose))
