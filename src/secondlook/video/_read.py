"""Opening a video file and reading its frames with PyAV, damage included."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import av.container
import av.video.frame
import av.video.reformatter
import av.video.stream
import numpy as np
import numpy.typing as npt
from av.stream import Disposition
from av.video.reformatter import Interpolation

from secondlook.video.clip import Size

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,apng,flv,asf,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,ogg,rm,"
    "dv,nut,mxf,vob,yuv4mpegpipe,wav,mp3,aac,flac"
)
"""Containers that are opened. Playlists and scripts (hls, concat) are not: they would make libav open other files."""
UNKNOWN_RATE = 25.0
"""Frames a second where neither the header nor the times of the frames tell."""
ERRORS = (av.error.FFmpegError, OSError, ValueError, IndexError, RuntimeError, MemoryError)
"""What libav and PyAV raise for bad files."""


class NoPictures(Exception):  # noqa: N818
    """The file opens, but holds no video stream that can be decoded. Never leaves this room."""


def open_container(path: Path) -> av.container.InputContainer:
    """Opens a file (never a playlist, never the network); use it in a `with`."""
    return av.open(
        str(path.absolute()),
        metadata_errors="replace",
        container_options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
    )


def video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The video stream to decode (cover art does not count), set to one thread: workers share the cores."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = sorted({s.type for s in container.streams})
        raise NoPictures(f"no video stream, only {', '.join(kinds)}" if kinds else "no stream at all")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    context: Any = stream.codec_context
    if context is None:
        raise ValueError("its video codec is unknown, or its header is damaged")
    context.thread_count = 1
    return stream


def comment_of(container: av.container.InputContainer) -> str:
    """The comment of a file; Matroska spells the name of the field in capitals."""
    about = container.metadata
    return str(about.get("comment") or about.get("COMMENT") or "")


def is_mov(container: av.container.InputContainer) -> bool:
    """True for mp4 and its kin, whose index names every packet."""
    return "mp4" in container.format.name


def header_count(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> int | None:
    """Frames that should come out by what the header says, or None where it says nothing that can be relied on.

    mp4: packets of the index that an edit list does not hide; avi: the header's number.
    """
    if is_mov(container):
        shown = sum(not entry.is_discard for entry in stream.index_entries)
        return shown if len(stream.index_entries) == stream.frames else None
    if container.format.name == "avi" and stream.frames > 0:
        return int(stream.frames)
    return None


def plays_in_browsers(path: Path) -> bool:
    """True for what every browser plays: mp4 with H.264 in 4:2:0."""
    try:
        with open_container(path) as container:
            context: Any = video_stream(container).codec_context
            lossless = "4:4:4" in str(context.profile)  # what x264 writes at quality 0; browsers do not read it
            plain = context.pix_fmt in ("yuv420p", "yuvj420p") and not lossless
            return is_mov(container) and context.name == "h264" and plain
    except (NoPictures, *ERRORS):
        return False


@dataclass
class Account:
    """What happened while a video was read."""

    pts: list[int | None] = field(default_factory=list)
    """Presentation time stamp of each frame that came out, in order."""
    errors: int = 0
    last_error: str = ""

    def note(self, error: BaseException) -> None:
        """Counts a packet that could not be read or decoded."""
        self.errors += 1
        self.last_error = words(error)


def words(error: BaseException) -> str:
    """A library's error in words, without its file name."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)


def frames(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, account: Account
) -> Iterator[av.video.frame.VideoFrame]:
    """Every frame that comes out, in order; packets that cannot be decoded are counted and passed over."""
    context = stream.codec_context
    packets = container.demux(stream)
    flushed = False
    while True:
        try:
            packet = next(packets, None)
        except ERRORS as error:
            account.note(error)
            packet = None
        if packet is None and flushed:
            return
        try:
            decoded = context.decode(packet)
        except EOFError:  # the decoder was already flushed
            return
        except ERRORS as error:
            account.note(error)
            decoded = []
        flushed = flushed or packet is None or packet.size == 0
        for frame in decoded:
            account.pts.append(frame.pts)
            yield frame
        if packet is None:
            return


@dataclass(frozen=True)
class Upright:
    """How stored frames become frames as shown: transposed or not, then mirrored or not (display matrix)."""

    transpose: bool = False
    mirror_rows: bool = False
    mirror_columns: bool = False

    @classmethod
    def of(cls, frame: av.video.frame.VideoFrame) -> Upright:
        """From a frame's display matrix; angles between are taken as the nearest multiple of 90 degrees."""
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # A stored point (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), np.int32)[:5])
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, mirror_rows=b < 0, mirror_columns=c < 0)
        return cls(False, mirror_rows=d < 0, mirror_columns=a < 0)

    def shown(self, height: int, width: int) -> tuple[int, int]:
        """Height and width as shown of stored ones, or the other way round."""
        return (width, height) if self.transpose else (height, width)

    def apply(self, frame_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The frame as shown (a view)."""
        if self.transpose:
            frame_HWC = frame_HWC.transpose(1, 0, 2)
        return frame_HWC[:: -1 if self.mirror_rows else 1, :: -1 if self.mirror_columns else 1]


_OF_THREAD = threading.local()


def reformatter() -> av.video.reformatter.VideoReformatter:
    """One a thread: it keeps its filters from clip to clip as long as sizes are the same."""
    if not hasattr(_OF_THREAD, "reformatter"):
        _OF_THREAD.reformatter = av.video.reformatter.VideoReformatter()
    return cast(av.video.reformatter.VideoReformatter, _OF_THREAD.reformatter)


class Converter:
    """Turns decoded frames (YUV, mostly) into upright RGB at the working size; made from the first frame.

    swscale's bilinear filter widens when it shrinks, so it averages all pixels it covers (no aliasing).
    """

    def __init__(self, first: av.video.frame.VideoFrame, size: Size | None) -> None:
        self.upright = Upright.of(first)
        self.source_height, self.source_width = self.upright.shown(first.height, first.width)
        self.height, self.width = (size or Size()).of(self.source_height, self.source_width)
        self._stored_height, self._stored_width = self.upright.shown(self.height, self.width)
        self._reformat = reformatter().reformat

    def __call__(self, frame: av.video.frame.VideoFrame) -> npt.NDArray[np.uint8]:
        """`H x W x 3`; a view of the library's memory."""
        rgb = self._reformat(
            frame,
            width=self._stored_width,
            height=self._stored_height,
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        pixels: Any = rgb.to_ndarray()
        return self.upright.apply(pixels)


def times_s(
    pts: list[int | None], stream: av.video.stream.VideoStream, rate: float
) -> tuple[npt.NDArray[np.float64], bool]:
    """Time of each frame after the first, in seconds; and whether the file's own stamps were of use.

    Where stamps are missing or do not rise (avi with B-frames), frames are taken as `1 / rate` apart.
    """
    base = stream.time_base
    if base is not None and rising(pts):
        stamps_T = np.array(pts, dtype=np.float64)
        return (stamps_T - stamps_T[:1]) * float(base), True
    return np.arange(len(pts)) / rate, False


def rising(stamps: Sequence[int | None]) -> bool:
    """True if every stamp is there and later than the one before."""
    return None not in stamps and all(a < b for a, b in pairwise(stamps))  # type: ignore[operator]


def header_rate(stream: av.video.stream.VideoStream) -> float:
    """Mean frame rate by the header, `UNKNOWN_RATE` where it says nothing sensible."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and 0.01 < float(rate) <= 1000:
            return float(rate)
    return UNKNOWN_RATE
