"""Which frames of a video make a clip: segments, a dense clip, one that starts early, or all clips of a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue

Mode = Literal["segments", "dense", "all", "tile", "normal_start"]
ShortVideo = Literal["repeat_last", "loop"]
Start = Literal["resample", "clip"]
Rest = Literal["stride", "uniform"]
TEMPORAL_STRIDES: Mapping[str, int] = {"hacs": 2, "kinetics": 5, "moments_in_time": 3}
"""Strides of the source by dataset (srtg-mtnet-classreg-visualisation, section 4.1). Clips of 16 frames then span 32 of
60 frames of a video of HACS, 80 of 250 of Kinetics, 48 of 90 of Moments in Time: not most of it, as is said there."""


@dataclass(frozen=True)
class Sampling:
    """How frames are chosen; plain values only, so that it can be written as JSON.

    Raises:
        BadValue: if a number is out of range or a word is unknown.
    """

    frames: int
    """T, the number of frames of a clip."""
    mode: Mode = "segments"
    """`segments`: one frame from each of T equal parts. `dense`: T frames, `stride` apart. `all`: every dense clip of
    the video that does not overlap the one before, one after the other. `tile`: number `view` of those alone.
    `normal_start`: a clip that starts in the first half, most often a quarter in."""
    stride: int = 1
    short_video: ShortVideo = "repeat_last"
    """What fills a clip where the video has fewer frames than the recipe needs: its last frame again and again, or the
    video from its start once more."""
    view: int = 0
    """Which of `views` clips in test, from early to late."""
    views: int = 1
    start: Start = "resample"
    """`normal_start` in training: a start outside the first half is drawn again, or moved to its nearest end."""
    rest: Rest = "stride"
    """`normal_start`: the other frames follow `stride` apart, or are any later frames of the video, in order."""

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "views"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{name} of a sampling must be at least 1")
        if not 0 <= self.view < self.views:
            raise BadValue(self.view, f"view must lie in 0..{self.views - 1}")
        if self.mode not in get_args(Mode):
            raise BadValue(self.mode, f"mode of a sampling must be one of {', '.join(get_args(Mode))}")
        for name, kind in (("short_video", ShortVideo), ("start", Start), ("rest", Rest)):
            if getattr(self, name) not in get_args(kind):
                raise BadValue(getattr(self, name), f"{name} must be one of {', '.join(get_args(kind))}")

    @property
    def span(self) -> int:
        """Frames that a dense clip takes up, the gap after its last one included: `frames * stride` (8x8 spans 64)."""
        return self.frames * self.stride

    @classmethod
    def from_spec(cls, spec: ClipSpec, view: int = 0, views: int = 1) -> Sampling:
        """The sampling of a model's input recipe."""
        return cls(spec.frames, spec.sampling, spec.stride, spec.short_video, view, views, spec.start, spec.rest)

    @classmethod
    def tile_of(cls, spec: ClipSpec, view: int) -> Sampling:
        """Clip number `view` of those that `count_tiles` counts, of a recipe that is not one of segments."""
        return cls(spec.frames, "tile", spec.stride, spec.short_video, view, view + 1)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sampling:
        """Reads what `to_dict` wrote."""
        return cls(**data)


def choose(sampling: Sampling, frame_count: int, rng: np.random.Generator | None = None) -> npt.NDArray[np.int64]:
    """Indices of the frames that make the clip, `sampling.frames` of them (a multiple of it in mode `all`).

    With n frames and T parts, part i holds the frames `floor(i n / T) .. floor((i + 1) n / T) - 1`.

    * segments: in training one frame at random from each part; in test the middle one, `floor(L / 2)` of a part of L
      frames, or for view v of V the one at `floor((v + 1/2) L / V)`.
    * dense: T frames, `stride` apart. In training the start is random; in test it is central, or for V > 1 views the
      starts are spread evenly from the first possible to the last.
    * all: `max(1, floor(n / (T stride)))` dense clips that do not overlap; `rng`, `view` and `views` have no say.
    * tile: clip number `view` of these.
    * normal_start: in training the start is `floor(s)`, `s ~ N(n / 4, (n / 6)^2)` cut to [0, n / 2]; in test it is
      `floor((2 v + 1) n / (4 V))` for view v of V, so that a single view starts at n / 4, the mean. `rest="stride"`:
      the others follow `stride` apart. `rest="uniform"`: in training T - 1 of the frames after the start are drawn
      without replacement, each as likely as any other, and sorted; in test they are spread evenly up to the last frame.

    A video with fewer frames than are needed (n < T; dense: n < (T - 1) stride + 1) is walked through once from its
    start, with `stride` where dense, and then filled as `short_video` says. So is the part of a video that follows the
    start of a `normal_start` (filled by `loop`, its frames are the only ones that are not in ascending order).

    Args:
        sampling: the recipe.
        frame_count: n, frames that come out of the video.
        rng: source of random offsets for training; None means test.

    Source: late-temporal-bert, section 3.4 (random frame of a segment in training, middle frame in test; a random clip
    in training; floor(n / clip length) clips in test, strides counted in the length);
    srtg-mtnet-classreg-visualisation, sections 2.17 and 4.3 (`normal_start`, where both readings of [AMB] are offered).
    Departs: the segments of [TSN] are parts of real length n / T, ours end at whole frames, so that no frame belongs
    to two.

    Raises:
        BadValue: if the video has no frames.
    """
    if frame_count < 1:
        raise BadValue(frame_count, "a video without frames cannot be sampled")
    steps_T = np.arange(sampling.frames, dtype=np.int64)
    if sampling.mode == "segments":
        if frame_count < sampling.frames:
            return _fill(steps_T, frame_count, sampling.short_video)
        starts_T = steps_T * frame_count // sampling.frames
        lengths_T = (steps_T + 1) * frame_count // sampling.frames - starts_T
        if rng is None:
            starts_T += (2 * sampling.view + 1) * lengths_T // (2 * sampling.views)
        else:
            starts_T += (rng.random(sampling.frames) * lengths_T).astype(np.int64)
        return starts_T
    offsets_T = steps_T * sampling.stride
    if sampling.mode == "all":
        starts_N = np.arange(count_tiles(sampling.span, frame_count), dtype=np.int64) * sampling.span
        return _fill((starts_N[:, None] + offsets_T).ravel(), frame_count, sampling.short_video)
    if sampling.mode == "tile":
        return _fill(sampling.view * sampling.span + offsets_T, frame_count, sampling.short_video)
    if sampling.mode == "normal_start":
        return _normal_start(sampling, frame_count, rng)
    room = max(0, frame_count - int(offsets_T[-1]) - 1)
    if rng is not None:
        start = int(rng.integers(0, room + 1))
    elif sampling.views == 1:
        start = room // 2
    else:
        start = sampling.view * room // (sampling.views - 1)
    return _fill(start + offsets_T, frame_count, sampling.short_video)


def count_tiles(span: int, frame_count: int) -> int:
    """Dense clips of a video that do not overlap: `max(1, floor(n / span))`; a span is frames times stride."""
    return max(1, frame_count // span)


def _normal_start(sampling: Sampling, frame_count: int, rng: np.random.Generator | None) -> npt.NDArray[np.int64]:
    if rng is None:
        start = (2 * sampling.view + 1) * frame_count // (4 * sampling.views)
    else:
        start = int(_early(sampling.start, frame_count, rng))
    if sampling.rest == "stride":
        return _fill(start + np.arange(sampling.frames) * sampling.stride, frame_count, sampling.short_video)
    later = frame_count - start - 1
    if later < sampling.frames - 1:
        return _fill(start + np.arange(sampling.frames), frame_count, sampling.short_video)
    if rng is None:
        steps_T = np.arange(sampling.frames) * later // max(1, sampling.frames - 1)
    else:
        steps_T = np.append(0, 1 + np.sort(rng.choice(later, sampling.frames - 1, replace=False)))
    return np.asarray(start + steps_T, dtype=np.int64)


def _early(method: Start, frame_count: int, rng: np.random.Generator) -> float:
    while True:
        start = float(rng.normal(frame_count / 4, frame_count / 6))
        if method == "clip":
            return min(max(start, 0.0), frame_count / 2)
        if 0 <= start <= frame_count / 2:
            return start


def _fill(index_T: npt.NDArray[np.int64], frame_count: int, short_video: ShortVideo) -> npt.NDArray[np.int64]:
    return index_T % frame_count if short_video == "loop" else np.minimum(index_T, frame_count - 1)
