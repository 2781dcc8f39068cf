"""Copies that every browser plays, frame for frame at the source's own times: what people judge is what models saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, SecondlookError
from secondlook.video import _mark, _pictures, _read, _refuse, _stacked, decode
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.encode import TICKS, VideoWriter

CRF = 23
SPOKEN = ("title", "comment", "description", "synopsis", "artist", "album", "genre", "keywords", "show", "location")
"""Fields of a file's own text. They may name the class, so a file that has one is not handed on as it is."""
AS_IT_IS_BYTES = 30 * 10**6
"""A file that browsers play is handed on as it is up to this size."""


class _NoUseOfStamps(Exception):  # noqa: N818
    """The source's time stamps are missing or do not rise. Never leaves this module."""


def plays_as_it_is(path: Path) -> bool:
    """Whether a file may go to a browser untouched: every browser plays it, it is not large, and it names nothing."""
    if not path.is_file() or path.stat().st_size > AS_IT_IS_BYTES or not _read.plays_in_browsers(path):
        return False
    try:
        with _read.open_container(path) as container:
            names = {name.lower() for name in container.metadata}
            for stream in container.streams:
                names |= {name.lower() for name in stream.metadata}
        return not names.intersection(SPOKEN)
    except _read.ERRORS:
        return False


def stamps(source: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, bytes and time of change of a video, or of every picture of a folder; empty for what is no video."""
    return tuple(_mark.stamps(source))


def refusal(source: Path) -> Clip:
    """Status and reason of a source that has no stamps."""
    return _refuse.before_opening(source) or failed("no_frames", "a folder without pictures")


def make_proxy(source: str | Path, target: str | Path, short_side: int = 480) -> Clip:
    """Writes an H.264 mp4 (4:2:0, index in front, no sound, no texts) with every frame of a video at its own time.

    The first frame is at 0; each other one at its time after the first, as `decode` gives it, to the nearest of 90000
    ticks a second. Frames stand upright. A video is made smaller, never larger; odd sides that are kept are filled up
    by repeating the last row or column.

    Args:
        source: video file or folder of frames.
        target: mp4 file to write; it appears only when it is whole.
        short_side: the shorter side gets at most so many pixels.

    Returns:
        A clip without frames: facts of the new file, with status `partial` and the reason if the source had them; or
        status and reason of a source that cannot be used.

    Raises:
        BadValue: if the short side is below 2.
    """
    if short_side < 2:
        raise BadValue(short_side, "the short side of a clip for browsers must have at least 2 pixels")
    source, target = Path(source), Path(target)
    before = decode.probe(source)
    if not before.usable:
        return before
    size = _even_size(before, short_side)
    try:
        if source.is_dir():
            made = _of_pictures(source, target, before, size)
        else:
            try:
                made = _of_file(source, target, before, size, stamped=True)
            except _NoUseOfStamps:
                made = _of_file(source, target, before, size, stamped=False)
    except SecondlookError:
        raise
    except (_read.NoPictures, *_read.ERRORS) as error:
        return failed("unreadable", f"it cannot be made playable: {_read.words(error)}")
    if made != before.frame_count:
        target.unlink(missing_ok=True)
        return failed("unreadable", f"re-encoding gave {made} of {before.frame_count} frames")
    height, width = size or (before.source_height, before.source_width)
    return replace(before, source_height=height + height % 2, source_width=width + width % 2)


def frame_times_s(path: str | Path) -> npt.NDArray[np.float64]:
    """When each frame of a file is shown, in seconds after the first, as `decode` gives it: `[T]`, no frame is kept.

    Raises:
        BadValue: if no frame comes out.
    """
    account = _read.Account()
    try:
        with _read.open_container(Path(path)) as container:
            stream = _read.video_stream(container)
            for _ in _read.frames(container, stream, account):
                pass
            if account.pts:
                return _read.times_s(account.pts, stream, _read.header_rate(stream))[0]
    except (_read.NoPictures, *_read.ERRORS) as error:
        raise BadValue(str(path), f"is no video that can be read ({_read.words(error)})") from None
    raise BadValue(str(path), "is a video without a frame that can be decoded")


def _of_file(source: Path, target: Path, before: Clip, size: tuple[int, int] | None, *, stamped: bool) -> int:
    """Writes the frames at the source's stamps, or `1 / rate` apart; gives their number."""
    convert: _read.Converter | None = None
    with _read.open_container(source) as container, VideoWriter(target, before.fps, crf=CRF, size=size) as writer:
        stream = _read.video_stream(container)
        rate = _read.header_rate(stream)
        first, last_tick = None, -1
        for index, frame in enumerate(_read.frames(container, stream, _read.Account())):
            time_s = index / rate
            if stamped:
                if frame.pts is None or stream.time_base is None:
                    raise _NoUseOfStamps
                first = frame.pts if first is None else first
                time_s = float((frame.pts - first) * stream.time_base)
                if round(time_s * TICKS) <= last_tick:
                    raise _NoUseOfStamps
            last_tick = round(time_s * TICKS)
            if convert is None:
                wanted = Size() if size is None else Size(height=size[0], width=size[1])
                convert = _stacked.converter_of(container, frame, wanted)
            as_it_is = size is not None and type(convert) is _read.Converter and convert.upright == _read.Upright()
            writer.write(frame if as_it_is else convert(frame), time_s)
        return writer.frames


def _of_pictures(source: Path, target: Path, before: Clip, size: tuple[int, int] | None) -> int:
    with VideoWriter(target, before.fps, crf=CRF, size=size) as writer:
        for picture_HWC in _pictures.pixels(source, Size() if size is None else Size(height=size[0], width=size[1])):
            writer.write(picture_HWC)
        return writer.frames


def _even_size(before: Clip, short_side: int) -> tuple[int, int] | None:
    """Height and width of the new frames, both even; None where an odd size is kept and filled up."""
    if min(before.source_height, before.source_width) <= short_side:
        odd = before.source_height % 2 or before.source_width % 2
        return None if odd else (before.source_height, before.source_width)
    height, width = Size(short_side=short_side).of(before.source_height, before.source_width)
    return 2 * max(1, round(height / 2)), 2 * max(1, round(width / 2))
