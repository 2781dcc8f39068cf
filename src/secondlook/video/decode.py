"""Frames out of a video file or a folder of frames; a bad file becomes a clip with a status, never an exception.

The frames that really come out of the decoder are counted, then chosen: that alone gives the right frames for every
container (B-frame AVI, edit lists, open GOPs). Where the number of frames is known beforehand, frames are chosen first
and only chosen ones become RGB; where the file's structure also allows it, pictures that no chosen frame needs are not
even decoded (`_skip`). Both give the same frames, bit for bit, as decoding everything.
"""

from __future__ import annotations

from pathlib import Path

from secondlook.errors import SecondlookError
from secondlook.video import _pictures, _read, _refuse, _skip, _whole
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.sample import Sampling


def decode(
    path: str | Path,
    sampling: Sampling | None = None,
    *,
    size: Size | None = None,
    seed: int | None = None,
    frame_count: int | None = None,
) -> Clip:
    """The chosen frames of a video, RGB, upright, at the working size.

    Args:
        path: a video file, or a folder of pictures (jpg, png, bmp, webp; in natural order of their names).
        sampling: which frames; None means all.
        size: working size, reached while decoding (antialiased); None leaves frames as they are.
        seed: seed of random offsets (training); None means none (test).
        frame_count: frames that come out of this video, if known (column `frames` of a videos table, filled by
            decoding). It only saves work: where the file's header says otherwise, all is decoded and counted.

    Returns:
        A clip; unusable files have a status and a reason in words, and no frames. Memory grows with the frames asked
        for, not with the length of the video.
    """
    return _read_any(Path(path), _whole.Wish(sampling, size or Size(), seed), frame_count)


def probe(path: str | Path) -> Clip:
    """Decodes everything and keeps nothing: a clip without frames but with frame count, size, rate, status, reason."""
    return _read_any(Path(path), _whole.Wish(facts_only=True), None)


def _read_any(path: Path, wish: _whole.Wish, frame_count: int | None) -> Clip:
    refusal = _refuse.before_opening(path)
    if refusal is not None:
        return refusal
    try:
        if path.is_dir():
            return _pictures.read(path, wish)
        clip = None
        if frame_count and wish.sampling is not None:
            clip = _skip.read(path, wish.chosen(frame_count), wish.size, frame_count)
        return _whole.read(path, wish, frame_count) if clip is None else clip
    except SecondlookError:
        raise
    except _read.NoPictures as error:
        return failed("no_video_stream", str(error))
    except _read.ERRORS as error:
        return _refuse.after_opening(path, error) if path.is_file() else failed("unreadable", _read.words(error))
