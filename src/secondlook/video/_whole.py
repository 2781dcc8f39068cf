"""Every frame of a file decoded and counted, the chosen ones turned to RGB: right for every container."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondlook.video import _read, _stacked
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.sample import Sampling, choose

KEPT_BYTES = 96 * 2**20
"""Undecided frames are kept as they come from the decoder up to this size; a longer video is read a second time."""


@dataclass(frozen=True)
class Wish:
    """What is wanted of a video."""

    sampling: Sampling | None = None
    """Which frames; None means all."""
    size: Size = field(default_factory=Size)
    seed: int | None = None
    facts_only: bool = False
    """Count and measure, keep no frame."""

    def chosen(self, frame_count: int) -> npt.NDArray[np.int64]:
        """Indices of the wanted frames of a video with so many."""
        if self.sampling is None:
            return np.arange(frame_count, dtype=np.int64)
        return choose(self.sampling, frame_count, None if self.seed is None else np.random.default_rng(self.seed))


def read(path: Path, wish: Wish, frame_count: int | None) -> Clip:
    """Decodes the file once; a second time if the number of frames was not known and chosen frames have gone by.

    Args:
        path: a video file.
        wish: what is wanted.
        frame_count: frames that come out, if known. If the header says the same number, reading stops after the last
            chosen frame; else it is only a first guess, as the header's number is where nothing is known.
    """
    found = _Reading(path, wish, frame_count)
    if found.clip is None:
        found = _Reading(path, wish, found.frame_count)
    if found.clip is None:
        raise RuntimeError(f"the number of frames is not the same twice (now {found.frame_count})")
    return found.clip


class _Reading:
    """One reading; `clip` is None if the guess of the number of frames was wrong and it must be read again."""

    def __init__(self, path: Path, wish: Wish, frame_count: int | None) -> None:
        account = _read.Account()
        converter: _read.Converter | None = None
        with _read.open_container(path) as container:
            stream = _read.video_stream(container)
            header = _read.header_count(container, stream)
            keeper = _keeper(wish, frame_count or header)
            known = frame_count is not None and frame_count == header
            stopped = False
            for index, frame in enumerate(_read.frames(container, stream, account)):
                if converter is None:
                    converter = keeper.converter = _stacked.converter_of(container, frame, wish.size)
                keeper.add(index, frame)
                if known and index == keeper.last:
                    stopped = True
                    break
            self.frame_count = frame_count if stopped and frame_count else len(account.pts)
            self.clip: Clip | None
            if converter is None:
                self.clip = _nothing(account)
                return
            index_T = keeper.finish(self.frame_count)
            if index_T is None:
                self.clip = None
                return
            rate = _read.header_rate(stream)
            time_s_T, stamped = _read.times_s(account.pts, stream, rate)
            if stamped and len(time_s_T) > 1 and header is None:
                # The mean gap stands in for the unknown duration of the last frame.
                rate = (len(time_s_T) - 1) / float(time_s_T[-1])
            reasons = [] if stopped else [_shortfall(container, stream, header, time_s_T)]
            if account.errors:
                reasons.append(f"damaged: {account.errors} read errors ({account.last_error})")
            reason = "; ".join(r for r in reasons if r)
            self.clip = Clip(
                keeper.rgb_THWC[: len(index_T)],
                index_T,
                time_s_T[index_T],
                self.frame_count,
                converter.source_height,
                converter.source_width,
                rate,
                "partial" if reason else "ok",
                reason,
            )


def _nothing(account: _read.Account) -> Clip:
    if account.errors:
        return failed("unreadable", f"no frame could be decoded: {account.last_error}")
    return failed("no_frames", "the video stream gives no frame")


def _keeper(wish: Wish, guess: int | None) -> _Keeper:
    if wish.facts_only:
        return _Keeper()
    if wish.sampling is None:
        return _All(guess or 64)
    return _Chosen(wish.chosen(guess), guess) if guess else _Undecided(wish)


class _Keeper:
    """What becomes of each frame; this one keeps none."""

    last = -1
    """Index of the last frame that is wanted; -1 where all must be seen."""

    def __init__(self) -> None:
        self.converter: _read.Converter | None = None
        self._room_THWC: npt.NDArray[np.uint8] | None = None

    def add(self, index: int, frame: Any) -> None:
        """Takes note of the next frame."""

    def finish(self, frame_count: int) -> npt.NDArray[np.int64] | None:
        """Indices of the kept frames, or None if the wrong ones were kept."""
        return np.zeros(0, np.int64)

    @property
    def rgb_THWC(self) -> npt.NDArray[np.uint8]:
        """The kept frames, perhaps with room for more behind them."""
        return self._room(0) if self._room_THWC is None else self._room_THWC

    def _room(self, frames: int) -> npt.NDArray[np.uint8]:
        assert self.converter is not None
        return np.empty((frames, self.converter.height, self.converter.width, 3), np.uint8)

    def _put(self, position: int, frame: Any, room: int) -> None:
        assert self.converter is not None
        if self._room_THWC is None:
            self._room_THWC = self._room(room)
        if position >= len(self._room_THWC):
            self._room_THWC = np.concatenate([self._room_THWC, self._room(len(self._room_THWC))])
        self._room_THWC[position] = self.converter(frame)


class _All(_Keeper):
    """Keeps every frame."""

    def __init__(self, guess: int) -> None:
        super().__init__()
        self._guess = guess

    def add(self, index: int, frame: Any) -> None:
        self._put(index, frame, self._guess)

    def finish(self, frame_count: int) -> npt.NDArray[np.int64]:
        return np.arange(frame_count, dtype=np.int64)


class _Chosen(_Keeper):
    """Keeps frames that were chosen for a guessed number of frames."""

    def __init__(self, index_T: npt.NDArray[np.int64], guess: int) -> None:
        super().__init__()
        self._index_T, self._guess = index_T, guess
        self._positions: dict[int, list[int]] = {}
        for position, index in enumerate(index_T.tolist()):
            self._positions.setdefault(index, []).append(position)
        self.last = max(self._positions)

    def add(self, index: int, frame: Any) -> None:
        positions = self._positions.get(index)
        if positions:
            self._put(positions[0], frame, len(self._index_T))
            assert self._room_THWC is not None
            for more in positions[1:]:
                self._room_THWC[more] = self._room_THWC[positions[0]]

    def finish(self, frame_count: int) -> npt.NDArray[np.int64] | None:
        return self._index_T if frame_count == self._guess else None


class _Undecided(_Keeper):
    """Keeps frames as they come from the decoder until their number is known; gives up where they get too many."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self._wish = wish
        self._frames: list[Any] | None = []
        self._bytes = 0

    def add(self, index: int, frame: Any) -> None:
        if self._frames is not None:
            self._bytes += sum(plane.buffer_size for plane in frame.planes)
            self._frames.append(frame)
            if self._bytes > KEPT_BYTES:
                self._frames = None

    def finish(self, frame_count: int) -> npt.NDArray[np.int64] | None:
        if self._frames is None:
            return None
        index_T = self._wish.chosen(frame_count)
        for position, index in enumerate(index_T.tolist()):
            self._put(position, self._frames[index], len(index_T))
        return index_T


def _shortfall(container: Any, stream: Any, header: int | None, time_s_T: npt.NDArray[np.float64]) -> str:
    """In words, what is missing of what the header promised; empty if nothing is."""
    frame_count = len(time_s_T)
    if header is not None:
        # An AVI header may count a frame or two that its encoder never wrote.
        allowed = 2 if container.format.name == "avi" else 0
        if frame_count < header - allowed:
            return f"{frame_count} frames come out, the header says {header}"
    elif "matroska" in container.format.name and container.duration and frame_count > 1:
        # Audio may run longer than the pictures: where there is any, only the stream's own length counts.
        promised_s = _tagged_s(stream.metadata.get("DURATION", ""))
        if promised_s is None and len(container.streams) == 1:
            promised_s = container.duration / 1e6
        longest_gap_s = float(np.diff(time_s_T).max())
        reached_s = float(time_s_T[-1]) + longest_gap_s
        if promised_s is not None and reached_s < promised_s - max(longest_gap_s, 0.1):
            return f"{reached_s:.2f} s of frames come out, the header says {promised_s:.2f} s"
    return ""


def _tagged_s(text: str) -> float | None:
    """Seconds of `00:00:05.000000000`, or None."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
