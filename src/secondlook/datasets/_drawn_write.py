"""Writes a drawn dataset: videos, masks, clips.jsonl. An interrupted run is taken up again and gives the same files."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from secondlook.datasets._drawn_clip import CLIPS_PER_SCENE, DrawnSettings, drawn_clip, painted, scene_of
from secondlook.errors import BadValue
from secondlook.video.encode import write_video
from secondlook.whole_files import whole

ABOUT, CLIPS = "drawn.json", "clips.jsonl"
_DRAWING = 1
"""Counts up when the same settings begin to give other clips."""
_CRF, _GOP = 23, 12


def draw(
    root: str | Path, settings: DrawnSettings, workers: int = 2, advance: Callable[[int], object] | None = None
) -> dict[str, Any]:
    """Draws the dataset into a folder; what is there already is kept, so that an interrupted run goes on.

    Writes `drawn.json` (settings, seed, label space) first, `videos/<video_id>.mp4` and `truth/<video_id>.npz`
    (`masks_THW`) clip by clip, `clips.jsonl` last. With more clips than before, the first ones stay as they are.

    Args:
        root: folder, made if need be; empty, or drawn with the same settings.
        settings: how the clips are made.
        workers: processes; 1 draws in this one.
        advance: called with the number of clips that were finished.

    Returns:
        What was drawn: counts of clips, groups, wrong labels, clips where several labels hold, cues.

    Raises:
        BadValue: if the folder holds something else, other settings, or more clips; or `workers` is below 1.
    """
    root = Path(root)
    if workers < 1:
        raise BadValue(workers, "the number of worker processes must be at least 1", "Give --workers 2.")
    _claim(root, settings)
    numbers = range(settings.clips)
    scenes = [numbers[i : i + CLIPS_PER_SCENE] for i in range(0, len(numbers), CLIPS_PER_SCENE)]
    rows: list[dict[str, Any]] = []
    for done in _each_scene(root, settings, scenes, workers):
        rows += done
        if advance is not None:
            advance(len(done))
    for part in (*(root / "videos").glob(".*.part"), *(root / "truth").glob(".*.part")):
        part.unlink(missing_ok=True)
    rows.sort(key=lambda row: str(row["video_id"]))
    _replace(root / CLIPS, "".join(json.dumps(row) + "\n" for row in rows))
    return summary(rows)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts over the lines of `clips.jsonl`."""
    sizes = [len(row["true_labels"]) for row in rows]
    return {
        "clips": len(rows),
        "groups": len({row["group"] for row in rows}),
        "wrong_labels": sum(bool(row["wrong"]) for row in rows),
        "several_labels_hold": sum(size > 1 for size in sizes),
        "mean_labels_that_hold": round(sum(sizes) / max(len(sizes), 1), 3),
        "cues": sum(bool(row["cue"]) for row in rows),
    }


def _claim(root: Path, settings: DrawnSettings) -> None:
    """Makes the folder this drawing's own, or finds that it cannot be."""
    about, given = root / ABOUT, settings.to_dict()
    if about.is_file():
        held = json.loads(about.read_text(encoding="utf-8"))
        if held.get("drawing") != _DRAWING:
            raise BadValue(str(root), "was drawn by another version of secondlook", "Give another folder.")
        before = DrawnSettings(**held["settings"]).to_dict()  # what an older list of settings lacks has its default
        for name, value in given.items():
            if name != "clips" and before[name] != value:
                rule = f"is the {name} asked for, but {root} was drawn with {before[name]!r}"
                raise BadValue(value, rule, "Draw with the same settings, or into another folder.")
        if before["clips"] > settings.clips:
            rule = f"{root} holds {before['clips']} clips, and clips are never removed"
            raise BadValue(settings.clips, rule, f"Give --clips {before['clips']} or more, or another folder.")
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise BadValue(str(root), "must be an empty folder, or one that was drawn before", "Give another folder.")
    root.mkdir(parents=True, exist_ok=True)
    facts = {"drawing": _DRAWING, "seed": settings.seed, "settings": given, "label_space": settings.space.to_dict()}
    _replace(about, json.dumps(facts, indent=1) + "\n")


def _each_scene(
    root: Path, settings: DrawnSettings, scenes: Sequence[range], workers: int
) -> Iterator[list[dict[str, Any]]]:
    if workers == 1 or len(scenes) == 1:
        for numbers in scenes:
            yield draw_scene(root, settings, numbers)
        return
    pool = ProcessPoolExecutor(min(workers, len(scenes)), get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        for future in as_completed([pool.submit(draw_scene, root, settings, numbers) for numbers in scenes]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def draw_scene(root: Path, settings: DrawnSettings, numbers: range) -> list[dict[str, Any]]:
    """Draws the clips of one scene that are not there yet; gives the lines of all of them."""
    scene, rows = scene_of(settings, numbers[0]), []
    for number in numbers:
        clip = drawn_clip(settings, number, scene)
        video, truth = root / "videos" / f"{clip.video_id}.mp4", root / "truth" / f"{clip.video_id}.npz"
        if not (video.is_file() and truth.is_file()):
            frames_THWC, masks_THW = painted(clip, scene, settings)
            truth.parent.mkdir(parents=True, exist_ok=True)
            part = truth.with_name(f".{truth.name}.part")
            with part.open("wb") as file:
                np.savez_compressed(file, masks_THW=masks_THW)
            part.replace(truth)
            write_video(video, frames_THWC, settings.fps, crf=_CRF, gop=_GOP)
        rows.append(clip.row(settings))
    return rows


def _replace(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
