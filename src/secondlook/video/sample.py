"""Which frames of a video make a clip: uniform segments, a dense clip with stride, or all clips of a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue

Mode = Literal["segments", "dense", "all"]
ShortVideo = Literal["repeat_last", "loop"]


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
    the video that does not overlap the one before, one after the other."""
    stride: int = 1
    short_video: ShortVideo = "repeat_last"
    """What fills a clip where the video has fewer frames than the recipe needs: its last frame again and again, or the
    video from its start once more."""
    view: int = 0
    """Which of `views` clips in test, from early to late."""
    views: int = 1

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "views"):
            if getattr(self, name) < 1:
                raise BadValue(getattr(self, name), f"{name} of a sampling must be at least 1")
        if not 0 <= self.view < self.views:
            raise BadValue(self.view, f"view must lie in 0..{self.views - 1}")
        if self.mode not in get_args(Mode):
            raise BadValue(self.mode, f"mode of a sampling must be one of {', '.join(get_args(Mode))}")
        if self.short_video not in get_args(ShortVideo):
            raise BadValue(self.short_video, f"short_video must be one of {', '.join(get_args(ShortVideo))}")

    @property
    def span(self) -> int:
        """Frames that a dense clip takes up, the gap after its last one included: `frames * stride` (8x8 spans 64)."""
        return self.frames * self.stride

    @classmethod
    def from_spec(cls, spec: ClipSpec, view: int = 0, views: int = 1) -> Sampling:
        """The sampling of a model's input recipe."""
        return cls(spec.frames, spec.sampling, spec.stride, spec.short_video, view, views)

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

    A video with fewer frames than are needed (n < T; dense: n < (T - 1) stride + 1) is walked through once from its
    start, with `stride` where dense, and then filled as `short_video` says.

    Args:
        sampling: the recipe.
        frame_count: n, frames that come out of the video.
        rng: source of random offsets for training; None means test.

    Source: late-temporal-bert, section 3.4 (random frame of a segment in training, middle frame in test; a random clip
    in training; floor(n / clip length) clips in test, strides counted in the length). Departs: the segments of
    [TSN] are parts of real length n / T, ours end at whole frames, so that no frame belongs to two.

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
        starts_N = np.arange(max(1, frame_count // sampling.span), dtype=np.int64) * sampling.span
        return _fill((starts_N[:, None] + offsets_T).ravel(), frame_count, sampling.short_video)
    room = max(0, frame_count - int(offsets_T[-1]) - 1)
    if rng is not None:
        start = int(rng.integers(0, room + 1))
    elif sampling.views == 1:
        start = room // 2
    else:
        start = sampling.view * room // (sampling.views - 1)
    return _fill(start + offsets_T, frame_count, sampling.short_video)


def _fill(index_T: npt.NDArray[np.int64], frame_count: int, short_video: ShortVideo) -> npt.NDArray[np.int64]:
    return index_T % frame_count if short_video == "loop" else np.minimum(index_T, frame_count - 1)
