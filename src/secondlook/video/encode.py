"""Frames into an H.264 file that every browser plays (mp4, 4:2:0, index in front)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from secondlook.errors import BadValue

TICKS = 90_000
"""Time stamps count this many a second: exact for 24, 25, 30 and 30000/1001 frames a second."""
_SMPTE_170M = 6
_LIMITED_RANGE = int(ColorRange.MPEG)


def write_video(
    path: str | Path,
    frames_THWC: npt.NDArray[np.uint8] | Iterable[npt.NDArray[np.uint8]],
    fps: float,
    *,
    crf: int = 18,
    gop: int | None = None,
) -> Path:
    """Writes RGB frames at a steady rate. Odd sizes are made even by repeating the last row or column.

    Args:
        path: file to write; its folder is made, and it appears only when it is whole.
        frames_THWC: `T x H x W x 3` or any iterable of `H x W x 3`, uint8, all of one size.
        fps: frames a second.
        crf: x264's quality: 0 lossless, 18 hardly to be told from the source, 30 small.
        gop: frames from one key frame to the next at most; None leaves it to x264 (250).

    Raises:
        BadValue: if there is no frame, frames differ in size, or a number is out of range.
    """
    with VideoWriter(path, fps, crf=crf, gop=gop) as writer:
        for frame_HWC in frames_THWC:
            writer.write(frame_HWC)
    return Path(path)


class Film:
    """A video that is being written: the file appears when it is closed, and not after an exception."""

    path: Path
    _part: Path
    _container: Any
    _stream: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._container is None:
            if kind is None:
                raise BadValue(str(self.path), "a video needs at least one frame")
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


class VideoWriter(Film):
    """Writes frames with their times, one after the other; the file appears when closed, and not after an exception.

    One x264 thread: the same frames give the same bytes on machines with any number of cores.

    Args:
        path: an mp4 file.
        fps: mean frame rate, frames a second.
        crf: see `write_video`.
        gop: see `write_video`; with it key frames come exactly every `gop` frames.
        fast_decode: leave out what is slow to decode (CABAC, deblocking): about 1.7 times quicker, a tenth larger.
        comment: a text kept in the file.
        size: height and width, both even, to which frames from PyAV are resized; None: those of the first frame.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        crf: int = 18,
        gop: int | None = None,
        fast_decode: bool = False,
        comment: str = "",
        size: tuple[int, int] | None = None,
    ) -> None:
        if not 0 < fps <= 1000:
            raise BadValue(fps, "frames a second must lie in (0, 1000]")
        if not 0 <= crf <= 51:
            raise BadValue(crf, "crf must lie in 0..51")
        if gop is not None and gop < 1:
            raise BadValue(gop, "a group of pictures has at least 1 frame")
        self.path, self.fps, self.frames = Path(path), float(fps), 0
        # x264's macroblock tree is off: with it the same frames gave other bytes from run to run, even with one thread.
        self._options = {"crf": str(crf), "preset": "fast", "threads": "1", "mbtree": "0"}
        if fast_decode:
            self._options["tune"] = "fastdecode"
        if gop is not None:
            self._options |= {"g": str(gop), "keyint_min": str(gop), "sc_threshold": "0"}
        self._comment, self._size = comment, size
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._container: Any = None
        self._stream: Any = None
        self._reformatter = VideoReformatter()

    def write(self, frame: npt.NDArray[np.uint8] | VideoFrame, time_s: float | None = None) -> None:
        """Adds a frame: an RGB array, or a frame from PyAV, which is resized where its size differs.

        Args:
            frame: the frame.
            time_s: when it is shown; None: `1 / fps` after the frame before.

        Raises:
            BadValue: if an array has another size than the first one.
        """
        if not isinstance(frame, VideoFrame):
            frame = self._from_array(frame)
        if self._container is None:
            self._open(*(self._size or (frame.height + frame.height % 2, frame.width + frame.width % 2)))
        context = self._stream.codec_context
        yuv = self._reformatter.reformat(
            frame,
            width=context.width,
            height=context.height,
            format="yuv420p",
            dst_colorspace=_SMPTE_170M,
            dst_color_range=_LIMITED_RANGE,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        seconds = self.frames / self.fps if time_s is None else time_s
        yuv.pts, yuv.time_base = round(seconds * TICKS), Fraction(1, TICKS)
        yuv.pict_type = 0  # the encoder decides; frames from a decoder carry the type they had there
        self._container.mux(self._stream.encode(yuv))
        self.frames += 1

    def _from_array(self, frame_HWC: npt.NDArray[np.uint8]) -> VideoFrame:
        if frame_HWC.ndim != 3 or frame_HWC.shape[2] != 3 or frame_HWC.dtype != np.uint8:
            raise BadValue(f"{frame_HWC.shape} {frame_HWC.dtype}", "a frame is height x width x 3, uint8")
        odd = [(0, side % 2) for side in frame_HWC.shape[:2]]
        if any(more for _, more in odd):
            frame_HWC = np.pad(frame_HWC, (*odd, (0, 0)), mode="edge")
        if self._stream is not None:
            context = self._stream.codec_context
            if frame_HWC.shape[:2] != (context.height, context.width):
                raise BadValue(frame_HWC.shape[:2], f"all frames of a video have one size, here {context.height} high")
        return VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")

    def _open(self, height: int, width: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        if self._comment:
            self._container.metadata["comment"] = self._comment
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(self.fps).limit_denominator(1001), options=self._options
        )
        self._stream.time_base = Fraction(1, TICKS)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _SMPTE_170M
        context.color_range = _LIMITED_RANGE
