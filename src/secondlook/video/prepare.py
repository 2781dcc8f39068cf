"""Videos re-encoded for a purpose: dense key frames for sparse sampling, a short side, or copies that browsers play."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from secondlook.errors import BadValue
from secondlook.video import _mark, _pictures, _read, decode
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.encode import VideoWriter

_MARK = "secondlook prepare "


@dataclass(frozen=True)
class Preparation:
    """What is done to each video; plain values, kept in the table and, as a hash, in every file.

    Raises:
        BadValue: if a number is out of range.
    """

    short_side: int | None = None
    """Resize so that the shorter side has this many pixels (both sides are made even); None keeps the size."""
    gop: int | None = 8
    """A key frame every so many frames: a frame needs at most so many others. None leaves it to the encoder (250)."""
    crf: int = 18
    """x264's quality: 0 lossless, 18 hardly to be told from the source, 30 small."""
    proxy: bool = False
    """Only for browsers: a file that they play already is copied as it is, unless a short side is asked for."""

    def __post_init__(self) -> None:
        for name, low, high in (("short_side", 2, 8192), ("gop", 1, 10_000), ("crf", 0, 51)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise BadValue(value, f"{name} must lie in {low}..{high}")

    task: ClassVar[str] = "prepare"

    def about(self) -> dict[str, Any]:
        """What the new table says beside how it was made: nothing."""
        return {}

    def arguments(self, video_id: str, listed: str) -> dict[str, Any]:
        """What `prepare_file` is given for any video."""
        return asdict(self)

    def is_made(self, source: Path, target: Path, arguments: Mapping[str, Any]) -> bool:
        """See `is_prepared`."""
        return is_prepared(source, target, self)


def prepare_file(source: str | Path, target: str | Path, **settings: Any) -> Clip:
    """Re-encodes one video: the same number of frames at the same times, upright, without sound.

    Files that are not for browsers only are written so that they decode quickly (`VideoWriter`, `fast_decode`). Does
    nothing where `is_prepared`. The first frame is at time 0. Where the size is kept, an odd side is filled up by
    repeating its last row or column.

    Args:
        source: video file or folder of frames.
        target: mp4 file to write; it appears only when it is whole.
        **settings: fields of `Preparation`.

    Returns:
        A clip without frames: facts of the new file, with status `partial` and the reason if the source had them; or
        status and reason of a source that cannot be used.
    """
    source, target, wish = Path(source), Path(target), Preparation(**settings)
    kept = _mark.read(target, _MARK)
    if kept.get("key") == _key(source, wish):
        return _mark.facts(target, kept["status"], kept["reason"])
    before = decode.probe(source)
    if not before.usable:
        return before
    if _copies(source, wish):
        _copy_file(source, target)
        return before
    mark = {"key": _key(source, wish), "status": before.status, "reason": before.reason}
    size = _even_size(before, wish.short_side)
    how: dict[str, Any] = {
        "crf": wish.crf,
        "gop": wish.gop,
        "fast_decode": not wish.proxy,
        "comment": _MARK + json.dumps(mark),
    }
    with VideoWriter(target, before.fps, size=size, **how) as writer:
        if source.is_dir():
            for picture_HWC in _pictures.pixels(source, _size(size)):
                writer.write(picture_HWC)
        else:
            _copy_frames(source, writer, size)
    after = _mark.facts(target, before.status, before.reason)
    if after.frame_count != before.frame_count:
        target.unlink()
        return failed("unreadable", f"re-encoding gave {after.frame_count} of {before.frame_count} frames")
    return after


def is_prepared(source: str | Path, target: str | Path, wish: Preparation) -> bool:
    """Whether `target` was made with these settings from this very source (its name, bytes and time of change)."""
    source, target = Path(source), Path(target)
    if _copies(source, wish):
        return target.is_file() and _mark.stamp(target)[1:] == _mark.stamp(source)[1:]
    return _mark.read(target, _MARK).get("key") == _key(source, wish)


def _copies(source: Path, wish: Preparation) -> bool:
    return wish.proxy and wish.short_side is None and source.is_file() and _read.plays_in_browsers(source)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.copy2(source, part)
    part.replace(target)


def _copy_frames(source: Path, writer: VideoWriter, size: tuple[int, int] | None) -> None:
    """Every frame with its time: as YUV where frames need no turning and no filling up, through RGB else."""
    with _read.open_container(source) as container:
        stream = _read.video_stream(container)
        convert: _read.Converter | None = None
        first_s = last_s = 0.0
        for frame in _read.frames(container, stream, _read.Account()):
            seconds = None if frame.time is None else float(frame.time)
            if convert is None:
                convert = _read.Converter(frame, _size(size))
                first_s, time_s = seconds or 0.0, 0.0
            else:
                time_s = last_s if seconds is None else seconds - first_s
                if time_s <= last_s:  # no stamp, or one that does not rise (avi with B-frames)
                    time_s = last_s + 1 / writer.fps
            last_s = time_s
            as_it_is = size is not None and convert.upright == _read.Upright()
            writer.write(frame if as_it_is else convert(frame), time_s)


def _even_size(before: Clip, short_side: int | None) -> tuple[int, int] | None:
    """Height and width of the new frames, both even; None where an odd size is kept and filled up."""
    if short_side is None:
        odd = before.source_height % 2 or before.source_width % 2
        return None if odd else (before.source_height, before.source_width)
    height, width = Size(short_side=short_side).of(before.source_height, before.source_width)
    return 2 * max(1, round(height / 2)), 2 * max(1, round(width / 2))


def _size(size: tuple[int, int] | None) -> Size:
    return Size() if size is None else Size(height=size[0], width=size[1])


def _key(source: Path, wish: Preparation) -> str:
    return _mark.key_of(asdict(wish), _mark.stamps(source))
