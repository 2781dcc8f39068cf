"""A video's frames one after the other, each as it comes out of the decoder; none is kept.

For what reads a video once and in order, such as a network that is fed frame by frame. `decode` is for clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, MissingFile
from secondlook.video import _pictures, _read, _refuse, _stacked
from secondlook.video.clip import Clip, Size, failed


@dataclass(frozen=True)
class Shown:
    """One frame."""

    index: int
    """In the video; 0 is the first that comes out of the decoder."""
    time_s: float
    """When it is shown, in seconds after the first frame."""
    frame_HWC: npt.NDArray[np.uint8]
    """RGB, upright, at the working size."""


class Walk:
    """Opens a video, or a folder of pictures, and walks through it once; use it in a `with`.

    Frames are those of `decode`, bit for bit. Their times are too, but where time stamps are missing or stop rising on
    the way: from there on, frames are taken as `1 / rate` apart.

    Args:
        path: a video file, or a folder of pictures.
        size: working size.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is no video that can be opened; says why.
    """

    def __init__(self, path: str | Path, size: Size | None = None) -> None:
        self.path, self._size = Path(path), size or Size()
        self.frame_count: int | None = None
        """Frames that should come out by what the header says; None where it does not tell."""
        self.rate = _read.UNKNOWN_RATE
        """Frames a second by the header."""
        self.errors = 0
        """Packets that could not be read so far; their frames are left out."""
        self.last_error = ""
        self._close = ExitStack()
        refusal = _refuse.before_opening(self.path)
        if refusal is not None:
            self._refuse(refusal)
        if self.path.is_dir():
            self._pictures = _pictures.files(self.path)
            self.frame_count = len(self._pictures)
            refused = _pictures.refusal(self.path)
            if refused is not None:
                self._refuse(refused)
            return
        try:
            self._container = self._close.enter_context(_read.open_container(self.path))
            self._stream = _read.video_stream(self._container)
        except (_read.NoPictures, *_read.ERRORS) as error:
            self._close.close()
            none = isinstance(error, _read.NoPictures)
            self._refuse(failed("no_video_stream", str(error)) if none else _refuse.after_opening(self.path, error))
        self.rate = _read.header_rate(self._stream)
        self.frame_count = _read.header_count(self._container, self._stream)
        if self.frame_count is None and self._container.duration:
            self.frame_count = max(1, round(self._container.duration / 1e6 * self.rate))

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close.close()

    def frames(self, start: int = 0, stride: int = 1) -> Iterator[Shown]:
        """Every `stride`-th frame from `start` on, once; those between are decoded and nothing more.

        Raises:
            BadValue: if a number cannot be, no frame comes out at all, or a picture of a folder cannot be read.
        """
        if start < 0 or stride < 1:
            raise BadValue((start, stride), "a walk starts at frame 0 or later, and its stride is 1 or more")
        return self._of_folder(start, stride) if self.path.is_dir() else self._of_file(start, stride)

    def _of_file(self, start: int, stride: int) -> Iterator[Shown]:
        account = _read.Account()
        converter: _read.Converter | None = None
        base = float(self._stream.time_base or 0)
        first, time_s, stamped, index = None, -1.0 / self.rate, base > 0, -1
        for index, frame in enumerate(_read.frames(self._container, self._stream, account)):
            account.pts.clear()  # so that it does not grow
            self.errors, self.last_error = account.errors, account.last_error
            first = frame.pts if first is None else first
            next_s = (frame.pts - first) * base if stamped and frame.pts is not None and first is not None else -1.0
            stamped = stamped and next_s > time_s
            time_s = next_s if stamped else time_s + 1.0 / self.rate
            if index >= start and (index - start) % stride == 0:
                converter = converter or _stacked.converter_of(self._container, frame, self._size)
                yield Shown(index, time_s, converter(frame))
        self.errors, self.last_error = account.errors, account.last_error
        if index < 0:
            words = f"no frame could be decoded: {account.last_error}" if account.errors else "no frame comes out"
            self._refuse(failed("unreadable" if account.errors else "no_frames", words))

    def _of_folder(self, start: int, stride: int) -> Iterator[Shown]:
        shape: tuple[int, ...] = ()
        pictures = _pictures.pixels(self.path, self._size)
        for index, path in enumerate(self._pictures):
            try:
                frame_HWC = next(pictures)
            except (*_read.ERRORS, SyntaxError) as error:
                self._refuse(failed("unreadable", f"picture {path.name} cannot be read: {_read.words(error)}"))
            if shape and frame_HWC.shape != shape:
                self._refuse(failed("unreadable", f"picture {path.name} has another size than those before it"))
            shape = frame_HWC.shape
            if index >= start and (index - start) % stride == 0:
                yield Shown(index, index / self.rate, frame_HWC)

    def _refuse(self, clip: Clip) -> NoReturn:
        if clip.status == "missing" and not self.path.exists():
            raise MissingFile(self.path, "Give a video or a folder of frames.")
        raise BadValue(str(self.path), f"this video cannot be used ({clip.status}: {clip.reason})")
